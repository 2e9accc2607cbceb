"""
What of a connection and of a head reaches the guard.
"""

from typing import Any

from attrs import define
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface import directlyProvides

from swapgate.guard import Door, Knock
from swapgate.web.guard import door_of, knock_of


@define(slots=False)
class Wire:
    """
    A connection that came in here.
    """

    host: IAddress

    def getHost(self) -> IAddress:  # noqa: N802
        return self.host


class DoorTests(SynchronousTestCase):
    """
    Where a connection came in.
    """

    def test_addresses(self) -> None:
        """
        The one that was reached, of either kind; a UNIX socket has none.
        """
        for host, door in (
            (IPv4Address("TCP", "127.0.0.1", 1), Door(address="127.0.0.1", port=1)),
            (IPv6Address("TCP", "::1", 2), Door(address="::1", port=2)),
            (UNIXAddress(b"/run/x"), Door(address=None, port=None)),
        ):
            self.assertEqual(door_of(Wire(host)), door)

    def test_tls(self) -> None:
        """
        It makes another scheme.
        """
        wire = Wire(IPv4Address("TCP", "127.0.0.1", 443))
        directlyProvides(wire, ISSLTransport)
        self.assertTrue(door_of(wire).secure)


class KnockTests(SynchronousTestCase):
    """
    What a head tells of who sent it.
    """

    def test_headers(self) -> None:
        """
        Each in its place, with all its values; any bytes can be in them.
        """
        places = {
            "host": b"Host",
            "origin": b"Origin",
            "sec_fetch_site": b"Sec-Fetch-Site",
            "authorization": b"Authorization",
            "x_api_key": b"x-api-key",
            "request_method": b"Access-Control-Request-Method",
            "request_headers": b"Access-Control-Request-Headers",
            "request_private_network": b"Access-Control-Request-Private-Network",
        }
        sent = {name: [b"1 " + name, b"\xff"] for name in places.values()}
        expected: dict[str, Any] = {
            place: ["1 " + name.decode(), "\xff"] for place, name in places.items()
        }
        knock = knock_of(b"OPTIONS", b"/\xff", Headers(sent))
        self.assertEqual(knock, Knock(method="OPTIONS", target="/\xff", **expected))
        # Of a preflight's only a preflight has any.
        knock = knock_of(b"G\xff", b"/", Headers(sent))
        for place in places:
            if place.startswith("request_"):
                expected[place] = ()
        self.assertEqual(knock, Knock(method="G\xff", **expected))
