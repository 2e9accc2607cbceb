"""
May one more client come in?
"""

from collections import Counter
from ipaddress import ip_address

from swapgate.limits import Limits
from swapgate.routing import Refusal

_RETRY_AFTER_S = 5


class Crowd:
    """
    Those who are connected, by their addresses; on a UNIX socket that is "".
    """

    def __init__(self) -> None:
        self._from: Counter[str] = Counter()

    def enter(self, address: str, limits: Limits) -> Refusal | None:
        """
        Count one more; say so where it is one too many.
        """
        self._from[address] += 1
        if self._from.total() > limits.max_connections:
            return _full(f"{limits.max_connections} connections are open in all")
        most = limits.connections_from(loopback=_is_here(address))
        if self._from[address] > most:
            return _full(f"{most} connections from {address} are open")
        return None

    def leave(self, address: str) -> None:
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]


def _full(what: str) -> Refusal:
    return Refusal(
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
