"""
What does the system know of our processes? Sessions, groups, and who listens where.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.interfaces import IProcessTransport
from twisted.internet.process import Process
from twisted.internet.protocol import ProcessProtocol

_PROC = Path("/proc")
# As /proc/net/tcp and tcp6 write them.
_LISTEN = "0A"
_REACHED_BY_LOOPBACK = frozenset(
    {
        "00000000",  # 0.0.0.0
        "0100007F",  # 127.0.0.1
        "0" * 32,  # ::
        "0" * 24 + "01000000",  # ::1
        "0" * 16 + "FFFF00000100007F",  # ::ffff:127.0.0.1
    }
)


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


def signal_group(group: int, number: signal.Signals) -> None:
    """
    Signal every process of a group that is still there.
    """
    # macOS answers EPERM where only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_lives(group: int) -> bool:
    """
    Whether any process of the group still runs; a zombie does not.
    """
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not sys.platform.startswith("linux"):
        return True
    return any(each.group == group and each.state not in "ZX" for each in _running())


class _Running(NamedTuple):
    pid: int
    name: str
    state: str
    group: int
    session: int


def _running() -> Iterator[_Running]:
    """
    Every process that Linux lists.
    """
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                stat = (entry / "stat").read_text(errors="replace")
                # The name stands in parentheses and may hold anything, a ")" too.
                before, _, after = stat.rpartition(")")
                name = before.partition("(")[2]
                state, _, group, session, *_ = after.split()
                yield _Running(int(entry.name), name, state, int(group), int(session))


def stranger_listens(session: int, port: int) -> str | None:
    """
    Whether others than this session listen on a loopback port: a reason, or None.

    Linux alone can tell; elsewhere it is always None.
    """
    if not sys.platform.startswith("linux"):
        return None
    listening = set(_listening_inodes(port))
    if not listening:
        return f"the daemon itself does not listen on port {port}"
    # Nearly always the leader itself listens, and /proc need not be searched.
    if listening <= _socket_inodes(session):
        return None
    ours: set[str] = set()
    for each in _running():
        if each.session == session:
            ours |= _socket_inodes(each.pid)
    return None if listening <= ours else f"another process listens on port {port}"


def who_listens(port: int) -> str:
    """
    Whom to look for, where a port is taken: a process, or how to find it.
    """
    listening = set(_listening_inodes(port))
    for each in _running() if listening else ():
        if listening & _socket_inodes(each.pid):
            return f"process {each.pid}, {each.name!r}"
    return f"`lsof -i :{port}` tells which"


def _listening_inodes(port: int) -> Iterator[str]:
    shown = f":{port:04X} "
    for table in ("tcp", "tcp6"):
        with suppress(OSError), (_PROC / "net" / table).open() as lines:
            for line in lines:
                # There may be thousands, and splitting is what takes time.
                if shown in line:
                    _, local, _, state, *rest = line.split()
                    address = local.removesuffix(shown.strip())
                    if state == _LISTEN and address in _REACHED_BY_LOOPBACK:
                        yield rest[5]


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    with suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
    return inodes
