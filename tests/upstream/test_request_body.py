"""
Request body: written as fast as the daemon takes it.
"""

from twisted.internet.defer import CancelledError
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from swapgate.upstream.request_body import BodyProducer


class BodyProducerTests(SynchronousTestCase):
    """
    A body on its way to the daemon.
    """

    def setUp(self) -> None:
        self.wire = StringTransport()
        self.body = BodyProducer([b"one ", bytearray(b"two "), b"three"])

    def test_whole(self) -> None:
        """
        All pieces, in one go where there is no pause.
        """
        self.assertEqual(self.body.length, 13)
        done = self.body.startProducing(self.wire)
        self.successResultOf(done)
        self.assertEqual(self.wire.value(), b"one two three")

    def test_as_fast_as_it_is_taken(self) -> None:
        """
        A pause holds the next piece back.
        """

        class Slow(StringTransport):
            def write(wire, data: bytes) -> None:  # noqa: N805
                super().write(data)
                self.body.pauseProducing()

        wire = Slow()
        done = self.body.startProducing(wire)
        for heard in (b"one ", b"one two ", b"one two three"):
            self.assertNoResult(done)
            self.assertEqual(wire.value(), heard)
            self.body.resumeProducing()
        self.successResultOf(done)

    def test_stopped(self) -> None:
        """
        Nothing follows a stop, nor a cancelling.
        """
        self.body.pauseProducing()
        self.body.stopProducing()
        self.body.resumeProducing()
        self.assertEqual(self.wire.value(), b"")
        cancelled = BodyProducer([])
        cancelled._done.cancel()
        self.failureResultOf(cancelled._done, CancelledError)
