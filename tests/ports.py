"""
Ports for tests: each belongs to one process, and the kernel gives it to no other.

1. They lie below the range that the kernel takes ports of connections and of bind(0)
   from: there another test's connection may get one between the look and the listen.
2. A UDP socket on the same number keeps test processes that run side by side apart, as
   long as this one lives.
"""

import atexit
import socket
from contextlib import ExitStack
from random import randrange

# Linux gives out 32768 and up by itself, macOS 49152 and up.
_FIRST, _LAST = 20_000, 32_000
_held = ExitStack()
atexit.register(_held.close)


def free_port() -> int:
    """
    A TCP port of 127.0.0.1 on which nothing listens, this process's until it ends.
    """
    for _ in range(1000):
        address = ("127.0.0.1", randrange(_FIRST, _LAST))
        lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            lock.bind(address)
            socket.create_server(address).close()
        except OSError:
            lock.close()
        else:
            _held.enter_context(lock)
            return address[1]
    raise OSError(f"no port from {_FIRST} to {_LAST} is free")
