"""
The poll of a loading daemon, on a clock that the test moves.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.health import PROBE_TIMEOUT_S, HealthPoll


class Sickbed:
    """
    A daemon whose answers the test decides; it remembers when it was asked.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked_at: list[float] = []
        self.answer: bool | Exception | None = False
        self.silent: list[Deferred[bool]] = []
        self.most_at_once = 0

    async def ask(self) -> bool:
        self.asked_at.append(self.clock.seconds())
        if self.answer is None:
            waiting: Deferred[bool] = Deferred()
            self.silent.append(waiting)
            self.most_at_once = max(
                self.most_at_once, sum(not each.called for each in self.silent)
            )
            return await waiting
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.asked_at, self.asked_at[1:], strict=False)]


class HealthPollTests(SynchronousTestCase):
    """
    When it asks, and what it makes of the answers.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.bed = Sickbed(self.clock)
        self.healthy: list[float] = []

    def start(self, interval_s: float = 0.2) -> HealthPoll:
        poll = HealthPoll(
            self.bed.ask,
            interval_s,
            self.clock,
            lambda: self.healthy.append(self.clock.seconds()),
        )
        poll.start()
        return poll

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds * 100))

    def test_at_most_the_interval_apart(self) -> None:
        """
        However long the load takes, polls are no more than the interval apart.
        """
        self.start()
        self.pass_time(30)
        self.assertLessEqual(max(self.bed.gaps()), 0.2 + 1e-6)

    def test_closer_together_at_first(self) -> None:
        """
        A small model is noticed within a few hundredths of a second.
        """
        self.start()
        self.pass_time(1)
        self.assertLessEqual(max(self.bed.gaps()), 0.05 + 1e-6)

    def test_a_short_interval(self) -> None:
        """
        An interval below the first pause is kept from the start.
        """
        self.start(interval_s=0.01)
        self.pass_time(1)
        self.assertLessEqual(max(self.bed.gaps()), 0.01 + 1e-6)

    def test_healthy_once(self) -> None:
        """
        The first good answer is told, and nothing is asked any more.
        """
        self.start()
        self.pass_time(1)
        self.bed.answer = True
        self.pass_time(0.2)
        asked = len(self.bed.asked_at)
        self.pass_time(5)
        self.assertEqual(len(self.healthy), 1)
        self.assertEqual(len(self.bed.asked_at), asked)

    def test_failures_are_not_yet(self) -> None:
        """
        A refused connection or any other trouble is no reason to stop polling.
        """
        self.bed.answer = ConnectionRefusedError()
        self.start()
        self.pass_time(1)
        self.assertEqual(self.healthy, [])
        self.bed.answer = True
        self.pass_time(0.2)
        self.assertEqual(len(self.healthy), 1)

    def test_never_two_at_once(self) -> None:
        """
        A slow answer is waited for, and given up at its time.
        """
        self.bed.answer = None
        self.start()
        self.pass_time(3 * PROBE_TIMEOUT_S)
        self.assertEqual(self.bed.most_at_once, 1)
        self.assertGreaterEqual(len(self.bed.asked_at), 3)

    def test_stopped(self) -> None:
        """
        After stop() nothing is asked or told, and the answer awaited is given up.
        """
        self.bed.answer = None
        poll = self.start()
        poll.stop()
        self.assertTrue(self.bed.silent[0].called)
        self.pass_time(5)
        self.assertEqual(len(self.bed.asked_at), 1)
        self.assertEqual(self.healthy, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_twice(self) -> None:
        """
        A poll that is over can be stopped.
        """
        self.bed.answer = True
        poll = self.start()
        self.assertEqual(len(self.healthy), 1)
        poll.stop()
        self.assertEqual(len(self.healthy), 1)

    def test_a_broken_listener_is_logged(self) -> None:
        """
        A bug in what is told of it ends the poll with a line in the log.
        """

        def broken() -> None:
            raise KeyError

        poll = HealthPoll(self.bed.ask, 0.2, self.clock, broken)
        self.bed.answer = True
        poll.start()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
