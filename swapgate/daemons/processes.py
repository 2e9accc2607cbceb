"""
Processes: looks at processes, groups and listening ports, all by psutil.

1. A zombie counts as gone, once its last thread is: it holds no memory and no port.
2. What the system cannot tell, of another user's process say, is taken for alive.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from math import inf

import psutil
from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from swapgate.daemons.listeners import LINUX, Listeners

_LOOK_AGAIN_S = 1.0
_ENDED = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def find(pid: int) -> psutil.Process | None:
    """
    The process that runs with this pid now, or None.

    :raises OSError: where the system cannot tell, for want of descriptors say.
    """
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if seems_to_run(process) else None


def runs(process: psutil.Process) -> bool:
    """
    Whether it still runs, and not another process with its pid.
    """
    with suppress(psutil.Error, OSError):
        if not process.is_running():
            return False
    return seems_to_run(process)


def seems_to_run(process: psutil.Process) -> bool:
    """
    The same by pid alone, at half the price: for each request, say.
    """
    try:
        # While one thread is left, memory and ports are not free.
        return process.status() not in _ENDED or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def born(process: psutil.Process) -> float:
    """
    When it started, comparable by the next gateway.

    On Linux in seconds since boot: the date moves with each step of the wall clock.
    """
    since_s = psutil.boot_time() if LINUX else 0.0
    return round(process.create_time() - since_s, 2)


def free_port(host: str) -> int:
    """
    A TCP port of `host` that has no listener at this moment.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def signal_group(group: int, number: signal.Signals) -> None:
    """
    Signal every process of a group that is still there.
    """
    # PermissionError: so macOS answers where only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_lives(group: int) -> bool:
    """
    Whether any process of the group still runs.
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
    # macOS does not tell the group of the kernel's own processes.
    with suppress(OSError):
        return os.getpgid(pid)
    return None


def port_is_free(host: str, port: int) -> bool:
    """
    Whether a daemon could listen there at this moment.
    """
    with socket.socket() as probe:
        # As daemons do: connections in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def port_conflict(leader: int, port: int, *, shared: bool = False) -> str | None:
    """
    Why the listener on a loopback port may be neither this process nor one that it
    started; None where it is, or where the system does not show it.

    A process that cannot be looked into, as another user's: None. A second listener
    beside it is shown only by Linux.

    :param shared: a second listener is not looked for.
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
    Whether one process holds its port, looked at once a second at most.

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
    The process that has this port, or the command that finds it.
    """
    listeners = Listeners(port)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if listeners.include(process.pid):
                return f"process {process.pid}, {process.name()!r}"
    return f"`lsof -i :{port}` tells which"


def group_or_session_lives(leader: int) -> bool:
    """
    Whether a process in the group or session of this leader runs; it may have ended.
    """
    return any(map(seems_to_run, _led_by(leader)))


def relatives(leader: int) -> Iterator[psutil.Process]:
    """
    What it started: its descendants, and those left in its group or session.
    """
    descendants = psutil.Process(leader).children(recursive=True)
    yield from descendants
    known = {leader, *(each.pid for each in descendants)}
    yield from (each for each in _led_by(leader) if each.pid not in known)


def _led_by(leader: int) -> Iterator[psutil.Process]:
    """
    The processes in its group or session.
    """
    for process in psutil.process_iter():
        with suppress(OSError):
            if leader in (os.getpgid(process.pid), os.getsid(process.pid)):
                yield process
