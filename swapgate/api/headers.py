"""
Header rules: which request headers reach the daemon, which response headers the client.

1. Request headers pass but for a deny-list: those of one hop (RFC 9110, 7.6.1), and
   what a client or its browser says to the gateway alone.
2. Response headers pass by an allow-list, one of each name; a reason phrase never does.
"""

from functools import lru_cache

from twisted.web.http import NO_BODY_CODES
from twisted.web.server import Request

from swapgate.server.request_parser import RequestHead
from swapgate.upstream.connection import Response

# Bodies pass unaltered, so no answer may be compressed: Accept-Encoding stays here.
_NOT_TO_DAEMON = frozenset(
    {
        b"host",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"expect",
        b"accept-encoding",
        b"authorization",
        b"x-api-key",
        b"cookie",
        b"origin",
        b"referer",
    }
)
# Not a daemon's CORS headers, cookies, Server or Date.
TO_CLIENT = {
    name.lower(): name
    for name in (
        b"Content-Type",
        b"Content-Encoding",
        b"Content-Disposition",
        b"Content-Language",
        b"Cache-Control",
        b"Retry-After",
        b"X-Request-Id",
    )
}


def headers_to_daemon(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """
    A request's headers without those that are not meant for the daemon.
    """
    named = b",".join(head.fields.get(b"connection", ())).lower().split(b",")
    dropped = {token.strip() for token in named}
    return [
        (name, value)
        for name, value in head.headers
        if _may_pass(name) and name.lower() not in dropped
    ]


@lru_cache(256)
def _may_pass(name: bytes) -> bool:
    lower = name.lower()
    browser = lower.startswith((b"sec-", b"access-control-"))
    return not browser and lower not in _NOT_TO_DAEMON


def copy_response_head(response: Response, request: Request) -> None:
    """
    Give the client's response the status, headers and length of the daemon's.
    """
    request.setResponseCode(response.status)
    # Of two the first: a second one would be read by some clients and not by others.
    for name, value in reversed(response.headers):
        if name in TO_CLIENT:
            request.setHeader(TO_CLIENT[name], value)
    if response.length is not None and response.status not in NO_BODY_CODES:
        request.setHeader(b"Content-Length", b"%d" % response.length)
