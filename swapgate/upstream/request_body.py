"""
Request body: a push producer of a body that is in memory, with backpressure.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer, IPushProducer)
class BodyProducer:
    """
    Writes a body to the daemon, as fast as the daemon takes it.
    """

    def __init__(self, pieces: Sequence[bytes | bytearray]) -> None:
        self.length = sum(map(len, pieces))
        self._all = pieces
        # A copy: a daemon may answer before all of it is written, and then the request
        # that it belongs to is over and clears the list.
        self._pieces = iter(tuple(pieces))
        self._consumer: IConsumer | None = None
        self._paused = False
        self._done: Deferred[None] = Deferred(self._forget)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self._consumer is not None:
            piece = next(self._pieces, None)
            if piece is None:
                self._consumer = None
                self._done.callback(None)
            else:
                self._consumer.write(bytes(piece))

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._consumer = None
        self._pieces = iter(())

    def anew(self) -> "BodyProducer":
        """
        A producer of the same body, from its beginning, for a retry.
        """
        return BodyProducer(self._all)

    def _forget(self, _: Deferred[None]) -> None:
        self.stopProducing()
