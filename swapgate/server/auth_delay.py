"""
Auth delay: how long a 401 is held back, growing with each failure of an address.

Against guessing keys: it doubles from 50 ms to 1 s, and decays with time. An IPv6
client has a whole /64 to itself, so that the network counts, not the address.
"""

from collections import OrderedDict
from ipaddress import IPv6Address
from typing import Final

from swapgate.server.address import read_address

_FIRST_S: Final = 0.05
_AT_MOST_S: Final = 1.0
# How often it doubles.
_STEPS: Final = 6
# The time in which it falls back by one step.
_FORGET_S: Final = 10.0
# How many addresses are remembered; the least recent is forgotten first.
_ADDRESSES: Final = 4096
_NETWORK_BYTES: Final = 8


class AuthDelay:
    """
    Counts the recent failures of each address. A request with a right key is not seen.
    """

    def __init__(self) -> None:
        # Steps, and when they were counted, least recent first.
        self._failures: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def delay_s(self, address: str, now_s: float) -> float:
        """
        Count one more failure of an address: the delay of its response.

        :param address: "" on a UNIX socket.
        """
        sender = _sender(address)
        steps, since_s = self._failures.pop(sender, (0.0, now_s))
        steps = max(0.0, steps - (now_s - since_s) / _FORGET_S)
        self._failures[sender] = (min(steps + 1, _STEPS), now_s)
        if len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        return float(min(_FIRST_S * 2**steps, _AT_MOST_S))


def _sender(address: str) -> bytes:
    """
    What one client has to itself: an IPv4 address, or an IPv6 network.
    """
    if not address:
        return b""
    known = read_address(address)
    whole = known.packed
    return whole[:_NETWORK_BYTES] if isinstance(known, IPv6Address) else whole
