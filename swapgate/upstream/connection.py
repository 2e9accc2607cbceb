"""
Upstream connection: asks a daemon, one request after another; a pool of idle ones.

1. What one read brings reaches the reader in one piece, and the end with it.
2. A request leaves with its body, a large one as fast as the daemon takes it.
3. Only a connection that has nothing more to say is kept, and not for long.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPullProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from swapgate.net import send_now
from swapgate.upstream.response_parser import BadUpstreamResponse, ResponseParser

# Below the 5 s for which llama-server keeps an idle connection.
_IDLE_CONNECTION_S = 3.0
_IDLE_CONNECTIONS = 64
# How much is read at a time: the worst of it, a line for each byte, takes 40 ms.
_BITE = 16 * 1024
# A larger request is written in pieces of this size, so many at a time.
_AT_ONCE = 320 * 1024
_PIECE = 64 * 1024
_AT_A_TIME = 2

_DONE = Failure(ResponseDone())
_ENDED_BY_CLOSE = Failure(PotentialDataLoss())

Body = Sequence[bytes | bytearray]


class StaleConnection(ConnectionLost):
    """
    A reused connection was closed before a byte of the response.

    Perhaps before the request was sent (RFC 9112, 9.3.1): the daemon may be well.
    """


@define(eq=False)
class Response:
    """
    The head of a response; its body waits in its connection.

    :ivar headers: names in lower case; two may be the same.
    :ivar length: of the body, if the head says so.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    length: int | None
    connection: "UpstreamConnection"


@implementer(IPullProducer)
class UpstreamConnection(Protocol):
    """
    One connection to a daemon.
    """

    transport: Any

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._parser = ResponseParser()
        self._is_asked = False
        self._asked: Deferred[Response] | None = None
        self._reader: Any = None
        # The response has no reader yet.
        self._is_paused = False
        #: Why the response is over; None while it is not.
        self.ended: Failure | None = None
        self._requests = 0
        self._has_heard = False
        # What is not written yet of a large request.
        self._unsent: Iterator[bytes | bytearray] | None = None

    def connectionMade(self) -> None:
        self.transport.bufferSize = _BITE

    def ask(self, head: bytes, body: Body) -> Deferred[Response]:
        """
        Send a request; cancelling the wait for its response closes the connection.
        """
        self._parser.begin()
        self._is_asked, self._has_heard, self.ended = True, False, None
        self._requests += 1
        asked = self._asked = Deferred(lambda _: self.abort_now())
        if sum(map(len, body)) <= _AT_ONCE:
            send_now(self.transport, b"".join((head, *body)))
        else:
            self._unsent = _in_pieces((head, *body))
            send_now(self.transport, b"".join(islice(self._unsent, _AT_A_TIME)))
            self.transport.registerProducer(self, False)
        return asked

    def resumeProducing(self) -> None:
        data = b"".join(islice(self._unsent or (), _AT_A_TIME))
        if data:
            self.transport.write(data)
        else:
            self._unsent = None
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._unsent = None

    def deliver_to(self, reader: Any) -> None:
        """
        Give the body to a protocol, what one read brings in one piece.

        Its connection is lost by ResponseDone after the whole of it, PotentialDataLoss
        where an orderly close is the only end, or by what has cut it.
        """
        self._reader = reader
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()
        reader.makeConnection(self.transport)
        self._deliver()

    def dataReceived(self, data: bytes) -> None:
        if not self._is_asked:
            # It speaks unasked.
            self.abort_now()
            return
        self._has_heard = True
        parser = self._parser
        try:
            parser.feed(data)
        except BadUpstreamResponse as bad_response:
            self.ended = Failure(bad_response)
        if parser.is_complete and self.ended is None:
            self.ended = _DONE
        if self._asked is None:
            self._deliver()
            return
        asked = self._asked
        if parser.status:
            self._asked = None
            asked.callback(Response(parser.status, parser.headers, parser.length, self))
            # It may be asked again by now.
            if self._is_asked and not (self._asked or self._reader):
                self._is_paused = True
                self.transport.pauseProducing()
        elif self.ended is not None:
            self.abort_now()
            asked.errback(self.ended)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._pool.forget(self)
        self._unsent, self._parser.keeps_open = None, False
        asked, self._asked = self._asked, None
        if asked is not None:
            self._is_asked = False
            if self._requests > 1 and not self._has_heard:
                asked.errback(StaleConnection(str(reason.value)))
            else:
                asked.errback(ResponseNeverReceived([reason]))
        elif self._is_asked and self.ended is None:
            by_close = self._parser.ends_by_close and reason.check(ConnectionDone)
            self.ended = _ENDED_BY_CLOSE if by_close else reason
            self._deliver()

    def _deliver(self) -> None:
        """
        Hand on what has been read, and the end.
        """
        reader, parser = self._reader, self._parser
        if reader is None:
            return
        if parser.pieces:
            data = b"".join(parser.pieces)
            parser.pieces.clear()
            reader.dataReceived(data)
        # It may have had enough.
        if self.ended is None or self._reader is None:
            return
        self._reader, self._is_asked = None, False
        if self.ended is _DONE and self._unsent is None:
            # It may be paused, and would not show its end.
            self.transport.resumeProducing()
            if parser.keeps_open:
                self._pool.put(self)
            else:
                self.transport.loseConnection()
        else:
            self.abort_now()
        reader.connectionLost(self.ended)

    def abort_now(self) -> None:
        """
        Close at once, dropping what is still to be written, so that the engine stops.
        """
        self._pool.forget(self)
        self._is_asked, self._asked, self._reader = False, None, None
        self._unsent = None
        if self.transport is not None:
            self.transport.abortConnection()


def _in_pieces(request: Body) -> Iterator[bytes | bytearray]:
    for part in request:
        for start in range(0, len(part), _PIECE):
            yield part[start : start + _PIECE]


class Pool(Factory):
    """
    Makes connections to one daemon, and keeps those that are idle for a while.
    """

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # Since when each is idle, the newest last.
        self._idle: dict[UpstreamConnection, float] = {}
        self._timer: IDelayedCall | None = None

    def buildProtocol(self, addr: object) -> UpstreamConnection:
        return UpstreamConnection(self)

    def take(self) -> UpstreamConnection | None:
        """
        The idle connection that was used last.
        """
        return self._idle.popitem()[0] if self._idle else None

    def put(self, connection: UpstreamConnection) -> None:
        self._idle[connection] = self._clock.seconds()
        if len(self._idle) > _IDLE_CONNECTIONS:
            self._close_oldest()
        if self._timer is None:
            self._timer = self._clock.callLater(_IDLE_CONNECTION_S, self._expire)

    def forget(self, connection: UpstreamConnection) -> None:
        self._idle.pop(connection, None)

    def _close_oldest(self) -> None:
        oldest = next(iter(self._idle))
        self.forget(oldest)
        oldest.transport.loseConnection()

    def _expire(self) -> None:
        self._timer = None
        now_s = self._clock.seconds()
        while self._idle:
            left_s = next(iter(self._idle.values())) + _IDLE_CONNECTION_S - now_s
            if left_s > 0:
                self._timer = self._clock.callLater(left_s, self._expire)
                return
            self._close_oldest()

    def close(self) -> None:
        """
        Close the idle connections.
        """
        while self._idle:
            self._close_oldest()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
