"""
File descriptors: as many as the system grants, and how many clients that is enough for.
"""

import resource
import subprocess
from collections.abc import Callable

from attrs import evolve

from swapgate.config.limits import Limits

# Each client may need another one upstream; polls, pipes and files need theirs.
_EACH, _RESERVED = 2, 48
# What macOS grants one process at least (OPEN_MAX).
_OPEN_MAX = 10240
# Where nothing tells a bound.
_PLENTY = 2**20
_SYSCTL = ("/usr/sbin/sysctl", "-n", "kern.maxfilesperproc")


def grant(platform: str) -> int:
    """
    Raise the limit of this process as far as it goes: how many descriptors it has.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def set_soft(wanted: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    return raised(_finite(soft), _finite(hard), most_of_one(platform, _ask), set_soft)


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def raised(
    soft: int | None,
    hard: int | None,
    most: int | None,
    set_soft: Callable[[int], None],
) -> int:
    """
    Raise the soft limit by `set_soft`, which may refuse: how many there are then.

    :param most: what the system gives one process, whatever its limits say. None here
        and in the limits: as many as one likes.
    """
    wanted = min((n for n in (hard, most) if n is not None), default=_PLENTY)
    has = wanted if soft is None else min(soft, wanted)
    while wanted > has:
        try:
            set_soft(wanted)
        except (ValueError, OSError):
            # Older systems refuse what is more than they have, and tell no number.
            wanted //= 2
        else:
            return wanted
    return has


def most_of_one(platform: str, ask: Callable[[], str]) -> int | None:
    """
    What macOS gives one process, though its hard limit says more, or no end.
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
    How many descriptors so many clients may need.
    """
    return _EACH * max_connections + _RESERVED


def within(limits: Limits, descriptors: int) -> Limits:
    """
    The limits that so many descriptors can carry.
    """
    possible = max(1, (descriptors - _RESERVED) // _EACH)
    return evolve(limits, max_connections=min(limits.max_connections, possible))
