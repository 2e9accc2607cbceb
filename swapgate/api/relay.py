"""
Relay: streams a daemon's answer to the client, token by token, with backpressure.

1. Two roles in one: a LineReceiver, the protocol of the daemon's body, and the push
   producer of the client's response. A client that reads slowly pauses the daemon.
2. Whole lines of an event stream pass at once, and half a line waits for its end; any
   other body passes as it comes. What one read brings is one write, and a flush.
3. Nothing is written before the first byte of the body: until then the status is free,
   and the request can be sent again.
4. An engine's error that would come again is no 5xx: see `engine_errors`.
5. An answer that was cut never looks whole: an error event where it is a stream, then
   an end without the final chunk (RFC 9112, 8).
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.server import Request
from zope.interface import implementer

from swapgate.api import engine_errors, sse
from swapgate.api.headers import copy_response_head
from swapgate.api.stall_timer import StallTimer
from swapgate.api.surfaces import Surface
from swapgate.errors import APIError, upstream_failed
from swapgate.fleet.lease import Cut, Lease
from swapgate.upstream.connection import Response

# Lines that say nothing of an answer: comments and blank ones.
_COMMENTS = re.compile(rb"(?:(?::[^\n]*|\r)?\n)*")
_WHOLE_EVENTS = (b"\n\n", b"\n\r\n")
# A longer line, or a longer answer that is kept until it is complete, is a daemon's
# fault and would only fill the memory.
_MAX_BUFFERED = 64 * 2**20
# An answer that is no stream becomes an event in one go.
_MAX_LATE = 4 * 2**20
_OK = 200
# Of an answer so much is kept: an engine counts its tokens there.
_TAIL = 4096


class Outcome(Enum):
    """
    What became of a daemon's answer.
    """

    # All of it was relayed.
    WHOLE = "whole"
    # The daemon failed before a byte of the answer was relayed.
    UNANSWERED = "unanswered"
    # It ended early after that; the client was told as far as it can be.
    CUT = "cut"


@implementer(IPushProducer)
class Relay(LineReceiver):
    """
    Relays the body of one response; `done` fires with its outcome.
    """

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = _MAX_BUFFERED

    def __init__(
        self,
        request: Request,
        response: Response,
        surface: Surface,
        lease: Lease,
        clock: IReactorTime,
    ) -> None:
        # Cancelled when the client has gone.
        self.done: Deferred[Outcome] = Deferred(lambda _: self._abort())
        self._request: Any = request
        self._response = response
        self._connection = response.connection
        self._surface = surface
        self._lease = lease
        self._clock = clock
        self._stall_timer = StallTimer(clock, self._stalled)
        #: Is told the last bytes of the daemon's answer when that has ended.
        self.ends: Callable[[bytes], None] | None = None
        self._tail = bytearray()
        # Ready to be written.
        self._out: list[bytes] = []
        # The start of a line whose end has not come yet.
        self._partial_line = bytearray()
        self._event_is_open = False
        self._has_read = False
        self._has_written = False
        self._ended = False
        # The client was promised a stream while it was held: its status is sent.
        self._promised = request.startedWriting
        types = (v for name, v in response.headers if name == b"content-type")
        self._streams = sse.is_event_stream(next(types, None)) and not (
            (self._promised or surface.translates) and response.status != _OK
        )
        # An answer that is no stream becomes one event of the promised stream, or is
        # translated, or shows whose fault it is: all of it is needed for that.
        self._collects = not self._streams and (
            self._promised or surface.translates or _is_looked_into(response)
        )
        self._collected = 0

    def connectionMade(self) -> None:
        self._request.registerProducer(self, True)
        self._stall_timer.start(self._lease.spec.first_token_timeout_s)

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        if self.ends is not None:
            self._tail += data
            del self._tail[:-_TAIL]
        if self._has_read:
            self._stall_timer.note_read()
        elif not self._connection.ended:
            self._has_read = True
            self._stall_timer.start(self._lease.spec.stall_timeout_s)
        if not self._streams:
            self.rawDataReceived(data)
        else:
            self._stream_received(data)
        # What comes with the end leaves with it.
        if self._out and not (self._collects or self._ended or self._connection.ended):
            self._write_out()

    def _stream_received(self, data: bytes) -> None:
        # An event is a token, or as good as one.
        count = data.count(b"\n\n") or data.count(b"\n\r\n")
        self._lease.rate.add(count, self._clock.seconds())
        if self._partial_line or not data.endswith(_WHOLE_EVENTS):
            self._split(data)
        else:
            # The usual read; splitting it into lines would show nothing more.
            self._out.append(data)
            self._event_is_open = False

    def _split(self, data: bytes) -> None:
        if b"\n" not in data:
            # LineReceiver would copy a long line again at every read, and search it.
            self._partial_line += data
            if len(self._partial_line) > self.MAX_LENGTH:
                self.lineLengthExceeded(data)
            return
        if self._partial_line:
            data = bytes(self._partial_line + data)
            self._partial_line.clear()
        super().dataReceived(data)
        self._partial_line += self.clearLineBuffer()

    def lineReceived(self, line: bytes) -> None:
        self._out += (line, b"\n")
        self._event_is_open = not sse.closes_event(line)

    def rawDataReceived(self, data: bytes) -> None:
        self._out.append(data)
        if self._collects:
            self._collected += len(data)
            most = _MAX_BUFFERED if self._surface.translates else _MAX_LATE
            if self._collected > most:
                self._fail("sent an endless answer")

    def lineLengthExceeded(self, line: bytes) -> None:
        self._fail("sent an endless line")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._ended:
            return
        # An event stream that only the close ends has its end between two events: a
        # reader drops one that no blank line has ended.
        if isinstance(reason.value, ResponseDone) or (
            isinstance(reason.value, PotentialDataLoss)
            and not (self._partial_line or self._event_is_open)
        ):
            self._out.append(bytes(self._partial_line))
            self._end(Outcome.WHOLE)
        elif self._lease.ended is not None:
            self.cut(self._lease.ended)
        else:
            self._fail("ended in the middle of its answer")

    def _write_out(self) -> None:
        """
        Write what one read of the daemon's connection has brought.
        """
        data = b"".join(self._out)
        self._out.clear()
        if self._surface.translates:
            data = self._surface.lines(data)
            if self._surface.failed is not None:
                self._out.append(data)
                self._end(Outcome.WHOLE)
                self._connection.abort_now()
                return
            if not data:
                return
        if not self._has_written:
            self._has_written = not (self._streams and _COMMENTS.fullmatch(data))
        if not self._request.startedWriting:
            self._copy_head()
        self._request.write(data)

    def cut(self, why: Cut) -> None:
        """
        End the answer early, for a reason of the gateway's that its client is told.
        """
        # The status is sent already; it says only whose fault the event calls it.
        self._end_early(APIError(status=503, code=why.code, message=why.message))

    def _stalled(self, allowed_s: float) -> None:
        self._fail(f"fell silent for {allowed_s:g} s")

    def _fail(self, what: str) -> None:
        self._end_early(upstream_failed(f"the model's daemon {what}; ask again"))

    def _end_early(self, error: APIError) -> None:
        if self._ended:
            return
        out = b"".join(self._out)
        only_comments = self._streams and _COMMENTS.fullmatch(out)
        if self._has_written or (out and not self._collects and not only_comments):
            self._partial_line.clear()
            out = self._surface.lines(out)
            if self._streams:
                if self._event_is_open and not self._surface.translates:
                    out += b"\n"
                if self._surface.failed is None:
                    out += self._surface.failure(error)
            self._out = [out]
            self._end(Outcome.CUT)
        else:
            self._end(Outcome.UNANSWERED)
        self._connection.abort_now()

    def _end(self, outcome: Outcome) -> None:
        """
        Write what is left, and end the client's response as the outcome requires.
        """
        # Its connection may serve another client by now, and is not to be paused.
        self._ended = True
        self._stall_timer.stop()
        request, surface = self._request, self._surface
        request.unregisterProducer()
        if outcome is not Outcome.UNANSWERED:
            out = b"".join(self._out)
            if self._collects:
                out = self._collected_answer(out)
            else:
                if outcome is Outcome.WHOLE and surface.failed is None:
                    out = surface.lines(out) + surface.end()
                if not request.startedWriting:
                    self._copy_head()
            if surface.failed is not None:
                # The daemon has told it: there is nothing to suspect it of.
                request.log_entry.error = surface.failed.code
            if outcome is Outcome.WHOLE or (self._streams and not surface.cuts):
                request.finish(out)
            else:
                # By FIN, without the final chunk: a reset would lose what was sent.
                request.write(out)
                if self._end_would_look_whole():
                    request.channel.transport.abortConnection()
                else:
                    request.channel.loseConnection()
        self._tell_end()
        self.done.callback(outcome)

    def _tell_end(self) -> None:
        if self.ends is not None:
            self.ends(bytes(self._tail))

    def _copy_head(self) -> None:
        """
        Give the client's response its status and headers.
        """
        if self._streams:
            # From here on its client is told of a failure by an event.
            self._request.promised_by = self._surface
        if not self._surface.translates:
            copy_response_head(self._response, self._request)
            if self._streams:
                # An error event may come besides.
                self._request.fields.pop(b"Content-Length", None)
        elif self._streams:
            self._request.setHeader(b"Content-Type", self._surface.stream_type)

    def _collected_answer(self, body: bytes) -> bytes:
        """
        What the client gets of an answer that is no stream.
        """
        status = engine_errors.told_status(self._response.status, body)
        if self._promised:
            return self._surface.late(status, body)
        status, body = self._surface.whole(status, body)
        if self._surface.translates:
            self._request.setHeader(b"Content-Type", b"application/json")
            self._request.setHeader(b"Content-Length", b"%d" % len(body))
        else:
            copy_response_head(self._response, self._request)
        self._request.setResponseCode(status)
        return body

    def _end_would_look_whole(self) -> bool:
        """
        Whether only a reset can say that this answer was cut.
        """
        return not (
            self._streams
            or self._promised
            or self._request.chunked
            or b"Content-Length" in self._request.fields
        )

    def _abort(self) -> None:
        """
        The client has gone: the daemon must stop generating.
        """
        if not self._ended:
            self._ended = True
            self._stall_timer.stop()
            self._connection.abort_now()
            self._tell_end()

    def pauseProducing(self) -> None:
        if not self._ended:
            # The client is slow now; the daemon's silence is no stall.
            self._stall_timer.stop()
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        if not self._ended:
            self._stall_timer.restart()
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self._abort()


def _is_looked_into(response: Response) -> bool:
    """
    Whether this may be an engine's error that would come again, and small enough.
    """
    return (
        response.status in engine_errors.LOOKED_AT
        and response.length is not None
        and response.length <= engine_errors.MAX_BODY
    )
