"""
Processes: known again by pid and creation time, their groups, and who listens where.
"""

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any

import psutil
from attrs import define, field
from twisted.internet.interfaces import IProcessTransport, IReactorTime
from twisted.internet.process import Process
from twisted.internet.protocol import ProcessProtocol

from swapgate.daemons.listeners import LINUX, Listeners

_LOOK_AGAIN_S = 1.0
_ENDED = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def find(pid: int) -> psutil.Process | None:
    """
    The process that has this pid now; None where none runs. A zombie does not.

    :raises OSError: where the system cannot tell, for want of descriptors say.
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if seems_to_run(process) else None


def runs(process: psutil.Process) -> bool:
    """
    Whether it still runs, and not another one with its pid.

    One that the system cannot tell of is taken for alive: its memory counts.
    """
    try:
        return process.is_running() and process.status() not in _ENDED
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def seems_to_run(process: psutil.Process) -> bool:
    """
    The same by pid alone, at half the price: for each request, say.
    """
    try:
        return process.status() not in _ENDED
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def born(process: psutil.Process) -> float:
    """
    When it started, in a way that the next gateway can compare.

    On Linux that is since boot: the date moves with each step of the wall clock.
    """
    since_s = psutil.boot_time() if LINUX else 0.0
    return round(process.create_time() - since_s, 2)


class SessionProcess(Process):
    """
    A child in a session of its own: a signal to its group reaches all it started.
    """

    def _trySpawnInsteadOfFork(self, *_: object) -> bool:
        # posix_spawn knows neither setsid (everywhere) nor a working directory.
        return False

    def _execChild(self, *args: object) -> None:
        os.setsid()
        super()._execChild(*args)


def spawn(
    reactor: Any,
    protocol: ProcessProtocol,
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
) -> IProcessTransport:
    """
    Start `argv` in its own session; only its stderr is connected to us.
    """
    null = os.open(os.devnull, os.O_RDWR)
    try:
        return SessionProcess(
            reactor,
            argv[0],
            list(argv),
            dict(env),
            cwd,
            protocol,
            childFDs={0: null, 1: null, 2: "r"},
        )
    finally:
        os.close(null)


def free_port(host: str) -> int:
    """
    A TCP port of `host` that nobody listens on at this moment.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def signal_group(group: int, number: signal.Signals) -> bool:
    """
    Signal every process of a group that is still there: whether there is such a group.
    """
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # So macOS answers where only zombies are left.
        pass
    return True


def group_lives(group: int) -> bool:
    """
    Whether any process of the group still runs; a zombie does not.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        return any(find(pid) for pid in psutil.pids() if _group(pid) == group)
    except OSError:
        # The system cannot tell, for want of descriptors say: its memory counts.
        return True


def _group(pid: int) -> int | None:
    # macOS does not tell of the kernel's own.
    with suppress(OSError):
        return os.getpgid(pid)
    return None


def port_is_free(host: str, port: int) -> bool:
    """
    Whether a daemon could listen there at this moment.
    """
    with socket.socket() as probe:
        # As daemons do: what closed connections have left behind is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def port_conflict(leader: int, port: int, *, shared: bool = False) -> str | None:
    """
    Why what listens on a loopback port may not be this process, nor one of those that
    it started: a reason, or None.

    A process that cannot be looked into, as another user's: None. Beside a listener of
    our own only Linux shows another one.

    :param shared: another one beside it is not looked for.
    """
    family, own = {leader}, False
    try:
        listeners = Listeners(port)
        own = listeners.include(leader)
        # Nearly always the leader itself does, alone.
        if own and (shared or not listeners.include_others(family)):
            return None
        for process in relatives(leader):
            family.add(process.pid)
            with suppress(psutil.Error):
                own = listeners.include(process.pid) or own
        others = not (own and shared) and listeners.include_others(family)
    except psutil.NoSuchProcess:
        own, others = False, listeners.include_others(family)
    except (psutil.Error, OSError):
        return None
    if others:
        return f"another process listens on port {port}"
    return None if own else f"the daemon itself does not listen on port {port}"


@define
class PortHolder:
    """
    One process and the port that it shall hold, looked at once a second at most.

    :param seen_s: when it was seen to hold it.
    """

    _clock: IReactorTime
    _leader: int
    _port: int
    _seen_s: float = -inf
    _held: bool = field(default=True, init=False)

    def holds(self) -> bool:
        """
        Whether it, or what it started, listens there still.
        """
        now_s = self._clock.seconds()
        if now_s - self._seen_s >= _LOOK_AGAIN_S:
            self._seen_s = now_s
            self._held = port_conflict(self._leader, self._port, shared=True) is None
        return self._held


def who_listens(port: int) -> str:
    """
    Which process to look for where a port is taken, or how to find it.
    """
    listeners = Listeners(port)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if listeners.include(process.pid):
                return f"process {process.pid}, {process.name()!r}"
    return f"`lsof -i :{port}` tells which"


def family_lives(leader: int) -> bool:
    """
    Whether what a dead process has left in its group or session still runs.
    """
    for pid in psutil.pids():
        with suppress(OSError):
            if leader in (os.getpgid(pid), os.getsid(pid)) and find(pid) is not None:
                return True
    return False


def relatives(leader: int) -> Iterator[psutil.Process]:
    """
    What it started: its descendants, and those left in its group or session.
    """
    descendants = psutil.Process(leader).children(recursive=True)
    yield from descendants
    known = {leader, *(each.pid for each in descendants)}
    for process in psutil.process_iter():
        with suppress(OSError):
            pid = process.pid
            if pid not in known and leader in (os.getpgid(pid), os.getsid(pid)):
                yield process
