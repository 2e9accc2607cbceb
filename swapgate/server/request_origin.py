"""
Request origin: what `auth` decides by, from a Twisted transport and headers.
"""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISSLTransport
from twisted.web.http_headers import Headers

from swapgate.server.auth import Listener, RequestOrigin

_METHOD = b"Access-Control-Request-Method"
_HEADERS = b"Access-Control-Request-Headers"
_PRIVATE_NETWORK = b"Access-Control-Request-Private-Network"


def listener_of(transport: Any) -> Listener:
    """
    The Listener at which this connection came in.
    """
    host = transport.getHost()
    secure = ISSLTransport.providedBy(transport)
    if isinstance(host, IPv4Address | IPv6Address):
        return Listener(address=host.host, port=host.port, secure=secure)
    return Listener(address=None, port=None, secure=secure)


def request_origin(method: bytes, target: bytes, headers: Headers) -> RequestOrigin:
    """
    What a request's head says of its origin.
    """

    def values(name: bytes) -> list[str]:
        return [value.decode("latin-1") for value in headers.getRawHeaders(name, ())]

    preflight = method == b"OPTIONS"
    return RequestOrigin(
        method=method.decode("latin-1"),
        target=target.decode("latin-1"),
        host=values(b"Host"),
        origin=values(b"Origin"),
        sec_fetch_site=values(b"Sec-Fetch-Site"),
        authorization=values(b"Authorization"),
        x_api_key=values(b"X-Api-Key"),
        request_method=values(_METHOD) if preflight else (),
        request_headers=values(_HEADERS) if preflight else (),
        request_private_network=values(_PRIVATE_NETWORK) if preflight else (),
    )
