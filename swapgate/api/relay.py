"""
How do upstream bytes reach the client? A LineReceiver that is also the producer.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import NO_BODY_CODES, PotentialDataLoss, toChunk
from twisted.web.iweb import IResponse
from twisted.web.server import Request
from zope.interface import implementer

from swapgate.api import sse
from swapgate.fleet.lease import Cut
from swapgate.net import (
    flush,
    send_now,
)
from swapgate.upstream.connection import UpstreamConnection

# What passes of a daemon's headers. Not its CORS headers, cookies, Server or Date.
PASSED_HEADERS = frozenset(
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
_WHOLE_EVENTS = (b"\n\n", b"\n\r\n")
# A line longer than this is no line but a daemon that has lost its mind.
_LONGEST_LINE = 64 * 2**20
_FIRST_ERROR = 400


class Ending(Enum):
    """
    How a relay ended.
    """

    # All of the answer was passed on.
    WHOLE = "whole"
    # The daemon failed before a byte of the answer was passed on.
    UNANSWERED = "unanswered"
    # The daemon failed later; the client has been told as far as it can be.
    CUT = "cut"


@implementer(IPushProducer)
class Relay(LineReceiver):
    """
    Passes one response's body on: an event stream by lines, all else as it comes.

    What one read brings leaves in one write, at once. Nothing is written before the
    first byte of the body is there: until then the status is still free.
    """

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = _LONGEST_LINE

    def __init__(
        self,
        request: Request,
        response: IResponse,
        connection: UpstreamConnection,
        clock: IReactorTime,
        *,
        first_timeout_s: float | None,
        stall_timeout_s: float | None,
        excuse: Callable[[], Cut | None] = lambda: None,
    ) -> None:
        """
        :param first_timeout_s: how long the first byte may take; None is for ever.
        :param stall_timeout_s: the same between later ones.
        :param excuse: why it is no fault of the daemon's if it ends early.
        """
        self.done: Deferred[Ending] = Deferred(lambda _: self._abandon())
        self._request = request
        self._response = response
        self._connection = connection
        self._clock = clock
        self._excuse = excuse
        self._timeout_s = first_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._stall_call: IDelayedCall | None = None
        self._out: list[bytes] = []
        # The start of a line whose end has not come yet.
        self._begun: list[bytes] = []
        self._begun_length = 0
        self._event_is_open = False
        self._heard = False
        self._heard_s = 0.0
        self._over = False
        self._passed_on = False
        self._streams = sse.is_event_stream(
            (response.headers.getRawHeaders(b"Content-Type") or [None])[0]
        )
        # The client was promised a stream while it waited. What is none is put into it.
        self._promised = request.startedWriting
        if self._promised and response.code != 200:
            self._streams = False
        self._held_back = 0
        if not self._streams:
            self.setRawMode()

    def connectionMade(self) -> None:
        self._connection.reader = self
        self._request.registerProducer(self, True)
        self._expect(self._timeout_s)

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._heard_s = self._clock.seconds()
        if not self._heard:
            self._heard = True
            self._expect(self._stall_timeout_s)
        if self._streams and not self._begun and data.endswith(_WHOLE_EVENTS):
            # What mostly comes; nothing would be learnt from its lines.
            self._out.append(data)
            self._event_is_open = False
            return
        if self._streams and b"\n" not in data:
            # Kept in pieces: LineReceiver would copy a long line again at every read.
            self._begun.append(data)
            self._begun_length += len(data)
            if self._begun_length > self.MAX_LENGTH:
                self.lineLengthExceeded(data)
            return
        if self._begun:
            data = b"".join([*self._begun, data])
            self._begun.clear()
            self._begun_length = 0
        super().dataReceived(data)
        if self._streams and (rest := self.clearLineBuffer()):
            self._begun.append(rest)
            self._begun_length = len(rest)

    def lineReceived(self, line: bytes) -> None:
        self._out += (line, b"\n")
        self._event_is_open = not sse.closes_event(line)

    def rawDataReceived(self, data: bytes) -> None:
        self._out.append(data)
        self._held_back += len(data)
        if self._keeps_back and self._held_back > _LONGEST_LINE:
            self._fail("sent an endless answer")

    @property
    def _keeps_back(self) -> bool:
        """
        Whether nothing is passed on before all of it is here.
        """
        return bool(self._promised) and not self._streams

    def lineLengthExceeded(self, line: bytes) -> None:
        self._fail("sent an endless line")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        if reason.check(ResponseDone) or (
            reason.check(PotentialDataLoss) and self._is_whole_by_its_close()
        ):
            self._out += self._begun
            self._end(Ending.WHOLE)
        elif (excuse := self._excuse()) is not None:
            self.cut(excuse)
        else:
            self._fail("ended in the middle of its answer")

    def _is_whole_by_its_close(self) -> bool:
        """
        Whether an answer without a length, which its daemon's close ends, is whole.

        It is unless the connection shows an error (RFC 9112, 8): only a FIN, under TLS
        a close_notify, is a proper end. An event stream also ends between two events,
        for its reader drops one that no blank line has ended.
        """
        lost = self._connection.lost
        in_order = lost is not None and lost.check(ConnectionDone) is not None
        return in_order and not (self._begun or self._event_is_open)

    def read_ended(self) -> None:
        """
        Write what this read has brought, and see it off.
        """
        if self._over or not self._out or self._keeps_back:
            return
        data = b"".join(self._out)
        self._out.clear()
        self._passed_on = True
        transport = self._request.channel.transport
        if self._request.startedWriting:
            self._request.sentLength += len(data)
            framed = b"".join(toChunk(data)) if self._request.chunked else data
            send_now(transport, framed)
        else:
            self._write_head()
            self._request.write(data)
            flush(transport)

    def _write_head(self) -> None:
        self._request.setResponseCode(self._response.code)
        for name, values in self._response.headers.getAllRawHeaders():
            if name in PASSED_HEADERS:
                # A second one would be read by some and not by others.
                self._request.responseHeaders.setRawHeaders(name, values[:1])
        # Twisted's client takes it out of the headers it hands on.
        length = self._response.length
        if isinstance(length, int) and self._response.code not in NO_BODY_CODES:
            self._request.responseHeaders.setRawHeaders(
                b"Content-Length", [b"%d" % length]
            )

    def _expect(self, timeout_s: float | None) -> None:
        """
        From now on a silence may last so long; None is for ever.
        """
        self._expect_nothing()
        self._timeout_s = timeout_s
        self._heard_s = self._clock.seconds()
        if timeout_s is not None:
            self._stall_call = self._clock.callLater(timeout_s, self._listen)

    def _listen(self) -> None:
        """
        The time is over: was it silent? Moving a timer at each read would cost more.
        """
        assert self._timeout_s is not None
        left_s = self._heard_s + self._timeout_s - self._clock.seconds()
        if left_s > 0:
            self._stall_call = self._clock.callLater(left_s, self._listen)
        else:
            self._fail(f"fell silent for {self._timeout_s:g} s")

    def _expect_nothing(self) -> None:
        if self._stall_call is not None and self._stall_call.active():
            self._stall_call.cancel()

    def _fail(self, what: str) -> None:
        self._give_up(f"the model's daemon {what}", "upstream_failed")

    def _give_up(self, message: str, code: str) -> None:
        if self._over:
            return
        if self._passed_on or (self._out and not self._keeps_back):
            self._begun.clear()
            if self._streams:
                self._write_error(message, code)
            self._end(Ending.CUT)
        else:
            self._end(Ending.UNANSWERED)
        self._connection.abort_now()

    def _write_error(self, message: str, code: str) -> None:
        if self._event_is_open:
            self._out.append(b"\n")
        self._out.append(
            sse.error_event(
                {
                    "message": message,
                    "type": "server_error",
                    "param": None,
                    "code": code,
                }
            )
        )

    def _end(self, ending: Ending) -> None:
        """
        Send what is left and end the response as `ending` deserves.
        """
        whole = ending is Ending.WHOLE
        if ending is not Ending.UNANSWERED:
            if not self._request.startedWriting:
                self._write_head()
            out = b"".join(self._out)
            if self._keeps_back:
                whole = self._response.code < _FIRST_ERROR
                out = sse.late_answer(self._response.code, out)
            self._request.write(out)
        transport: Any = self._request.channel.transport
        self._close()
        if whole:
            self._request.finish()
        elif ending is not Ending.UNANSWERED:
            # By FIN, without the final chunk: a reset would lose what was sent before.
            flush(transport)
            if self._end_would_look_whole():
                transport.abortConnection()
            else:
                self._request.channel.loseConnection()
        self.done.callback(ending)

    def _end_would_look_whole(self) -> bool:
        """
        Whether only a reset can say that this answer was cut.
        """
        return not (
            self._streams
            or self._promised
            or self._request.chunked
            or self._request.responseHeaders.hasHeader(b"Content-Length")
        )

    def cut(self, why: Cut) -> None:
        """
        End the answer here, for a reason that its client is told.
        """
        self._give_up(why.message, why.code)

    def _close(self) -> None:
        self._over = True
        self._connection.reader = None
        self._expect_nothing()
        self._request.unregisterProducer()

    def _abandon(self) -> None:
        """
        The client has gone: nobody wants the rest, and the engine must stop making it.
        """
        if not self._over:
            self._over = True
            self._expect_nothing()
            self._connection.abort_now()

    def pauseProducing(self) -> None:
        self._expect_nothing()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._over:
            self._expect(self._timeout_s)
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self._abandon()
