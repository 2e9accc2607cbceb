"""
File descriptors: raises the process's limit; how many clients that is enough for.
"""

import resource
import subprocess
from collections.abc import Callable
from contextlib import suppress

from attrs import evolve

from swapgate.config.limits import Limits

# Each client may need a second one upstream; polls, pipes and files need theirs.
_EACH, _RESERVED = 2, 48
# What macOS grants a process at least (OPEN_MAX).
_OPEN_MAX = 10240
# Where no limit is known.
_PLENTY = 2**20
_SYSCTL = ("/usr/sbin/sysctl", "-n", "kern.maxfilesperproc")


def raise_limit(platform: str) -> int:
    """
    Raise this process's soft limit as far as it goes; return what it is then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def set_soft(wanted: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    return raise_soft(
        _finite(soft), _finite(hard), process_maximum(platform, _ask), set_soft
    )


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def raise_soft(
    soft: int | None,
    hard: int | None,
    most: int | None,
    set_soft: Callable[[int], None],
) -> int:
    """
    Raise the soft limit with `set_soft`, which may fail; return what it is then.

    :param most: the system's maximum for one process, whatever its limits say. None,
        as of the limits: infinite.
    """
    wanted = min((n for n in (hard, most) if n is not None), default=_PLENTY)
    has = wanted if soft is None else min(soft, wanted)
    while wanted > has:
        # Older systems refuse more than they have, without telling how many.
        with suppress(ValueError, OSError):
            set_soft(wanted)
            return wanted
        wanted //= 2
    return has


def process_maximum(platform: str, ask: Callable[[], str]) -> int | None:
    """
    macOS's maximum for one process, though its hard limit may be more, or infinite.
    """
    if platform != "darwin":
        return None
    try:
        return int(ask())
    except (OSError, ValueError, subprocess.SubprocessError):
        return _OPEN_MAX


def _ask() -> str:
    asked = subprocess.run(  # noqa: S603
        _SYSCTL, capture_output=True, text=True, timeout=5, check=False
    )
    return asked.stdout


def needed(max_connections: int) -> int:
    """
    How many descriptors this many clients may need.
    """
    return _EACH * max_connections + _RESERVED


def within(limits: Limits, descriptors: int) -> Limits:
    """
    The limits, lowered to what this many descriptors are enough for.
    """
    possible = max(1, (descriptors - _RESERVED) // _EACH)
    return evolve(limits, max_connections=min(limits.max_connections, possible))
