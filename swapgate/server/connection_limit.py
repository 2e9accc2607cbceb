"""
May one more client come in?
"""

from collections import Counter
from ipaddress import ip_address

from swapgate.config.limits import Limits
from swapgate.errors import APIError

_RETRY_AFTER_S = 5
# Each of them has a descriptor, of those that are kept for other things.
_MAY_STAY = 8


class ConnectionLimit:
    """
    Those who are connected, by their addresses; on a UNIX socket that is "".

    Who was refused takes no place of theirs, or refusals alone would fill it.
    """

    def __init__(self) -> None:
        self._from: Counter[str] = Counter()
        self._refused = 0

    def enter(self, address: str, limits: Limits) -> APIError | None:
        """
        Count one more, or say why not: `turn_away` counts those.
        """
        if self._from.total() >= limits.max_connections:
            return _full(f"{limits.max_connections} connections are open in all")
        most = limits.connections_from(loopback=_is_here(address))
        if self._from[address] >= most:
            return _full(f"{most} connections from {address} are open")
        self._from[address] += 1
        return None

    def leave(self, address: str) -> None:
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]

    def turn_away(self) -> bool:
        """
        Count one who was refused; may he stay until he has read why?
        """
        self._refused += 1
        return self._refused <= _MAY_STAY

    def turned_away(self) -> None:
        self._refused -= 1


def _full(what: str) -> APIError:
    return APIError(
        status=503,
        code="too_many_connections",
        message=f"{what}, as many as may be; close some, or try again",
        retry_after_s=_RETRY_AFTER_S,
    )


def _is_here(address: str) -> bool:
    """
    Whether it is an address of this machine alone.
    """
    if not address:
        return True
    known = ip_address(address.partition("%")[0])
    return (getattr(known, "ipv4_mapped", None) or known).is_loopback
