"""
Channel: one client's HTTP connection, from bytes to a request that may be processed.

1. A head is parsed, then authorized, then its method, target and size are checked; all
   before a byte of the body is kept, and before a 100 Continue.
2. What fails is refused in the shape of the API that was asked, and the connection
   closes: what follows a bad request cannot be told from its rest.
3. At every time at most one deadline runs: for a head, a body, the next request, or for
   the client to take what was written. None runs while a request is processed.
4. Requests are answered one after the other (RFC 9112, 9.3.2). What is pipelined waits,
   within a bound; after a few answers in one go other connections have their turn; none
   is begun while the client does not take what was written.
"""

from collections import deque
from http import HTTPStatus
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IDelayedCall, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from swapgate.errors import APIError
from swapgate.net import bound_send_buffer, flush, unsent
from swapgate.server.auth import Grant, Listener, admit
from swapgate.server.auth_delay import AuthDelay
from swapgate.server.body_memory import check_size
from swapgate.server.request import GatewayRequest, Route
from swapgate.server.request_parser import Event, RequestHead, RequestParser
from swapgate.server.timeouts import Deadline, Wait

#: For how long a connection that is to close may stay.
LINGER_S = 2.0
# How much may be pipelined behind a request. We go on reading, or we would not notice
# that the client has disconnected.
_PIPELINED = 16 * 1024
# So much is parsed at once where requests may begin: their heads take 60 times as much.
_SLICE = 4 * 1024
# How many requests that came together are answered before other connections' turn.
_ANSWERS_A_TURN = 4


def can_half_close(transport: object) -> bool:
    """
    Whether one direction of it can be closed. Not under TLS: what was written before
    would not be sent.
    """
    return ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(
        transport
    )


def listener_of(transport: Any) -> Listener:
    """
    Where this connection came in.
    """
    host = transport.getHost()
    is_ip = isinstance(host, IPv4Address | IPv6Address)
    return Listener(
        address=host.host if is_ip else None,
        port=host.port if is_ip else None,
        secure=ISSLTransport.providedBy(transport),
    )


class GatewayChannel(Protocol):
    """
    One client's connection. `site` and `transport` are set by Twisted.

    Its Requests ask of it what they ask of Twisted's own channels: `registerProducer`,
    `requestDone` and so on; but they write to its transport.
    """

    site: Any
    factory: Any
    transport: Any
    # The request whose head has been accepted, until its response is finished.
    _request: GatewayRequest | None = None
    # All of it is here, and the resource has it.
    _processing = False
    _advancing = False
    _answers = 0
    _turn: IDelayedCall | None = None
    # The transport's buffer is full.
    _client_is_slow = False
    _producer: Any = None
    _refused = False
    # A refusal that is held back.
    _delayed: IDelayedCall | None = None
    _aborting: IDelayedCall | None = None
    _over_limit = False
    # What the last head said, and what it was granted by which rules.
    _admitted: tuple[Any, Any, Grant, Route | None] = (None, None, Grant(), None)
    # Known when data has come: a PROXY header, which tells it, goes before.
    _listener: Listener | None = None

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        bound_send_buffer(self.transport)
        self._parser = RequestParser()
        self._events: deque[Event] = deque()
        self._unread = b""
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

    # From bytes to a request.

    def dataReceived(self, data: bytes) -> None:
        if self._refused or self.transport.disconnecting:
            return
        self._unread += data
        if not self._is_busy():
            self._answers = 0
            self._advance()
        if self._processing and len(self._unread) > _PIPELINED:
            self.transport.abortConnection()

    def _is_busy(self) -> bool:
        """
        Whether what comes next has to wait.
        """
        return (
            self._processing
            or (self._client_is_slow and self._request is None)
            or self._turn is not None
            or self._refused
            or self.transport.disconnecting
        )

    def _advance(self) -> None:
        """
        Take what has arrived, as far as it is its turn.
        """
        if self._advancing:
            return
        self._advancing = True
        while not self._is_busy() and (self._events or self._unread):
            if not self._events:
                size = max(_SLICE, self._body_left())
                data, self._unread = self._unread[:size], self._unread[size:]
                self._events.extend(self._parser.feed(data))
            if self._events:
                self._take(self._events.popleft())
        self._advancing = False
        self._update_deadline()

    def _body_left(self) -> int:
        """
        How much of a body is to come, as far as its length is known.
        """
        if self._request is None:
            return 0
        return (self._request.head.length or 0) - self._request.received

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestHead):
            self._begin(event)
        elif isinstance(event, APIError):
            self.refuse(event)
        elif self._request is not None:
            if event is None:
                self._process(self._request)
            else:
                self._add_to_body(self._request, event)

    def _begin(self, head: RequestHead) -> None:
        """
        Decide by a request's head alone, before any of its body is kept.
        """
        self._request = request = self._new_request(head)
        try:
            self._check(request, head)
        except APIError as error:
            self.refuse(error, after_s=self._delay_s(error))
            return
        if head.length != 0:
            expected = (head.first(b"expect") or b"").lower()
            # HTTP/1.0 has none (RFC 9110, 10.1.1).
            if expected == b"100-continue" and head.version == b"HTTP/1.1":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _new_request(self, head: RequestHead) -> GatewayRequest:
        if self._listener is None:
            self._listener = listener_of(self.transport)
            self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        request: GatewayRequest = self.site.requestFactory(self, head)
        return request

    def _check(self, request: GatewayRequest, head: RequestHead) -> None:
        site, listener = self.site, self._listener
        assert listener is not None
        fields, access, grant, route = self._admitted
        if head.fields is not fields or site.access is not access:
            # What is decided by the same head under the same rules is the same.
            grant = admit(site.access, listener, head, site.pages)
            route = None
        request.grant = grant
        request.log_entry.key = grant.key_name
        if head.length != 0:
            check_size(head.length or 0, site.limits)
            request.route = route = route or site.resource.route(head)
            if request.keeps_body:
                site.body_memory.check_room(head.length or 0, site.limits)
        self._admitted = head.fields, site.access, grant, route

    def _delay_s(self, error: APIError) -> float:
        """
        How long a 401 is held back, against guessing keys.
        """
        if error.status != HTTPStatus.UNAUTHORIZED:
            return 0.0
        auth_delay: AuthDelay = self.site.auth_delay
        return auth_delay.delay_s(self._address, self.site.reactor.seconds())

    def _add_to_body(self, request: GatewayRequest, data: bytes) -> None:
        limits = self.site.limits
        self._deadline.received(len(data))
        request.received += len(data)
        try:
            check_size(request.received, limits)
            if request.keeps_body:
                request.body.add(data)
                self.site.body_memory.check_room(0, limits)
        except APIError as error:
            self.refuse(error)

    def _process(self, request: GatewayRequest) -> None:
        self._processing = True
        self._deadline.expect(None)
        if not request.head.persistent:
            request.setHeader(b"Connection", b"close")
        request.process()

    def requestDone(self, request: GatewayRequest) -> None:
        """
        The response is complete: the next request has its turn.
        """
        self._request = None
        self._processing = False
        if not request.head.persistent:
            self.loseConnection()
            return
        self._answers += 1
        if (self._events or self._unread) and self._answers >= _ANSWERS_A_TURN:
            self._turn = self.site.reactor.callLater(0, self._take_turn)
        if self._is_busy():
            self.transport.pauseProducing()
        self._advance()

    def _take_turn(self) -> None:
        self._turn = None
        self._answers = 0
        if not self._client_is_slow:
            self.transport.resumeProducing()
            self._advance()

    # What the client is to do now, and for how long we wait for it.

    def _update_deadline(self) -> None:
        self._deadline.expect(self._expected())

    def _expected(self) -> Wait | None:
        if self._refused:
            return None
        if self._client_is_slow or self.transport.disconnecting:
            return Wait.TAKE
        if self._processing:
            return None
        if self._request is not None:
            return Wait.BODY
        begun = self._parser.begun or self._events or self._unread
        return Wait.HEAD if begun else Wait.REQUEST

    def _time_out(self, wait: Wait) -> None:
        if wait is Wait.TAKE:
            self.transport.abortConnection()
        elif wait is Wait.REQUEST:
            self.close_within(LINGER_S)
        else:
            what = f"this request took too long {wait.value}"
            self.refuse(APIError(status=408, code="request_timeout", message=what))

    # What Twisted's Request asks of its channel.

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self._host

    def isSecure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    # Backpressure: the transport says when its buffer is full, and when it is empty.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer
        if self._client_is_slow:
            # The response before it fills the buffer still.
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._client_is_slow = True
        if self._producer is not None:
            self._producer.pauseProducing()
        if not self._processing:
            self.transport.pauseProducing()
        self._update_deadline()

    def resumeProducing(self) -> None:
        self._client_is_slow = False
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._turn is None:
            self.transport.resumeProducing()
            self._advance()
        self._update_deadline()

    def stopProducing(self) -> None:
        if self._producer is not None:
            self._producer.stopProducing()

    # How it ends.

    def loseConnection(self) -> None:
        if not self.transport.disconnecting:
            # It would wait for a producer.
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        self._update_deadline()

    def refuse(self, error: APIError, *, after_s: float = 0.0) -> None:
        """
        Answer what cannot become a request with an error, and close (RFC 9112, 9.6): by
        FIN, while what the client still sends is read and dropped for LINGER_S, because
        a reset could overtake the response.

        :param after_s: how long the response is held back.
        """
        if self._refused:
            return
        self._refused = True
        self._deadline.expect(None)
        if (request := self._request) is None:
            # There may be hardly anything of it.
            method, target = self._parser.method_and_target()
            request = self._new_request(RequestHead(method, target, b"HTTP/1.1", ()))
        request.body.drop()
        request.setHeader(b"Connection", b"close")
        body = request.fail(error)
        if after_s > 0:
            self._delayed = self.site.reactor.callLater(
                after_s, self._respond, request, body
            )
        else:
            self._respond(request, body)
        # Even if the client does not wait for it.
        self.site.log_line(request, error.status, len(body))

    def _respond(self, request: GatewayRequest, body: bytes) -> None:
        self._delayed = None
        request.write(body)
        if can_half_close(self.transport):
            self.transport.loseWriteConnection()
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        self._abort_within(LINGER_S)

    def close_within(self, seconds: float) -> None:
        """
        Close when the client has taken what was written, or abort after this time.
        """
        self._abort_within(min(seconds, LINGER_S))
        self.loseConnection()

    def _abort_within(self, seconds: float) -> None:
        if self._aborting is None:
            self._aborting = self.site.reactor.callLater(
                seconds, self.transport.abortConnection
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deadline.stop()
        for call in (self._delayed, self._aborting, self._turn):
            if call is not None and call.active():
                call.cancel()
        request = self._request
        if request is not None:
            request.connectionLost(reason)
            # By now the request's waits are in its log entry.
            if self._processing:
                self.site.log_unfinished(request)
        if self._over_limit:
            self.site.connection_limit.remove_refused()
        else:
            self.site.connection_limit.remove(self._address)
        self.site.channels.discard(self)
        self.site.check_closed()
