"""
Channel: one client's HTTP connection, from bytes to a request that may be processed.

1. A head is checked line by line, then authorization, method and target, then size; all
   before a byte of the body is read, and before a 100 Continue.
2. What fails is refused in the OpenAI shape, and the connection closes: what follows a
   bad request cannot be told from its rest.
3. At every time at most one deadline runs: for a head, a body, the next request, or for
   the client to take what was written. None runs while a request is processed.
4. A body is read in small bites, so that parsing it holds up no other connection.
"""

from http import HTTPStatus
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest

from swapgate.errors import APIError, error_body
from swapgate.net import bound_send_buffer, flush, unsent
from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Listener, admit
from swapgate.server.auth_delay import AuthDelay
from swapgate.server.body_memory import BodyMemory, bodies_full, too_large
from swapgate.server.pipelining import PipelinedChannel
from swapgate.server.refusal import LINGER_S, can_half_close, response
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

# How much of a body is read at a time: the worst JSON of this size takes 10 ms.
_BITE = 16 * 1024


class GatewayChannel(PipelinedChannel):
    """
    One client's connection. `site` and `transport` are set by Twisted.
    """

    site: Any
    transport: Any
    MAX_LENGTH = HEAD_LENGTH
    _refused = False
    # A refusal that is held back.
    _delayed: IDelayedCall | None = None
    _over_limit = False
    # Known when data has come: a PROXY header, which tells it, goes before.
    _listener: Listener | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        bound_send_buffer(self.transport)
        self._head = HeadChecker()
        self._deadline = Deadline(
            self.site.reactor,
            lambda: self.site.limits,
            self._time_out,
            lambda: unsent(self.transport),
        )
        self._address = getattr(self.transport.getPeer(), "host", "")
        error = self.site.connection_limit.add(self._address, self.site.limits)
        if error is None:
            self._update_deadline()
            return
        self._over_limit = True
        may_stay = self.site.connection_limit.add_refused()
        self.refuse(error)
        if may_stay:
            return
        if can_half_close(self.transport):
            flush(self.transport)
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()

    def _update_deadline(self) -> None:
        """
        Give the client time for what it is to do now.
        """
        self._deadline.expect(self._expected())

    def _expected(self) -> Wait | None:
        if self._refused:
            return None
        if self._waitingForTransport or self.transport.disconnecting:
            return Wait.TAKE
        if self._handlingRequest:
            return None
        if not self.line_mode:
            return Wait.BODY
        return Wait.HEAD if self._head.begun or self._buffer else Wait.REQUEST

    def _time_out(self, wait: Wait) -> None:
        if wait is Wait.TAKE:
            self.transport.abortConnection()
        elif wait is Wait.REQUEST:
            self.close_within(LINGER_S)
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
        # Twisted allows an empty line before a request (RFC 9112, 2.2).
        if line or self._head.begun:
            try:
                self._head.add_line(line)
            except APIError as error:
                self.refuse(error)
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
        except APIError as error:
            self.refuse(error, after_s=self._delay_s(error))
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

    def _delay_s(self, error: APIError) -> float:
        """
        How long a 401 is held back, against guessing keys.
        """
        if error.status != HTTPStatus.UNAUTHORIZED:
            return 0.0
        auth_delay: AuthDelay = self.site.auth_delay
        return auth_delay.delay_s(self._address, self.site.reactor.seconds())

    def _may_have_a_body(self, request: GatewayRequest) -> bool:
        """
        Whether the body may be read; it is kept only if the resource wants it.
        """
        try:
            request.body_is_wanted = self.site.resource.wants_body(
                self._command, self._path, request.requestHeaders
            )
        except APIError as error:
            self.refuse(error)
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
        More of a request's body has arrived.

        :param length: how much of it is here now.
        :param by: how much of that is new.
        """
        self._deadline.received(by)
        if length > self.site.limits.max_body_bytes:
            self.refuse(too_large(self.site.limits))
        elif self.requests[-1].body_is_wanted and not self._has_room(0):
            self.refuse(bodies_full(self.site.limits))

    def allContentReceived(self) -> None:
        if self._refused:
            return
        if self.is_overfull():
            # Requests that are answered at once could be pipelined by the thousand.
            self._refused = True
            self.transport.abortConnection()
            return
        try:
            # Twisted keeps them unchecked.
            check_trailers(getattr(self._transferDecoder, "_trailerHeaders", ()))
        except APIError as error:
            self.refuse(error)
            return
        self._deadline.expect(None)
        self.transport.bufferSize = FileDescriptor.bufferSize
        super().allContentReceived()

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        super().dataReceived(data)
        if self._has_begun_a_line():
            try:
                check_unfinished_line(self._buffer)
            except APIError as error:
                self.refuse(error)
        self._update_deadline()

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
        if self._handlingRequest and self.is_overfull():
            # Twisted would stop reading here, and never notice a disconnect.
            self.transport.abortConnection()

    def requestDone(self, request: HTTPRequest) -> None:
        super().requestDone(request)
        self._update_deadline()

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._update_deadline()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._update_deadline()

    def loseConnection(self) -> None:
        if not self.transport.disconnecting:
            super().loseConnection()
        self._update_deadline()

    def refuse(self, error: APIError, *, after_s: float = 0.0) -> None:
        """
        Answer what cannot become a request with an error, and close.

        :param after_s: how long the response is held back.
        """
        if self._refused:
            return
        self._refused = True
        self._deadline.expect(None)
        body = error_body(error)
        # What is known of the request while its head is read, if it was a request.
        method, target = getattr(self, "_command", b"-"), getattr(self, "_path", b"-")
        request = self.requests[-1] if self.requests else None
        log_entry = AccessLogEntry() if request is None else request.log_entry
        log_entry.error = error.code
        facts = log_entry.facts(self.site.reactor.seconds())
        if request is not None:
            request.body.drop()
        if after_s > 0:
            self._delayed = self.callLater(after_s, lambda: self._respond(error, body))
        else:
            self._respond(error, body)
        # Even if the client does not wait for it.
        self.site.log_line(method, target, error.status, len(body), facts)

    def _respond(self, error: APIError, body: bytes) -> None:
        self._delayed = None
        # A page that was allowed may read errors of later checks, too.
        granted = self.requests[-1].grant.headers if self.requests else ()
        self.transport.write(response(error, body, granted))
        self.setRawMode()
        if can_half_close(self.transport):
            self.transport.loseWriteConnection()
        else:
            super().loseConnection()
        self._abort_within(LINGER_S)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(bad_request("it is not HTTP that can be understood"))

    def close_within(self, seconds: float) -> None:
        """
        Close when the client has taken what was written, or abort after this time.
        """
        self._abort_within(min(seconds, LINGER_S))
        self.loseConnection()

    def _abort_within(self, seconds: float) -> None:
        if self._abortingCall is None:
            self._abortingCall = self.callLater(seconds, self.forceAbortClient)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.expect(None)
        if self._delayed is not None:
            self._delayed.cancel()
        super().connectionLost(reason)
        # By now the request's waits are in its log entry.
        if self._handlingRequest and self.requests:
            self.site.log_unfinished(self.requests[0])
        if self._over_limit:
            self.site.connection_limit.remove_refused()
        else:
            self.site.connection_limit.remove(self._address)
        self.site.channels.discard(self)
        self.site.check_closed()
