"""
How does a request come in? Twisted's HTTP channel, with bounds and with answers.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import (
    NO_CONTENT,
    RESPONSES,
    HTTPChannel,
    datetimeToString,
)
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from swapgate.access import Access
from swapgate.body import BadJSON, BodyReader, Wish
from swapgate.guard import Pass, admit
from swapgate.routing import Refusal, error_body
from swapgate.upstream import flush
from swapgate.web.guard import door_of, knock_of

MAX_BODY = 64 * 2**20
# Bodies are kept in pieces of about this size, however small they came.
_PIECE = 64 * 1024
# After a refusal we read on so long, lest a reset overtakes the answer.
_LINGER_S = 2.0
_FULL_RETRY_AFTER_S = 5


class Body:
    """
    A request's body: its bytes as they came, read for its wish on the way.
    """

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[bytearray] = []
        self._reader = BodyReader()
        self._fault: BadJSON | None = None

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if self._fault is not None:
            return
        try:
            self._reader.feed(data)
        except BadJSON as fault:
            # Nobody will want these bytes.
            self._fault = fault
            self._pieces.clear()
            return
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))

    def wish(self) -> Wish:
        """
        What the whole body asks for.

        :raises BadJSON: for the first fault in it.
        """
        if self._fault is not None:
            raise self._fault
        return self._reader.close()

    def pieces(self) -> Sequence[bytearray]:
        return self._pieces


class GatewayRequest(Request):
    """
    A request whose body stays in memory, unparsed by Twisted.
    """

    channel: "GatewayChannel"
    # What the guard said; nobody is here whom it did not let in.
    passed = Pass()
    # An answer without a Content-Type stays without one.
    defaultContentType = None
    # A stream was begun while its model was waited for: its status is gone.
    promised = False
    # How long it was held, for the load and for all else.
    load_s = queue_s = 0.0

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.body = Body()

    def gotLength(self, length: int | None) -> None:
        # Twisted would write a large body to a file.
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self.body.add(data)
        if self.body.length > MAX_BODY:
            self.channel.refuse(_too_large())

    def process(self) -> None:
        self.site = self.channel.site
        self.setHeader(b"Server", b"swapgate")
        self.setHeader(b"Date", datetimeToString())
        for name, value in self.passed.headers:
            self.setHeader(name, value)
        if self.passed.preflight:
            self.setResponseCode(NO_CONTENT)
            self.finish()
        else:
            self.site.resource.render(self)


def _too_large() -> Refusal:
    return Refusal(
        status=413,
        code="request_too_large",
        message=f"the body is larger than {MAX_BODY // 2**20} MiB; send a smaller one",
    )


class GatewayChannel(HTTPChannel):
    """
    One client's connection: what it cannot read is refused in the OpenAI shape.
    """

    # Given by the factory.
    site: "GatewaySite"
    transport: Any
    _refused = False

    def connectionMade(self) -> None:
        super().connectionMade()
        if len(self.site.channels) > self.site.most_channels:
            self.refuse(
                Refusal(
                    status=503,
                    code="too_many_connections",
                    message=f"{self.site.most_channels} connections are open, which is "
                    "all that there are descriptors for; close some, or try again",
                    retry_after_s=_FULL_RETRY_AFTER_S,
                )
            )

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        knock = knock_of(self._command, self._path, request.requestHeaders)
        try:
            door = door_of(self.transport)
            request.passed = admit(self.site.access, door, knock)
        except Refusal as refusal:
            self.refuse(refusal)
            return
        if self.length is not None and self.length > MAX_BODY:
            self.refuse(_too_large())
            return
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        if not self._refused:
            super().allContentReceived()

    def dataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        super().rawDataReceived(data)
        if self._handlingRequest and self._is_overfull():
            # Twisted would stop reading here, and never notice a hang-up.
            self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self._waitingForTransport:
            # The answer before it fills the buffer still; Twisted would not tell.
            producer.pauseProducing()

    def _is_overfull(self) -> bool:
        return sum(map(len, self._dataBuffer)) > self._optimisticEagerReadSize

    def refuse(self, refusal: Refusal) -> None:
        """
        Answer what cannot become a request, and close.
        """
        if self._refused:
            return
        self._refused = True
        body = error_body(refusal)
        # A page that was let in may read what is wrong later.
        said = refusal.headers + (
            self.requests[-1].passed.headers if self.requests else ()
        )
        head = [
            b"HTTP/1.1 %d %s" % (refusal.status, RESPONSES.get(refusal.status, b"")),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
            *(f"{name}: {value}".encode("latin-1") for name, value in said),
        ]
        if refusal.retry_after_s is not None:
            head.append(b"Retry-After: %d" % refusal.retry_after_s)
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.setRawMode()
        self.setTimeout(None)
        if self.isSecure() or not ITCPTransport.providedBy(self.transport):
            # TLS has an end of its own, and then waits for that of the other side.
            self.hang_up()
        else:
            self.transport.loseWriteConnection()
            self._abortingCall = self.callLater(_LINGER_S, self.forceAbortClient)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(
            Refusal(
                status=400,
                code="bad_request",
                message="this is not an HTTP request that can be understood",
            )
        )

    def hang_up(self) -> None:
        """
        Close, when what was written has been taken or `_LINGER_S` has passed.
        """
        if self._abortingCall is None:
            self._abortingCall = self.callLater(_LINGER_S, self.forceAbortClient)
        self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.site.channels.discard(self)
        self.site.check_closed()


class GatewaySite(Site):
    """
    The factory of channels; logs a line for each answer.
    """

    protocol: Any = GatewayChannel
    noisy = False
    _log = Logger()
    _closed: Deferred[None] | None = None

    def __init__(
        self,
        resource: IResource,
        *,
        access: Access,
        most_channels: int,
        **kwargs: object,
    ) -> None:
        """
        :param most_channels: so many connections at a time; the next ones get 503.
        """
        super().__init__(
            resource, GatewayRequest, parsePOSTFormSubmission=False, **kwargs
        )
        # Another configuration may be another.
        self.access = access
        self.most_channels = most_channels
        self.channels: set[Any] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        channel = super().buildProtocol(addr)
        self.channels.add(channel)
        return channel

    def close(self) -> Deferred[None]:
        """
        Close every connection; fires when none is left.
        """
        self._closed = Deferred()
        closed = self._closed
        for channel in list(self.channels):
            channel.hang_up()
        self.check_closed()
        return closed

    def check_closed(self) -> None:
        if self._closed is not None and not self.channels:
            closed, self._closed = self._closed, None
            closed.callback(None)

    def startFactory(self) -> None:
        """
        Twisted would open its own access log and keep a clock for it.
        """

    def log(self, request: HTTPRequest) -> None:
        # All is written: it goes before the line about it is made.
        flush(request.channel.transport)
        self._log.info(
            "{method} {path} {status} {size}",
            method=request.method.decode("ascii", "backslashreplace"),
            path=request.path.decode("ascii", "backslashreplace"),
            status=request.code,
            size=request.sentLength,
        )
