"""
Request: Twisted's, with its body in memory, its grant and its access log entry.
"""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, NO_CONTENT
from twisted.web.server import Request

from swapgate.errors import APIError, error_body
from swapgate.net import send_now
from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Grant
from swapgate.server.body_memory import Body
from swapgate.server.request_parser import RequestHead

_PHRASES = {each.value: each.phrase.encode() for each in HTTPStatus}

Serve = Callable[["GatewayRequest"], Coroutine[Any, Any, None]]


@frozen
class Route:
    """
    What answers a request, decided by its head alone.

    :param keeps_body: its body is kept; it is only counted otherwise.
    """

    serve: Serve
    keeps_body: bool = False


class GatewayRequest(Request):
    """
    One request; its headers are in `head`. Twisted neither parses its body nor writes
    its response: a head leaves with the first bytes of the body, and the last ones with
    the final chunk, all at once.
    """

    # None when the request is over.
    channel: Any
    # From `auth`, before the request is processed.
    grant = Grant()
    #: The API by whose rules a stream was begun while the model was waited for.
    promised_by: Any = None
    # What answers it; None until the resource has been asked.
    route: Route | None = None
    #: What is done for it, and cancelled when its client goes.
    serving: Deferred[None] | None = None
    #: How many bytes of its body have arrived.
    received = 0
    #: The client has gone; nothing can be written any more.
    disconnected = False
    # Its response has a head only.
    _bodiless = False

    def __init__(self, channel: Any, head: RequestHead) -> None:
        super().__init__(channel)
        self.head = head
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.body = Body(channel.site.body_memory)
        self.log_entry = AccessLogEntry()
        #: The headers of the response; `responseHeaders` may have more.
        self.fields: dict[bytes, bytes] = {}

    @property
    def keeps_body(self) -> bool:
        return self.route is not None and self.route.keeps_body

    def setHeader(self, name: bytes, value: bytes) -> None:
        self.fields[name] = value

    def write(self, data: bytes, final_chunk: bytes = b"") -> None:
        if self.disconnected:
            return
        head = b"" if self.startedWriting else self._begin()
        if self._bodiless:
            data = b""
        self.sentLength += len(data)
        if self.chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            data += final_chunk
        send_now(self.channel.transport, head + data)

    def finish(self, last: bytes = b"") -> None:
        """
        :param last: the end of the response.
        """
        # Before the next request is parsed, which may be here already.
        self.body.drop()
        self.write(last, b"0\r\n\r\n")
        # The final chunk is sent.
        self.chunked = 0
        super().finish()

    def fail(self, error: APIError) -> bytes:
        """
        Make its response that of an error: the body.
        """
        self.log_entry.error = error.code
        self.setResponseCode(error.status)
        for name, value in error.response_headers:
            self.setHeader(name.encode(), value.encode("latin-1"))
        body = error_body(error, self.uri)
        self.setHeader(b"Content-Type", b"application/json")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        return body

    def _begin(self) -> bytes:
        """
        The head of the response.
        """
        self.startedWriting = 1
        fields = self.fields
        for name, value in self.grant.headers:
            fields[name.encode()] = value.encode("latin-1")
        self._bodiless = self.method == b"HEAD" or self.code in NO_BODY_CODES
        if (
            b"Content-Length" not in fields
            and self.clientproto == b"HTTP/1.1"
            and not self._bodiless
        ):
            self.chunked = 1
            fields[b"Transfer-Encoding"] = b"chunked"
        lines = [
            b"%b %d %b" % (self.clientproto, self.code, _PHRASES.get(self.code, b"")),
            *map(b"%b: %b".__mod__, fields.items()),
        ]
        for field, values in self.responseHeaders.getAllRawHeaders():
            lines += [b"%b: %b" % (field, each) for each in values]
        head = b"\r\n".join(lines)
        ends = len(lines) - 1
        if head.count(b"\n") != ends or head.count(b"\r") != ends:
            # No value begins another line.
            head = b"\r\n".join(b" ".join(line.splitlines()) for line in lines)
        return b"%b\r\n%b\r\n\r\n" % (head, self.channel.site.lines())

    def connectionLost(self, reason: Failure) -> None:
        self.disconnected = True
        super().connectionLost(reason)
        if self.serving is not None:
            self.serving.cancel()
        self.body.drop()

    def process(self) -> None:
        self.site = site = self.channel.site
        if self.grant.preflight:
            self.setResponseCode(NO_CONTENT)
            self.finish()
        else:
            site.resource.render(self)
