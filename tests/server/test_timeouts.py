"""
Client timeouts, by a clock.
"""

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.limits import Limits
from swapgate.server.timeouts import Deadline, Wait


class DeadlineTests(SynchronousTestCase):
    """
    One at a time.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = Limits(body_rate=1000)
        self.over: list[Wait] = []
        self.deadline = Deadline(self.clock, lambda: self.limits, self.over.append)

    def lasts(self, seconds: float) -> None:
        """
        It is over then, and not before.
        """
        self.clock.advance(seconds - 0.01)
        self.assertEqual(self.over, [])
        self.clock.advance(0.02)
        self.assertEqual(len(self.over), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_has_its_time(self) -> None:
        """
        As configured.
        """
        for wait, seconds in (
            (Wait.REQUEST, 60),
            (Wait.HEAD, 10),
            (Wait.BODY, 30),
            (Wait.TAKE, 60),
        ):
            with self.subTest(wait=wait):
                self.deadline.expect(wait)
                self.lasts(seconds)
                self.assertEqual(self.over.pop(), wait)

    def test_it_runs_on(self) -> None:
        """
        Waiting for the same thing again is no new beginning; for another it is.
        """
        self.deadline.expect(Wait.HEAD)
        self.clock.advance(9)
        self.deadline.expect(Wait.HEAD)
        self.clock.advance(0.9)
        self.deadline.expect(Wait.BODY)
        self.lasts(30)

    def test_nothing_is_expected(self) -> None:
        """
        Nothing is over then, and what is waited for later has its whole time.
        """
        self.deadline.expect(Wait.HEAD)
        self.deadline.expect(None)
        self.clock.advance(9)
        self.deadline.expect(Wait.HEAD)
        self.lasts(10)
        self.deadline.expect(Wait.REQUEST)
        self.deadline.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_body_buys_time(self) -> None:
        """
        A second for each 1000 bytes here, however they are spread.
        """
        self.deadline.expect(Wait.BODY)
        for _ in range(2):
            self.clock.advance(15)
            self.deadline.received(5_000)
        self.lasts(10)

    def test_a_trickle_does_not(self) -> None:
        """
        What is slower than the rate is only a little later.
        """
        self.deadline.expect(Wait.BODY)
        for _ in range(30):
            self.clock.advance(1)
            self.deadline.received(1)
        self.assertEqual(self.over, [])
        self.clock.advance(0.5)
        self.assertEqual(self.over, [Wait.BODY])

    def test_a_steady_reader(self) -> None:
        """
        What is taken buys time as a body does: faster than the rate it has no end.
        """
        to_take = 200_000
        self.deadline = Deadline(
            self.clock, lambda: self.limits, self.over.append, lambda: to_take
        )
        self.deadline.expect(Wait.TAKE)
        for _ in range(150):
            self.clock.advance(1)
            to_take -= 1_200
        self.assertEqual(self.over, [])
        # So much time is bought; then it takes nothing more.
        self.lasts(60 + 150 * 1.2 - 150)

    def test_a_slow_reader(self) -> None:
        """
        Below the rate it is only a little later.
        """
        to_take = 200_000
        self.deadline = Deadline(
            self.clock, lambda: self.limits, self.over.append, lambda: to_take
        )
        self.deadline.expect(Wait.TAKE)
        for _ in range(110):
            self.clock.advance(1)
            to_take -= 500
        self.assertEqual(self.over, [])
        self.clock.advance(11)
        self.assertEqual(self.over, [Wait.TAKE])

    def test_new_limits(self) -> None:
        """
        They hold for what is waited for already, at its next look.
        """
        self.deadline.expect(Wait.HEAD)
        self.limits = evolve(self.limits, header_timeout_s=20)
        self.lasts(20)
