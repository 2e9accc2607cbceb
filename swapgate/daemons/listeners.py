"""
Listening TCP sockets that a loopback connection reaches: which processes have them.
"""

import sys
from contextlib import suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton

import psutil

LINUX = sys.platform.startswith("linux")
_REACHED_BY_LOOPBACK = frozenset(
    {"0.0.0.0", "127.0.0.1", "::", "::1", "::ffff:127.0.0.1"}  # noqa: S104
)
_PROC = Path("/proc")
_TABLES = (_PROC / "net" / "tcp", _PROC / "net" / "tcp6")
_LISTEN = "0A"


def _as_linux_writes_it(address: str) -> str:
    packed = inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    words = (packed[n : n + 4] for n in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


_REACHED_ON_LINUX = frozenset(map(_as_linux_writes_it, _REACHED_BY_LOOPBACK))


class Listeners:
    """
    The sockets that listen on a port, as of one look.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._inodes = _listening(port) if LINUX else set()

    def include(self, pid: int) -> bool:
        """
        Whether one of them is this process's.

        :raises psutil.Error: where it has ended, or may not be looked into.
        :raises OSError: where the system cannot tell, for want of descriptors say.
        """
        if LINUX:
            return bool(self._inodes) and not self._inodes.isdisjoint(_sockets_of(pid))
        return any(
            each.status == psutil.CONN_LISTEN
            and each.laddr.port == self._port
            and each.laddr.ip in _REACHED_BY_LOOPBACK
            for each in psutil.Process(pid).net_connections("tcp")
        )

    def include_others(self, family: set[int]) -> bool:
        """
        Whether one of them, as far as Linux shows it, belongs to none of these.
        """
        others = set(self._inodes)
        for pid in family:
            if others:
                with suppress(psutil.Error):
                    others -= _sockets_of(pid)
        return bool(others)


def _listening(port: int) -> set[str]:
    """
    The inodes of the sockets. All else in these tables is passed over unread: of closed
    connections alone there may be tens of thousands, and the reactor waits for us.
    """
    shown, found = f":{port:04X} ", set()
    for table in _TABLES:
        # Without IPv6 there is one table.
        with suppress(FileNotFoundError), table.open(encoding="ascii") as lines:
            for line in lines:
                if shown in line:
                    _, local, _, state, *rest = line.split()
                    # As the other end's it stands in lines that do not listen.
                    address = local.partition(":")[0]
                    if state == _LISTEN and address in _REACHED_ON_LINUX:
                        found.add(rest[5])
    return found


def _sockets_of(pid: int) -> set[str]:
    """
    The inodes of all sockets of a process.
    """
    found = set()
    try:
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            # It may be closed by now.
            with suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    except PermissionError:
        raise psutil.AccessDenied(pid) from None
    return found
