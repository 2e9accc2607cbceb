"""
What of a connection and of a head authorization decides by.
"""

from typing import Any

from attrs import define
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from swapgate.server.auth import Listener, RequestOrigin
from swapgate.server.request_origin import listener_of, request_origin
from swapgate.server.request_parser import RequestHead


@define(slots=False)
class Wire:
    """
    A connection that came in here.
    """

    host: IAddress

    def getHost(self) -> IAddress:
        return self.host


class ListenerTests(SynchronousTestCase):
    """
    Where a connection came in.
    """

    def test_addresses(self) -> None:
        """
        The one that was reached, of either kind; a UNIX socket has none.
        """
        for host, listener in (
            (IPv4Address("TCP", "127.0.0.1", 1), Listener(address="127.0.0.1", port=1)),
            (IPv6Address("TCP", "::1", 2), Listener(address="::1", port=2)),
            (UNIXAddress(b"/run/x"), Listener(address=None, port=None)),
        ):
            self.assertEqual(listener_of(Wire(host)), listener)

    def test_tls(self) -> None:
        """
        It makes another scheme.
        """
        wire = Wire(IPv4Address("TCP", "127.0.0.1", 443))
        directlyProvides(wire, ISSLTransport)
        self.assertTrue(listener_of(wire).secure)


class RequestOriginTests(SynchronousTestCase):
    """
    What a head says of its origin.
    """

    def test_headers(self) -> None:
        """
        Each in its place, with all its values; any bytes can be in them.
        """
        places = {
            "host": b"Host",
            "origin": b"Origin",
            "sec_fetch_site": b"Sec-Fetch-Site",
            "sec_fetch_mode": b"Sec-Fetch-Mode",
            "sec_fetch_dest": b"Sec-Fetch-Dest",
            "authorization": b"Authorization",
            "x_api_key": b"x-api-key",
            "request_method": b"Access-Control-Request-Method",
            "request_headers": b"Access-Control-Request-Headers",
            "request_private_network": b"Access-Control-Request-Private-Network",
        }
        sent = [
            (name, value)
            for name in places.values()
            for value in (b"1 " + name, b"\xff")
        ]
        expected: dict[str, Any] = {
            place: ["1 " + name.decode(), "\xff"] for place, name in places.items()
        }
        origin_of_request = request_origin(
            RequestHead(b"OPTIONS", b"/\xff", b"HTTP/1.1", sent)
        )
        self.assertEqual(
            origin_of_request,
            RequestOrigin(method="OPTIONS", target="/\xff", **expected),
        )
        # Of a preflight's only a preflight has any.
        origin_of_request = request_origin(RequestHead(b"GET", b"/", b"HTTP/1.1", sent))
        for place in places:
            if place.startswith("request_"):
                expected[place] = ()
        self.assertEqual(origin_of_request, RequestOrigin(method="GET", **expected))
