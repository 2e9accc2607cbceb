"""
Does a process still run that is no child of ours? Known by pid and start time.
"""

import os
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from swapgate.daemons.commands import ToolFailed, run

_PROC = Path("/proc")


@frozen
class Process:
    """
    One process, and none that gets its pid later.

    :param born: when it started, as the system writes it.
    """

    pid: int
    born: str


async def find(reactor: Any, pid: int) -> Process | None:
    """
    The process that has this pid now; None where none runs. A zombie does not.
    """
    if not seems_to_run(pid):
        return None
    if sys.platform.startswith("linux"):
        return _in_proc(pid)
    return await ask_ps(reactor, pid)


async def ask_ps(reactor: Any, pid: int) -> Process | None:
    """
    The same, where there is no /proc.
    """
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    argv = ("ps", "-o", "stat=,lstart=", "-p", str(pid))
    try:
        answer = await run(reactor, argv, env)
    except ToolFailed:
        # Better taken for alive than for dead: its memory counts.
        return Process(pid, "")
    state, _, born = answer.output.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return Process(pid, born.strip())


async def runs(reactor: Any, process: Process) -> bool:
    """
    Whether it still does.
    """
    found = await find(reactor, process.pid)
    if found is None:
        return False
    # A birth that nobody could tell us is taken for the same.
    return found.born == process.born or not (found.born and process.born)


def seems_to_run(pid: int) -> bool:
    """
    A quick look by pid alone; only Linux sees zombies so.
    """
    if sys.platform.startswith("linux"):
        return _in_proc(pid) is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Another user's.
        pass
    return True


def _in_proc(pid: int) -> Process | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        # Too few descriptors, say: no proof of a death.
        return Process(pid, "")
    # The name stands in parentheses and may hold anything, a ")" too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Process(pid, fields[19])
