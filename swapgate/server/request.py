"""
Request: Twisted's, with its body in memory, its grant and its access log entry.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, NO_CONTENT
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from swapgate.net import send_now
from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Grant
from swapgate.server.body_memory import Body
from swapgate.server.request_parser import RequestHead

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
    One request. Twisted neither parses its body nor writes its response: a head leaves
    with the first bytes of the body, the last ones with the final chunk, all at once.
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
    def requestHeaders(self) -> Headers:
        """
        Made when it is asked for: our own code reads `head`.
        """
        headers = Headers()
        for name, value in self.head.headers:
            headers.addRawHeader(name, value)
        return headers

    @requestHeaders.setter
    def requestHeaders(self, _: Headers) -> None:
        """
        Twisted's Request begins with none.
        """

    @property
    def keeps_body(self) -> bool:
        return self.route is not None and self.route.keeps_body

    def handleContentChunk(self, data: bytes) -> None:
        self.received += len(data)
        if self.keeps_body:
            self.body.add(data)

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

    def _begin(self) -> bytes:
        """
        The head of the response.
        """
        self.startedWriting = 1
        fields = self.fields
        self._bodiless = self.method == b"HEAD" or self.code in NO_BODY_CODES
        if (
            b"Content-Length" not in fields
            and self.clientproto == b"HTTP/1.1"
            and not self._bodiless
        ):
            self.chunked = 1
            fields[b"Transfer-Encoding"] = b"chunked"
        lines = [
            b"%b %d %b" % (self.clientproto, self.code, self.code_message),
            *map(b"%b: %b".__mod__, fields.items()),
        ]
        for name, values in self.responseHeaders.getAllRawHeaders():
            lines += [b"%b: %b" % (name, value) for value in values]
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
        for name, value in self.grant.headers:
            self.fields[name.encode()] = value.encode("latin-1")
        if self.grant.preflight:
            self.setResponseCode(NO_CONTENT)
            self.finish()
        else:
            site.resource.render(self)
