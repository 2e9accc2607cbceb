"""
Header rules: which request headers reach the daemon, which response headers the client.

1. Request headers pass but for a deny-list: those of one hop (RFC 9110, 7.6.1), and
   what a client or its browser says to the gateway alone.
2. Response headers pass by an allow-list, one of each name; a reason phrase never does.
"""

from twisted.web.http import NO_BODY_CODES
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.server import Request

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
TO_CLIENT = frozenset(
    {
        b"Content-Type",
        b"Content-Encoding",
        b"Content-Disposition",
        b"Content-Language",
        b"Cache-Control",
        b"Retry-After",
        b"X-Request-Id",
    }
)


def headers_to_daemon(headers: Headers) -> Headers:
    """
    A request's headers without those that are not meant for the daemon.
    """
    named = b",".join(headers.getRawHeaders(b"Connection", ())).lower()
    dropped = _NOT_TO_DAEMON.union(token.strip() for token in named.split(b","))
    return Headers(
        {
            name: values
            for name, values in headers.getAllRawHeaders()
            if (lower := name.lower()) not in dropped
            and not lower.startswith((b"sec-", b"access-control-"))
        }
    )


def copy_response_head(response: IResponse, request: Request) -> None:
    """
    Give the client's response the status, headers and length of the daemon's.
    """
    request.setResponseCode(response.code)
    for name, values in response.headers.getAllRawHeaders():
        if name in TO_CLIENT:
            # A second one would be read by some clients and not by others.
            request.responseHeaders.setRawHeaders(name, values[:1])
    # Twisted's client takes Content-Length out of the headers it hands on.
    length = response.length
    if isinstance(length, int) and response.code not in NO_BODY_CODES:
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % length])
