"""
A daemon whose stop does not end: what becomes of those who wait, on a moved clock.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs, formatEvent

from swapgate.api.status import status
from swapgate.fleet.lease import Lease, NotStopped, QueuedRequest
from tests.doubles import keeper, model
from tests.fleet.test_scheduler import FleetCase

STUCK = "a: still there 18 s after it was told to stop: process 9"


def said(logged: Sequence[LogEvent]) -> list[str]:
    return [formatEvent(event) for event in logged if "words" in event]


class StuckTests(FleetCase):
    """
    `a` is told to stop for another model, and does not end.
    """

    def setUp(self) -> None:
        """
        Beside `a` and `idle` nothing else fits.
        """
        small = [model(name, 1) for name in "cdef"]
        self.use(model("a", 6), model("idle", 4), model("b", 5), *small)
        self.serve("a").release()
        self.farm.pass_time(1)
        self.serve("idle").release()

    def stop_for(
        self, name: str, entry: QueuedRequest | None = None
    ) -> Deferred[Lease]:
        waiting = self.scheduler.lease(name, entry)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.assertEqual(self.told("idle"), ["launch"])
        return waiting

    def test_another_set_makes_room(self) -> None:
        """
        Its memory is counted on until it should have been killed, and then no more.
        """
        unloading = self.scheduler.unload("a")
        waiting = [self.stop_for(name) for name in "cdef"]
        with capturedLogs() as logged:
            self.farm.pass_time(17.5)
            self.assertEqual(self.told("idle"), ["launch"])
            self.farm.pass_time(1)
        self.assertEqual(said(logged), [STUCK])
        self.failureResultOf(unloading, NotStopped)
        self.assertEqual(self.told("idle"), ["launch", "halt"])
        self.assertEqual(self.told("c"), [])
        self.farm.daemons["idle"].end()
        for name, each in zip("cdef", waiting, strict=True):
            self.farm.come_up(name)
            self.successResultOf(each)
        self.assertEqual(
            status(self.scheduler, keeper(), 0)["budget"]["used_bytes"], 10
        )

    def test_what_waits_for_its_end(self) -> None:
        """
        It is told so, keeps nobody else waiting, evicts nothing in vain, and is served
        when that end comes.
        """
        big, again = QueuedRequest(), QueuedRequest()
        waiting = self.stop_for("b", big)
        returns = self.scheduler.lease("a", again)
        self.assertIn("waiting for b, 0 s", self.scheduler.outlook.of(big))
        self.farm.pass_time(25)
        words = "waiting for a to stop, 25 s so far"
        self.assertEqual(self.scheduler.outlook.of(big), words)
        self.assertIn(words, self.scheduler.outlook.of(again))
        self.assertEqual(self.told("idle"), ["launch"])
        entry = QueuedRequest()
        small = self.scheduler.lease("c", entry)
        self.assertIn("waiting for c", self.scheduler.outlook.of(entry))
        self.assertEqual(self.told("idle"), ["launch", "halt"])
        self.farm.daemons["idle"].end()
        self.farm.come_up("c")
        self.successResultOf(small).release()
        self.assertNoResult(waiting)
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(waiting).release()
        self.farm.daemons["c"].end()
        returns.addErrback(lambda _: None).cancel()

    def test_shown(self) -> None:
        """
        In the state, as long as it lasts; and whoever watches is told.
        """
        self.stop_for("b")
        told: list[int] = []
        self.scheduler.watch(lambda: told.append(1))
        self.assertIsNone(status(self.scheduler, keeper(), 0)["models"][0]["stuck"])
        self.farm.pass_time(19)
        self.assertEqual(told, [1])
        self.assertEqual(
            status(self.scheduler, keeper(), 0)["models"][0]["stuck"], "process 9"
        )
        self.farm.daemons["a"].end()
        self.assertIsNone(status(self.scheduler, keeper(), 0)["models"][0]["stuck"])

    def test_unloaded(self) -> None:
        """
        Who wants it unloaded is told that it cannot be, however late that wish is.
        """
        early = self.scheduler.unload("a")
        self.farm.pass_time(17)
        self.assertNoResult(early)
        self.farm.pass_time(2)
        said = str(self.failureResultOf(early, NotStopped).value)
        self.assertEqual(
            said,
            "a is still there 18 s after it was told to stop, and keeps its memory "
            "until it ends; end it by hand\nwhat is left of it: process 9",
        )
        late = self.scheduler.unload("a", now=True)
        self.assertIn("a is still there 19 s", str(self.failureResultOf(late).value))
        self.farm.daemons["a"].end()
        self.successResultOf(self.scheduler.unload("a"))

    def test_a_stop_that_ends(self) -> None:
        """
        Is nothing to speak of.
        """
        self.stop_for("b")
        with capturedLogs() as logged:
            self.farm.pass_time(17)
            self.farm.daemons["a"].end()
            self.farm.come_up("b")
            self.farm.pass_time(20)
        self.assertEqual(said(logged), [])
