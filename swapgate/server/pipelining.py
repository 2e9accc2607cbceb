"""
Pipelining: a Twisted HTTP channel that answers pipelined requests in bounded turns.

1. After a few responses in one go it waits for the reactor's next turn.
2. While the client does not take what was written, no further request is begun.
3. `is_overfull` tells when so much is pipelined that Twisted would stop reading, and
   never notice that the client has disconnected.
"""

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest

# How many requests that came together are answered before other connections' turn.
_ANSWERS_A_TURN = 4


class PipelinedChannel(HTTPChannel):
    """
    One connection, on which requests are answered one after the other.
    """

    _answers = 0
    _turn: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        if not self._busyReceiving:
            self._answers = 0
        super().dataReceived(data)

    def requestDone(self, request: HTTPRequest) -> None:
        self._answers += 1
        if self._waitingForTransport:
            # Twisted would answer all that is pipelined, and buffer the responses.
            self.paused = True
            self._networkProducer.pauseProducing()
        elif self._answers >= _ANSWERS_A_TURN and self.persistent:
            self.paused = True
            self._turn = self.callLater(0, self._take_turn)
        super().requestDone(request)
        if self._turn is not None:
            self._networkProducer.pauseProducing()

    def _take_turn(self) -> None:
        self._turn = None
        # Else resumeProducing goes on.
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
            # The response before it fills the buffer still; Twisted would not tell.
            producer.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._turn is None:
            self._go_on()

    def is_overfull(self) -> bool:
        """
        Whether more is pipelined than Twisted buffers before it stops reading.
        """
        waiting = len(self._buffer) + sum(map(len, self._dataBuffer))
        return waiting > self._optimisticEagerReadSize

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._turn is not None:
            self._turn.cancel()
        super().connectionLost(reason)
