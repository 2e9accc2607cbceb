"""
Request: Twisted's, with its body in memory, its grant and its access log entry.
"""

from io import BytesIO
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import NO_CONTENT
from twisted.web.server import Request

from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Grant
from swapgate.server.body_memory import Body


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
    # An event stream was begun while its model was waited for: the status is sent.
    stream_begun = False
    # Whether its body is kept, or only counted.
    body_is_wanted = False
    #: How many bytes of its body have arrived.
    received = 0
    #: The client has gone; nothing can be written any more.
    disconnected = False

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.body = Body(self.channel.site.body_memory)
        self.log_entry = AccessLogEntry()

    def gotLength(self, length: int | None) -> None:
        # Twisted would write a large body to a file.
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self.received += len(data)
        if self.body_is_wanted:
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
