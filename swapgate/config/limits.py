"""
Limits on clients: how much one may send, how long it may take, how many may connect.

Each time is for the whole of a thing: single bytes do not extend it.
"""

from typing import Final

from attrs import frozen

from swapgate.config.options import default

_ON_ANOTHER_MACHINE: Final = 256
_BODY_AT_MOST_S: Final = 300.0


@frozen(kw_only=True)
class Limits:
    """
    The options about clients, each with its meaning in `options`.

    :param max_connections_per_address: None: all of them on this machine's own
        address, 256 on another one.
    """

    header_timeout_s: float = default("header_timeout")
    body_timeout_s: float = default("body_timeout")
    body_rate: int = default("body_rate")
    keep_alive_timeout_s: float = default("keep_alive_timeout")
    send_timeout_s: float = default("send_timeout")
    max_body_bytes: int = default("max_body")
    max_bodies_bytes: int = default("max_bodies")
    max_connections: int = default("max_connections")
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
