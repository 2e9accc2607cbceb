"""
Connection limit: how many clients may be connected, in all and from one address.
"""

from collections import Counter

from swapgate.config.limits import Limits
from swapgate.errors import APIError, busy
from swapgate.server.address import read_address

# Each takes one of the descriptors that are reserved for other things.
_REFUSED_AT_MOST = 8


class ConnectionLimit:
    """
    Counts connections by their address; on a UNIX socket that is "".

    Refused ones are counted apart, or refusals alone would use up the limit.
    """

    def __init__(self) -> None:
        self._from: Counter[str] = Counter()
        self._refused = 0

    def add(self, address: str, limits: Limits) -> APIError | None:
        """
        Count one more connection, or return the error; then `add_refused` counts it.
        """
        if self._from.total() >= limits.max_connections:
            return _full(f"{limits.max_connections} connections are open in all")
        most = limits.connections_from(loopback=_is_loopback(address))
        if self._from[address] >= most:
            return _full(f"{most} connections from {address} are open")
        self._from[address] += 1
        return None

    def remove(self, address: str) -> None:
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def add_refused(self) -> bool:
        """
        Count a refused connection: whether it may stay until its client has read why.
        """
        self._refused += 1
        return self._refused <= _REFUSED_AT_MOST

    def remove_refused(self) -> None:
        self._refused -= 1


def _full(what: str) -> APIError:
    message = f"{what}, as many as may be; close some, or try again"
    return busy("too_many_connections", message)


def _is_loopback(address: str) -> bool:
    return not address or read_address(address).is_loopback
