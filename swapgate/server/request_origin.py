"""
Request origin: what `auth` decides by, from a transport and a head.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISSLTransport

from swapgate.server.auth import Listener, RequestOrigin
from swapgate.server.request_parser import RequestHead

_METHOD = b"access-control-request-method"
_HEADERS = b"access-control-request-headers"
_PRIVATE_NETWORK = b"access-control-request-private-network"


def listener_of(transport: Any) -> Listener:
    """
    The Listener at which this connection came in.
    """
    host = transport.getHost()
    secure = ISSLTransport.providedBy(transport)
    if isinstance(host, IPv4Address | IPv6Address):
        return Listener(address=host.host, port=host.port, secure=secure)
    return Listener(address=None, port=None, secure=secure)


def request_origin(head: RequestHead) -> RequestOrigin:
    """
    What a request's head says of its origin.
    """

    def values(name: bytes) -> Sequence[str]:
        return [value.decode("latin-1") for value in head.fields.get(name, ())]

    preflight = head.method == b"OPTIONS"
    return RequestOrigin(
        method=head.method.decode("latin-1"),
        target=head.target.decode("latin-1"),
        host=values(b"host"),
        origin=values(b"origin"),
        sec_fetch_site=values(b"sec-fetch-site"),
        sec_fetch_mode=values(b"sec-fetch-mode"),
        sec_fetch_dest=values(b"sec-fetch-dest"),
        authorization=values(b"authorization"),
        x_api_key=values(b"x-api-key"),
        request_method=values(_METHOD) if preflight else (),
        request_headers=values(_HEADERS) if preflight else (),
        request_private_network=values(_PRIVATE_NETWORK) if preflight else (),
    )
