"""
Stall timer, on a clock that the test moves.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.stall_timer import StallTimer


class StallTimerTests(SynchronousTestCase):
    """
    A silence that lasts, or does not.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.stalls: list[float] = []
        self.timer = StallTimer(self.clock, self.stalls.append)

    def test_silence(self) -> None:
        """
        It is reported once, when it has lasted as long as it may.
        """
        self.timer.start(10.0)
        self.clock.advance(9)
        self.assertEqual(self.stalls, [])
        self.clock.pump([1, 100])
        self.assertEqual(self.stalls, [10.0])

    def test_a_read(self) -> None:
        """
        The silence begins anew with each.
        """
        self.timer.start(10.0)
        for _ in range(5):
            self.clock.advance(6)
            self.timer.note_read()
        self.assertEqual(self.stalls, [])
        self.clock.pump([4, 6])
        self.assertEqual(self.stalls, [10.0])

    def test_stopped_and_restarted(self) -> None:
        """
        What passes meanwhile does not count.
        """
        self.timer.start(10.0)
        self.clock.advance(9)
        self.timer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.timer.restart()
        self.clock.advance(9)
        self.assertEqual(self.stalls, [])
        self.clock.advance(1)
        self.assertEqual(self.stalls, [10.0])

    def test_for_ever(self) -> None:
        """
        Without a bound there is no timer.
        """
        self.timer.start(None)
        self.timer.restart()
        self.assertEqual(self.clock.getDelayedCalls(), [])
