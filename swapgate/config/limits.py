"""
How much may a client send, and how long may it take?
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from swapgate.config.values import count, duration, rate, size

_ON_ANOTHER_MACHINE: Final = 256
_BODY_AT_MOST_S: Final = 300.0


@frozen(kw_only=True)
class Limits:
    """
    What one client gets, so that the others get theirs.

    Each time is for the whole of a thing: single bytes do not extend it.

    :param header_timeout_s: from a request's first byte to the end of its head.
    :param body_timeout_s: from there to the end of its body, and
    :param body_rate: a second more for each time that so many bytes of it have come,
        up to five minutes in all.
    :param keep_alive_timeout_s: how long a connection may lie idle between requests.
    :param send_timeout_s: how long a client may take for what waits for it, and a
        second more for each `body_rate` bytes of it that it has taken.
    :param max_bodies_bytes: what all requests take that are read or waited for.
    :param max_connections_per_address: None: all of them on this machine's own
        address, 256 on another one.
    """

    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    body_rate: int = 16 * 1024
    keep_alive_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    max_body_bytes: int = 64 * 2**20
    max_bodies_bytes: int = 2**30
    max_connections: int = 8192
    max_connections_per_address: int | None = None

    def body_allowed_s(self, received: int) -> float:
        """
        How long a body may take of which so many bytes have come.

        What was sent at the start buys no hour in which nothing more comes.
        """
        bought_s = self.body_timeout_s + received / self.body_rate
        return min(bought_s, max(self.body_timeout_s, _BODY_AT_MOST_S))

    def connections_from(self, *, loopback: bool) -> int:
        """
        How many may come from one address.
        """
        if self.max_connections_per_address is not None:
            return self.max_connections_per_address
        return self.max_connections if loopback else _ON_ANOTHER_MACHINE


# Option -> how it is read, and the field that it sets.
LIMITS: Mapping[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "header_timeout": (duration, ("header_timeout_s",)),
    "body_timeout": (duration, ("body_timeout_s",)),
    "body_rate": (rate, ("body_rate",)),
    "keep_alive_timeout": (duration, ("keep_alive_timeout_s",)),
    "send_timeout": (duration, ("send_timeout_s",)),
    "max_body": (size, ("max_body_bytes",)),
    "max_bodies": (size, ("max_bodies_bytes",)),
    "max_connections": (count, ("max_connections",)),
    "max_connections_per_address": (count, ("max_connections_per_address",)),
}
