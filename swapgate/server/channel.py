"""
How does a request come in? Twisted's HTTP channel, with bounds and with answers.
"""

from http import HTTPStatus
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import (
    IDelayedCall,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest

from swapgate.errors import APIError, error_body
from swapgate.net import bound_send_buffer, flush, unsent
from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Listener, admit
from swapgate.server.auth_delay import AuthDelay
from swapgate.server.body_memory import BodyMemory, bodies_full, too_large
from swapgate.server.request import GatewayRequest
from swapgate.server.request_head import (
    HEAD_LENGTH,
    HeadChecker,
    bad_request,
    check_trailers,
    check_unfinished_line,
    headers_too_large,
    says_close,
    target_too_long,
)
from swapgate.server.request_origin import listener_of, request_origin
from swapgate.server.timeouts import Deadline, Wait

# After a refusal we read on so long, lest a reset overtakes the answer.
LINGER_S = 2.0
# So many requests that came together are answered before others have their turn.
_ANSWERS_A_TURN = 4
# So much of a body is read at a time. The worst that JSON can hold takes us 10 ms then,
# and others may have their turn.
_BITE = 16 * 1024


class GatewayChannel(HTTPChannel):
    """
    One client's connection: what it cannot read is refused in the OpenAI shape.
    """

    # Given by the factory.
    site: Any
    transport: Any
    MAX_LENGTH = HEAD_LENGTH
    _refused = False
    # A refusal that is kept back.
    _delayed: IDelayedCall | None = None
    # There was no room for it.
    _is_outside = False
    _answers = 0
    _turn: IDelayedCall | None = None
    # Known when something has come: a proxy's word about it goes before.
    _listener: Listener | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        bound_send_buffer(self.transport)
        self._head = HeadChecker()
        self._deadline = Deadline(
            self.site.reactor,
            lambda: self.site.limits,
            self._too_slow,
            lambda: unsent(self.transport),
        )
        self._address = getattr(self.transport.getPeer(), "host", "")
        refusal = self.site.connection_limit.add(self._address, self.site.limits)
        if refusal is None:
            self._wait()
            return
        self._is_outside = True
        may_stay = self.site.connection_limit.add_refused()
        self.refuse(refusal)
        if may_stay:
            return
        if _can_half_close(self.transport):
            flush(self.transport)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def _wait(self) -> None:
        """
        Give the client the time it has for what it is to do now.
        """
        self._deadline.expect(self._awaited())

    def _awaited(self) -> Wait | None:
        if self._refused:
            return None
        if self._waitingForTransport or self.transport.disconnecting:
            return Wait.TAKE
        if self._handlingRequest:
            return None
        if not self.line_mode:
            return Wait.BODY
        return Wait.HEAD if self._head.begun or self._buffer else Wait.REQUEST

    def _too_slow(self, wait: Wait) -> None:
        if wait is Wait.TAKE:
            self.transport.abortConnection()
        elif wait is Wait.REQUEST:
            self.hang_up()
        else:
            self.refuse(
                APIError(
                    status=408,
                    code="request_timeout",
                    message=f"this request took too long {wait.value}",
                )
            )

    def lineReceived(self, line: bytes) -> None:
        if self._refused:
            return
        # Twisted knows how many empty lines may come before a request.
        if line or self._head.begun:
            try:
                self._head.add_line(line)
            except APIError as refusal:
                self.refuse(refusal)
                return
            if not line:
                self._head = HeadChecker()
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(
            headers_too_large(f"all the headers have {HEAD_LENGTH} bytes at most")
            if self._head.begun
            else target_too_long()
        )

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        origin = request_origin(self._command, self._path, request.requestHeaders)
        if self._listener is None:
            self._listener = listener_of(self.transport)
        try:
            request.grant = admit(self.site.access, self._listener, origin)
        except APIError as refusal:
            self.refuse(refusal, after_s=self._delay_s(refusal))
            return
        request.log_entry.key = request.grant.key_name
        if self.length is not None and self.length > self.site.limits.max_body_bytes:
            self.refuse(too_large(self.site.limits))
            return
        if self.length != 0 and not self._may_have_a_body(request):
            return
        super().allHeadersReceived()
        if self.length != 0:
            self.transport.bufferSize = _BITE

    def _delay_s(self, refusal: APIError) -> float:
        """
        How long the answer is kept from one who may be trying keys.
        """
        if refusal.status != HTTPStatus.UNAUTHORIZED:
            return 0.0
        auth_delay: AuthDelay = self.site.auth_delay
        return auth_delay.delay_s(self._address, self.site.reactor.seconds())

    def _may_have_a_body(self, request: GatewayRequest) -> bool:
        """
        Whether its body is to be read; it is kept only where somebody wants it.
        """
        try:
            request.body_is_wanted = self.site.resource.wants_body(
                self._command, self._path, request.requestHeaders
            )
        except APIError as refusal:
            self.refuse(refusal)
            return False
        if request.body_is_wanted and not self._has_room(self.length or 0):
            self.refuse(bodies_full(self.site.limits))
            return False
        return True

    def _has_room(self, size: int) -> bool:
        memory: BodyMemory = self.site.body_memory
        return memory.has_room(size, self.site.limits)

    def checkPersistence(self, request: HTTPRequest, version: bytes) -> bool:
        values = request.requestHeaders.getRawHeaders(b"Connection", [])
        if version == b"HTTP/1.1" and not says_close(values):
            return True
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def body_grew(self, length: int, by: int) -> None:
        """
        So much of a request's body is here.
        """
        self._deadline.received(by)
        if length > self.site.limits.max_body_bytes:
            self.refuse(too_large(self.site.limits))
        elif self.requests[-1].body_is_wanted and not self._has_room(0):
            self.refuse(bodies_full(self.site.limits))

    def allContentReceived(self) -> None:
        if self._refused:
            return
        if self._is_overfull():
            # What is answered at once would be answered a thousand times in a row.
            self._refused = True
            self.transport.abortConnection()
            return
        try:
            # Twisted keeps them, and looks at none.
            check_trailers(getattr(self._transferDecoder, "_trailerHeaders", ()))
        except APIError as refusal:
            self.refuse(refusal)
            return
        self._deadline.expect(None)
        self.transport.bufferSize = FileDescriptor.bufferSize
        super().allContentReceived()

    def dataReceived(self, data: bytes) -> None:
        if not self._busyReceiving:
            self._answers = 0
        if self._refused:
            return
        super().dataReceived(data)
        if self._has_begun_a_line():
            try:
                check_unfinished_line(self._buffer)
            except APIError as refusal:
                self.refuse(refusal)
        self._wait()

    def _has_begun_a_line(self) -> bool:
        """
        Whether all lines have been read, and what is left is the start of the next.
        """
        stopped = self.paused or self._busyReceiving or self.transport.disconnecting
        return bool(self.line_mode) and not (stopped or self._refused)

    def rawDataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        super().rawDataReceived(data)
        if self._handlingRequest and self._is_overfull():
            # Twisted would stop reading here, and never notice a hang-up.
            self.transport.abortConnection()

    def requestDone(self, request: HTTPRequest) -> None:
        self._answers += 1
        if self._waitingForTransport:
            # Twisted would answer all that is pipelined, and keep the answers.
            self.paused = True
            self._networkProducer.pauseProducing()
        elif self._answers >= _ANSWERS_A_TURN and self.persistent:
            # And all at once, while others wait.
            self.paused = True
            self._turn = self.callLater(0, self._take_turn)
        super().requestDone(request)
        if self._turn is not None:
            self._networkProducer.pauseProducing()
        self._wait()

    def _take_turn(self) -> None:
        self._turn = None
        # Else it goes on when there is room again.
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()
            self._go_on()

    def _go_on(self) -> None:
        if self.paused:
            self.paused = False
            self.dataReceived(b"")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if self._waitingForTransport:
            # The answer before it fills the buffer still; Twisted would not tell.
            producer.pauseProducing()

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._wait()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._turn is None:
            self._go_on()
        self._wait()

    def loseConnection(self) -> None:
        super().loseConnection()
        self._wait()

    def _is_overfull(self) -> bool:
        waiting = len(self._buffer) + sum(map(len, self._dataBuffer))
        return waiting > self._optimisticEagerReadSize

    def refuse(self, refusal: APIError, *, after_s: float = 0.0) -> None:
        """
        Answer what cannot become a request, and close.

        :param after_s: how long the answer is kept back.
        """
        if self._refused:
            return
        self._refused = True
        self._deadline.expect(None)
        body = error_body(refusal)
        # What is known of the request while its head is read, if it was a request.
        method, target = getattr(self, "_command", b"-"), getattr(self, "_path", b"-")
        log_entry = self.requests[-1].log_entry if self.requests else AccessLogEntry()
        log_entry.error = refusal.code
        facts = log_entry.facts(self.site.reactor.seconds())
        if self.requests:
            self.requests[-1].body.drop()
        if after_s > 0:
            self._delayed = self.callLater(after_s, lambda: self._say(refusal, body))
        else:
            self._say(refusal, body)
        # Also of one who does not wait for it.
        self.site.log_request(method, target, refusal.status, len(body), facts)

    def _say(self, refusal: APIError, body: bytes) -> None:
        self._delayed = None
        # A page that was let in may read what is wrong later.
        said = refusal.headers + (
            self.requests[-1].grant.headers if self.requests else ()
        )
        status = HTTPStatus(refusal.status)
        head = [
            b"HTTP/1.1 %d %s" % (status, status.phrase.encode()),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
            *(f"{name}: {value}".encode("latin-1") for name, value in said),
        ]
        if refusal.retry_after_s is not None:
            head.append(b"Retry-After: %d" % refusal.retry_after_s)
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.setRawMode()
        if _can_half_close(self.transport):
            self.transport.loseWriteConnection()
        else:
            super().loseConnection()
        self._abort_in_time()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(bad_request("it is not HTTP that can be understood"))

    def hang_up(self, within_s: float = LINGER_S) -> None:
        """
        Close, when what was written has been taken or its time has passed.
        """
        self._abort_in_time(min(within_s, LINGER_S))
        self.loseConnection()

    def _abort_in_time(self, within_s: float = LINGER_S) -> None:
        if self._abortingCall is None:
            self._abortingCall = self.callLater(within_s, self.forceAbortClient)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.expect(None)
        for call in (self._delayed, self._turn):
            if call is not None:
                call.cancel()
        super().connectionLost(reason)
        # Whoever served it knows now, and has said how long it waited.
        if self._handlingRequest and self.requests:
            self.site.log_unfinished(self.requests[0])
        if self._is_outside:
            self.site.connection_limit.remove_refused()
        else:
            self.site.connection_limit.remove(self._address)
        self.site.channels.discard(self)
        self.site.check_closed()


def _can_half_close(transport: object) -> bool:
    # Half of a TLS connection is no connection: what was written would not get out.
    return ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(
        transport
    )
