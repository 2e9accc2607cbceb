"""
Request: Twisted's, with its body in memory, its grant and its access log entry.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import frozen
from twisted.python.failure import Failure
from twisted.web.http import NO_CONTENT
from twisted.web.http_headers import Headers
from twisted.web.server import Request

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
    One request; Twisted neither parses its body nor writes it to a file.
    """

    # None when the request is over.
    channel: Any
    # From `auth`, before the request is processed.
    grant = Grant()
    # A response without a Content-Type stays without one.
    defaultContentType = None
    #: The API by whose rules a stream was begun while the model was waited for.
    promised_by: Any = None
    # What answers it; None until the resource has been asked.
    route: Route | None = None
    #: How many bytes of its body have arrived.
    received = 0
    #: The client has gone; nothing can be written any more.
    disconnected = False

    def __init__(self, channel: Any, head: RequestHead) -> None:
        super().__init__(channel)
        self.head = head
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = head.target.partition(b"?")[0]
        self.args: dict[bytes, list[bytes]] = {}
        self.body = Body(channel.site.body_memory)
        self.log_entry = AccessLogEntry()

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

    def finish(self) -> None:
        # Before the next request is parsed, which may be here already.
        self.body.drop()
        super().finish()

    def connectionLost(self, reason: Failure) -> None:
        self.disconnected = True
        super().connectionLost(reason)
        self.body.drop()

    def process(self) -> None:
        self.site = self.channel.site
        self.setHeader(b"Server", b"swapgate")
        self.setHeader(b"Date", self.channel.site.date())
        for name, value in self.grant.headers:
            self.setHeader(name, value)
        if self.grant.preflight:
            self.setResponseCode(NO_CONTENT)
            self.finish()
        else:
            self.site.resource.render(self)
