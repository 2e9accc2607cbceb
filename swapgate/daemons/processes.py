"""
Processes: looks at processes, groups and listening ports, all by psutil.

1. A zombie counts as gone, once its last thread is: it holds no memory and no port.
2. What the system cannot tell, of another user's process say, is taken for alive.
3. Who listens is asked of one process where that is enough: there may be tens of
   thousands of connections, closed ones too, and streams wait meanwhile.
"""

import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any

import psutil
from attrs import define, field

_LINUX = sys.platform.startswith("linux")
_REACHED_BY_LOOPBACK = frozenset(
    {"0.0.0.0", "127.0.0.1", "::", "::1", "::ffff:127.0.0.1"}  # noqa: S104
)
_LOOK_AGAIN_S = 1.0
_REMEDY = "stop that process, or give the model another port"
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
    return process if runs(process) else None


def runs(process: psutil.Process) -> bool:
    """
    Whether it still runs, and not another process with its pid.
    """
    try:
        # While one thread is left, memory and ports are not free.
        return process.is_running() and (
            process.status() not in _ENDED or process.num_threads() > 1
        )
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def born(process: psutil.Process) -> float:
    """
    When it started, comparable by the next gateway.

    On Linux in seconds since boot: the date moves with each step of the wall clock.
    """
    since_s = psutil.boot_time() if _LINUX else 0.0
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
        return any(find(pid) for pid in psutil.pids() if _leaders(pid)[:1] == (group,))
    except OSError:
        # The system cannot tell, for want of descriptors say: its memory counts.
        return True


def _leaders(pid: int) -> tuple[int, ...]:
    """
    Those of its group and its session; none where the system does not tell.
    """
    # Of the kernel's own processes macOS does not.
    with suppress(OSError):
        return os.getpgid(pid), os.getsid(pid)
    return ()


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


def port_conflict(leader: int, port: int) -> str | None:
    """
    Why the listener on a loopback port may be neither this process nor one that it
    started, or not these alone; None where it is, or where the system does not show it.
    """
    family, own = {leader}, set()
    try:
        listeners = _listeners(port)
        if {pid for _, pid in listeners} == {leader}:
            # Nearly always.
            return None
        own = set(_family_listens(leader, port))
        family |= {each.pid for each in relatives(leader)}
    except psutil.NoSuchProcess:
        # What it has left behind is not its own any more.
        pass
    except (psutil.Error, OSError):
        return None
    # Of the processes that share a socket one is shown as its owner: it may be one that
    # has inherited ours.
    inherited = own - {address for address, pid in listeners if pid in family}
    foreign = Counter(address for address, pid in listeners if pid not in family)
    if any(foreign[address] > (address in inherited) for address in foreign):
        return f"another process listens on port {port}; {_REMEDY}"
    if own:
        return None
    return f"the daemon itself does not listen on port {port}; see its command"


@define
class PortHolder:
    """
    Whether one process holds its port.
    """

    _reactor: Any
    _leader: int
    _port: int
    _looked_s: float = field(default=-inf, init=False)
    _held: bool = field(default=False, init=False)

    def conflict(self) -> str | None:
        """
        What `port_conflict` says of it: asked once a load, as psutil takes 3 ms, or 80
        where 15,000 connections are left.
        """
        conflict = port_conflict(self._leader, self._port)
        self._looked_s, self._held = self._reactor.seconds(), conflict is None
        return conflict

    def holds(self) -> bool:
        """
        Whether it, or what it started, listens there still, as far as the system shows
        it. That another process does, too, is not looked for; nor is anything more than
        once a second.
        """
        now_s = self._reactor.seconds()
        if now_s - self._looked_s >= _LOOK_AGAIN_S:
            self._looked_s = now_s
            try:
                self._held = any(_family_listens(self._leader, self._port))
            except (psutil.Error, OSError) as error:
                self._held = not isinstance(error, psutil.NoSuchProcess)
        return self._held


def who_listens(port: int) -> str:
    """
    The process that has this port, or the command that finds it.
    """
    with suppress(psutil.Error, OSError):
        for pid in {pid for _, pid in _listeners(port)} - {None}:
            return f"process {pid}, {psutil.Process(pid).name()!r}"
    return f"`lsof -i :{port}` tells which"


def port_in_use(port: int, holder: str) -> str:
    return f"port {port} is in use ({holder}); {_REMEDY}"


def _listeners(port: int) -> list[tuple[str, int | None]]:
    """
    Address and process of those that listen there; None is another user's process.
    """
    if _LINUX:
        every: Any = psutil.net_connections("tcp")
        return [(each.laddr.ip, each.pid) for each in every if _is_listener(each, port)]
    # macOS shows those of all processes at once to root alone.
    listeners: list[tuple[str, int | None]] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            listeners += [(ip, process.pid) for ip in _listens(process, port)]
    return listeners


def _family_listens(leader: int, port: int) -> Iterator[str]:
    """
    The addresses at which a process, or one that it started, listens on this port.

    :raises psutil.Error: where the leader has ended, or may not be looked into.
    :raises OSError: where the system cannot tell, for want of descriptors say.
    """
    yield from _listens(psutil.Process(leader), port)
    for process in relatives(leader):
        with suppress(psutil.Error):
            yield from _listens(process, port)


def _listens(process: psutil.Process, port: int) -> list[str]:
    every: Any = process.net_connections("tcp")
    return [each.laddr.ip for each in every if _is_listener(each, port)]


def _is_listener(connection: Any, port: int) -> bool:
    return (
        connection.status == psutil.CONN_LISTEN
        and connection.laddr.port == port
        and connection.laddr.ip in _REACHED_BY_LOOPBACK
    )


def group_or_session_lives(leader: int) -> bool:
    """
    Whether a process in the group or session of this leader runs; it may have ended.
    """
    return any(map(runs, _led_by(leader)))


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
    return (each for each in psutil.process_iter() if leader in _leaders(each.pid))
