"""
How long the answer to a wrong or missing key is kept back, by the client's address.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

_FIRST_S: Final = 0.05
_AT_MOST_S: Final = 1.0
# So often it doubles.
_STEPS: Final = 6
# One step is forgotten in this time.
_FORGET_S: Final = 10.0
# So many addresses are remembered; who has not tried for longest is forgotten first.
_ADDRESSES: Final = 4096
_NETWORK_BYTES: Final = 8


class AuthDelay:
    """
    Who has tried how often lately. A right key is never asked about here.
    """

    def __init__(self) -> None:
        # How many steps there were, and when.
        self._tried: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tried)

    def delay_s(self, address: str, now_s: float) -> float:
        """
        One more has come from there: how long does it wait for its answer?

        :param address: "" on a UNIX socket.
        """
        sender = _sender(address)
        steps, since_s = self._tried.pop(sender, (0.0, now_s))
        steps = max(0.0, steps - (now_s - since_s) / _FORGET_S)
        self._tried[sender] = (min(steps + 1, _STEPS), now_s)
        if len(self._tried) > _ADDRESSES:
            self._tried.popitem(last=False)
        return float(min(_FIRST_S * 2**steps, _AT_MOST_S))


def _sender(address: str) -> bytes:
    """
    What one sender has to itself: an address, or a whole network of IPv6.
    """
    if not address:
        return b""
    known = ip_address(address.partition("%")[0])
    if isinstance(known, IPv6Address):
        if known.ipv4_mapped is None:
            return known.packed[:_NETWORK_BYTES]
        known = known.ipv4_mapped
    return known.packed
