"""
What follows a stream: a chat's title is answered before its model goes.
"""

from twisted.internet.defer import Deferred

from swapgate.fleet.lease import Lease, NotStopped, QueuedRequest
from tests.doubles import model
from tests.fleet.test_scheduler_fairness import FairCase


class FollowUpCase(FairCase):
    """
    Page Assist in two tabs, with titles on; two models of which one fits.
    """

    def chat(self, name: str, client: str | None = "me") -> Deferred[Lease]:
        return self.send(name, QueuedRequest(client=client, streams=True))

    def title(
        self, name: str, client: str | None = "me", *, small: bool = True
    ) -> Deferred[Lease]:
        return self.send(name, QueuedRequest(client=client, small=small))

    def send(self, name: str, entry: QueuedRequest) -> Deferred[Lease]:
        waiting = self.scheduler.lease(name, entry)

        def note(lease: Lease) -> Lease:
            self.leases[waiting] = lease
            return lease

        return waiting.addCallback(note)

    def end(self, answer: Deferred[Lease]) -> None:
        self.leases[answer].release()

    def wait_too_long(self) -> tuple[Deferred[Lease], Deferred[Lease]]:
        """
        A stream of a, and one of b that waits for its end, and has for `fair_wait`.
        """
        first = self.chat("a")
        self.farm.come_up("a")
        second = self.chat("b")
        self.farm.pass_time(20)
        self.assertNoResult(second)
        return first, second

    def loads(self) -> int:
        return sum(self.told(name).count("launch") for name in "ab")

    def goes(self) -> bool:
        return self.told("a")[-1:] == ["halt"]


class TitleTests(FollowUpCase):
    """
    The title, and what is no title.
    """

    def test_two_tabs(self) -> None:
        """
        Two loads, not four: each title is answered before its model goes.
        """
        first, second = self.wait_too_long()
        self.end(first)
        self.farm.pass_time(0.08)
        title = self.title("a")
        self.successResultOf(title)
        self.farm.pass_time(2)
        self.assertFalse(self.goes())
        self.end(title)
        self.swap("a", "b")
        self.successResultOf(second)
        # The first tab asks again meanwhile, and waits for long.
        third = self.chat("a")
        self.farm.pass_time(20)
        self.end(second)
        title = self.title("b")
        self.successResultOf(title)
        self.assertEqual(self.loads(), 2)
        self.end(title)
        self.swap("b", "a")
        self.successResultOf(third)

    def test_it_came_before_the_end(self) -> None:
        """
        A client that reads [DONE] need not wait for the end of the stream.
        """
        first, _ = self.wait_too_long()
        title = self.title("a")
        self.farm.pass_time(0.05)
        self.assertNoResult(title)
        self.end(first)
        self.successResultOf(title)

    def test_stop_is_pressed(self) -> None:
        """
        In the middle of an answer: the same.
        """
        first, _ = self.wait_too_long()
        self.end(first)
        self.farm.pass_time(0.08)
        self.successResultOf(self.title("a"))

    def test_none_comes(self) -> None:
        """
        The model goes a moment later.
        """
        first, second = self.wait_too_long()
        self.end(first)
        self.farm.pass_time(0.2)
        self.assertFalse(self.goes())
        self.farm.pass_time(0.15)
        self.swap("a", "b")
        self.successResultOf(second)

    def test_too_late(self) -> None:
        """
        It waits for its model's next turn.
        """
        first, _ = self.wait_too_long()
        self.end(first)
        self.farm.pass_time(0.35)
        self.assertNoResult(self.title("a"))
        self.assertTrue(self.goes())

    def test_nothing_lingers(self) -> None:
        """
        Where models do not, no swap waits for a title.
        """
        self.use(model("a"), model("b"))
        first = self.chat("a")
        self.farm.come_up("a")
        self.ask("b")
        self.end(first)
        self.assertEqual(self.told("a")[-1], "halt")

    def test_idle_already(self) -> None:
        """
        The moment counts for a model too whose turn ends after the stream did.
        """
        self.use(model("a", linger_s=0.01), model("b"))
        first = self.chat("a")
        self.farm.come_up("a")
        self.end(first)
        self.farm.pass_time(0.1)
        self.ask("b")
        self.assertFalse(self.goes())
        title = self.title("a")
        self.successResultOf(title)
        self.end(title)
        self.farm.pass_time(0.1)
        self.assertTrue(self.goes())

    def test_others_wait(self) -> None:
        """
        Another client's request, a stream, a large one, and one of who knows whom.
        """
        first, _ = self.wait_too_long()
        self.end(first)
        for waiting in (
            self.title("a", "you"),
            self.title("a", None),
            self.title("a", small=False),
            self.chat("a"),
        ):
            self.assertNoResult(waiting)
        self.successResultOf(self.title("a"))

    def test_no_moment_after_what_is_no_stream(self) -> None:
        """
        Nor after the stream of an unknown client: the model goes at once.
        """
        for entry in (
            QueuedRequest(client="me", small=True),
            QueuedRequest(streams=True),
        ):
            self.setUp()
            first = self.send("a", entry)
            self.farm.come_up("a")
            self.ask("b")
            self.farm.pass_time(20)
            self.end(first)
            self.assertTrue(self.goes())


class BoundTests(FollowUpCase):
    """
    Whoever waits for another model waits no longer than the promise says.
    """

    def test_one_for_each_stream(self) -> None:
        """
        A client that sends one after another keeps nobody waiting.
        """
        first, second = self.wait_too_long()
        self.end(first)
        for _ in range(3):
            title = self.title("a")
            later = self.title("a")
            if title in self.leases:
                self.farm.pass_time(0.1)
                self.end(title)
            self.assertNoResult(later)
        self.swap("a", "b")
        self.successResultOf(second)

    def test_two_tabs_of_one_model(self) -> None:
        """
        Two streams, two titles; the model goes when the last one is answered.
        """
        other = self.chat("a")
        first, second = self.wait_too_long()
        titles = []
        for stream in (first, other):
            self.end(stream)
            titles.append(self.title("a"))
            self.successResultOf(titles[-1])
        self.assertNoResult(self.title("a"))
        for title in titles:
            self.assertFalse(self.goes())
            self.end(title)
        self.swap("a", "b")
        self.successResultOf(second)

    def test_it_was_answered_before(self) -> None:
        """
        A title that was let in as any request is the one of its stream.
        """
        first, lasting = self.chat("a"), self.chat("a", "you")
        self.farm.come_up("a")
        waiting = self.ask("b")
        self.farm.pass_time(14.9)
        self.end(first)
        title = self.title("a")
        self.end(title)
        self.farm.pass_time(0.15)
        self.assertNoResult(self.title("a"))
        self.end(lasting)
        self.farm.pass_time(0.35)
        self.swap("a", "b")
        self.successResultOf(waiting)

    def test_loops_of_chats(self) -> None:
        """
        Two clients that chat without an end, with titles: all of another model's wait
        is fair_wait, the answers in flight, and a title for each.
        """
        for client in ("me", "you"):
            self.chat("a", client)
        self.farm.come_up("a")
        second = self.chat("b", "other")
        waited_s = 0.0
        while not self.goes():
            served, self.leases = self.leases, {}
            for lease in served.values():
                lease.release()
            for client in ("me", "you"):
                self.title("a", client)
                self.chat("a", client)
            self.farm.pass_time(0.4)
            waited_s += 0.4
        self.swap("a", "b")
        self.successResultOf(second)
        self.assertLess(waited_s, 15 + 4 * 0.4)

    def test_unloaded_on_request(self) -> None:
        """
        No title is waited for.
        """
        first, _ = self.wait_too_long()
        gone = self.scheduler.unload("a")
        gone.addErrback(lambda failure: failure.trap(NotStopped))
        self.end(first)
        self.assertTrue(self.goes())

    def test_unloaded_in_the_moment(self) -> None:
        """
        It ends with that.
        """
        first, _ = self.wait_too_long()
        self.end(first)
        self.assertFalse(self.goes())
        self.scheduler.unload("a")
        self.assertTrue(self.goes())

    def test_stopped_in_the_moment(self) -> None:
        """
        A gateway that stops waits for no title.
        """
        first, second = self.wait_too_long()
        second.addErrback(lambda _: None)
        self.end(first)
        self.scheduler.stop()
        self.assertTrue(self.goes())

    def test_nobody_waits_any_more(self) -> None:
        """
        The model stays.
        """
        first, second = self.wait_too_long()
        second.addErrback(lambda _: None)
        self.end(first)
        second.cancel()
        self.farm.pass_time(5)
        self.assertEqual(self.told("a"), ["launch"])
        self.successResultOf(self.title("a", "you"))
