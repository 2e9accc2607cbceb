"""
Who waits how long, on fake daemons and a clock that the test moves.
"""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from swapgate.config.model import ModelSpec
from swapgate.fleet.lease import (
    Cut,
    Lease,
    LoadFailed,
    NotLoaded,
    QueuedRequest,
    QueueFull,
)
from tests.doubles import model
from tests.fleet.test_scheduler import FleetCase


class FairCase(FleetCase):
    """
    As people have it: 15 s until others make way, half a second to linger.
    """

    def setUp(self) -> None:
        self.use(*(model(name, linger_s=0.5) for name in "abc"))

    def use(self, *models: ModelSpec, budget: int = 10, **options: Any) -> None:
        super().use(*models, budget=budget, fair_wait_s=15.0, **options)
        self.load_times = self.scheduler.load_times

    def swap(self, gone: str, wanted: str) -> None:
        """
        Let the one go and the other come.
        """
        self.assertEqual(self.told(gone)[-1], "halt")
        self.farm.daemons[gone].end()
        self.farm.come_up(wanted)


class FairWaitTests(FairCase):
    """
    Nobody waits longer than fair_wait, the answers in flight and the swaps ahead.
    """

    def test_served_at_once_until_somebody_waits_too_long(self) -> None:
        """
        Then what is in the way lets nobody in, ends its answers and goes.
        """
        flood = [self.serve("a")]
        waiting = self.ask("b")
        for _ in range(14):
            self.farm.pass_time(1)
            flood.append(self.leases[self.ask("a")])
        self.farm.pass_time(1.1)
        late = self.ask("a")
        self.assertNoResult(late)
        for lease in flood[:-1]:
            lease.release()
        self.farm.pass_time(1)
        self.assertEqual(self.told("a"), ["launch"])
        flood[-1].release()
        self.swap("a", "b")
        lease = self.successResultOf(waiting)
        self.assertNoResult(late)
        lease.release()
        self.farm.pass_time(1)
        self.swap("b", "a")
        self.successResultOf(late)

    def test_in_turn(self) -> None:
        """
        a b a a c a b c: all of one model's together, in the order of the first of each.
        """
        order: list[str] = []
        for name in "abaacabc":
            self.ask(name).addCallback(lambda lease: order.append(lease.spec.name))
        self.farm.come_up("a")
        for gone, wanted in (("a", "b"), ("b", "c")):
            for lease in list(self.leases.values()):
                lease.release()
            self.leases.clear()
            self.farm.pass_time(0.6)
            self.swap(gone, wanted)
        self.assertEqual("".join(order), "aaaabbcc")

    def test_who_came_before_the_swap_is_let_in(self) -> None:
        """
        While b loads for long, a is asked for; b's own are served before a's turn.
        """
        self.serve("a").release()
        self.farm.pass_time(1)
        first = self.ask("b")
        self.farm.daemons["a"].end()
        again = self.ask("a")
        self.farm.pass_time(20)
        second = self.ask("b")
        self.farm.come_up("b")
        for waiting in (first, second):
            self.successResultOf(waiting)
        third = self.ask("b")
        self.assertNoResult(third)
        for waiting in (first, second):
            self.leases[waiting].release()
        self.swap("b", "a")
        self.successResultOf(again)

    def test_two_that_fit_are_in_nobodys_way(self) -> None:
        """
        Neither waits for the other's answers.
        """
        self.use(model("a", 5), model("b", 5))
        self.serve("a")
        self.serve("b")
        self.farm.pass_time(100)
        self.successResultOf(self.ask("a"))

    def test_two_floods_and_a_third_model(self) -> None:
        """
        What has begun to drain for it goes on with that, however busy both others are.
        """
        for answer_s in (3, 20):
            self.use(*(model(name, 5, linger_s=0.5) for name in "abc"))
            for name in "ab":
                self.serve(name).release()
                self.flood(name, answer_s)
            self.farm.pass_time(answer_s)
            waiting = self.ask("c")
            self.farm.pass_time(15 + answer_s + 0.1)
            [gone] = [name for name in "ab" if self.told(name)[-1] == "halt"]
            self.swap(gone, "c")
            self.successResultOf(waiting)

    def test_three_floods_and_a_larger_model(self) -> None:
        """
        What the larger one waits for is not loaded into bit by bit by the others.
        """
        self.use(*(model(n, 6 if n == "b" else 3, linger_s=0.5) for n in "abcd"))
        for name in "acd":
            self.serve(name).release()
            self.flood(name, 6)
        self.farm.pass_time(6)
        for _ in range(5):
            waiting = self.ask("b")
            # Time to wait, answers of two before it, and swaps.
            for _ in range(15 + 2 * 6 + 3):
                self.farm.pass_time(1)
                self.go_well()
            self.successResultOf(waiting)
            self.leases[waiting].release()

    def go_well(self) -> None:
        """
        Daemons come up, and go when they are told.
        """
        for name, daemon in self.farm.daemons.items():
            if daemon.running and self.told(name)[-1] == "halt":
                daemon.end()
            elif daemon.running:
                self.farm.clients[name].health = 200

    def flood(self, name: str, answer_s: float) -> None:
        """
        Begin an answer every second, of which each takes so long.
        """
        later = self.farm.clock.callLater

        def begin() -> None:
            lent = self.scheduler.lease(name)
            lent.addCallback(lambda lease: later(answer_s, lease.release))
            later(1, begin)

        begin()


class LingerTests(FairCase):
    """
    Who has just answered stays a moment.
    """

    def test_a_loop_keeps_its_model(self) -> None:
        """
        A client that asks again within linger is not swapped away, until fair_wait.
        """
        self.serve("a").release()
        waiting = self.ask("b")
        for _ in range(36):
            self.farm.pass_time(0.4)
            self.leases[self.ask("a")].release()
        self.farm.pass_time(0.4)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(0.2)
        self.swap("a", "b")
        self.successResultOf(waiting)

    def test_after_a_pause(self) -> None:
        """
        Whoever comes later than that does not notice.
        """
        self.serve("a").release()
        self.farm.pass_time(0.6)
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_a_load_that_nobody_used(self) -> None:
        """
        Only answers make a model linger.
        """
        self.ask("a").addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.farm.come_up("a")
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])


class BoundTests(FairCase):
    """
    max_held and max_active.
    """

    def test_a_full_queue(self) -> None:
        """
        Whoever would have to wait is told at once; who would not is served.
        """
        self.use(model("a"), model("b"), max_held=2)
        self.serve("a")
        held = [self.ask("b"), self.ask("b")]
        self.failureResultOf(self.ask("b"), QueueFull)
        self.successResultOf(self.ask("a"))
        held[0].addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.assertNoResult(self.ask("b"))

    def test_max_active(self) -> None:
        """
        More than that wait until an answer has ended, in their order.
        """
        self.use(model("a", max_active=2))
        leases = [self.serve("a"), self.serve("a")]
        third, fourth = self.ask("a"), self.ask("a")
        self.farm.pass_time(60)
        self.assertNoResult(third)
        leases[0].release()
        self.successResultOf(third)
        self.assertNoResult(fourth)
        leases[1].release()
        self.successResultOf(fourth)

    def test_whoever_is_done_at_once_makes_room(self) -> None:
        """
        The next one need not wait for time to pass.
        """
        self.use(model("a", max_active=1))
        self.scheduler.lease("a").addCallback(lambda lease: lease.release())
        second = self.ask("a")
        self.farm.come_up("a")
        self.successResultOf(second)

    def test_max_active_and_another_model(self) -> None:
        """
        Those in line for a full model do not keep another one waiting for ever.
        """
        self.use(model("a", max_active=1), model("b"))
        lease = self.serve("a")
        queued = [self.ask("a"), self.ask("a")]
        waiting = self.ask("b")
        self.farm.pass_time(15.1)
        lease.release()
        self.swap("a", "b")
        self.successResultOf(waiting)
        self.leases[waiting].release()
        self.swap("b", "a")
        self.successResultOf(queued[0])
        self.assertNoResult(queued[1])

    def test_full_models_take_turns(self) -> None:
        """
        Who is left over by a turn does not end the next one after a single answer.
        """
        self.use(model("a", max_active=1), model("b", max_active=1))
        lease = self.serve("a")
        queued = {name: [self.ask(name) for _ in range(3)] for name in "ba"}
        self.farm.pass_time(15.1)
        lease.release()
        self.swap("a", "b")
        for waiting in queued["b"]:
            self.farm.pass_time(1)
            self.successResultOf(waiting)
            self.leases[waiting].release()
        self.swap("b", "a")
        self.successResultOf(queued["a"][0])


class HangUpTests(FairCase):
    """
    Page Assist asks for a title when the user has pressed Stop.
    """

    def stop_streaming(self, client: str | None = "me") -> None:
        """
        Ask for a stream, and hang up while it loads.
        """
        waiting = self.scheduler.lease("a", QueuedRequest(client=client, streams=True))
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        waiting.cancel()

    def title(self, client: str = "me", *, streams: bool = False) -> Deferred[Lease]:
        return self.scheduler.lease("a", QueuedRequest(client=client, streams=streams))

    def busy_with_b(self) -> None:
        self.serve("b").release()
        self.farm.pass_time(1)

    def wanted(self) -> bool:
        """
        Whether b must go, for a to be loaded.
        """
        return self.told("b")[-1:] == ["halt"]

    def test_the_load_is_given_up_for_another(self) -> None:
        """
        What nobody wants any more makes way at once.
        """
        self.stop_streaming()
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_a_title_loads_nothing(self) -> None:
        """
        It is told after 5 s that its model is not up.
        """
        self.serve("b")
        self.stop_streaming()
        self.farm.pass_time(0.08)
        title = self.title()
        self.farm.pass_time(4.9)
        self.assertNoResult(title)
        self.farm.pass_time(0.2)
        self.failureResultOf(title, NotLoaded)
        self.assertFalse(self.wanted())

    def test_somebody_else_loads_it(self) -> None:
        """
        Then the title is served too, and nothing is left of its patience.
        """
        self.busy_with_b()
        lease = self.leases[self.ask("b")]
        self.stop_streaming()
        title = self.title()
        lease.release()
        self.farm.pass_time(1)
        self.assertFalse(self.wanted())
        waiting = self.ask("a")
        self.swap("b", "a")
        self.successResultOf(waiting)
        self.successResultOf(title).release()
        self.farm.pass_time(10)
        self.assertEqual(self.told("a"), ["launch"])

    def test_it_may_leave(self) -> None:
        """
        As anybody who waits.
        """
        self.serve("b")
        self.stop_streaming()
        title = self.title()
        title.cancel()
        self.failureResultOf(title, CancelledError)
        self.farm.pass_time(10)

    def test_nobody_else_is_meant(self) -> None:
        """
        Another client, a stream, a later request: each has its model loaded.
        """
        for client, pause_s, streams in (
            ("you", 0.1, False),
            ("me", 0.1, True),
            ("me", 1.1, False),
        ):
            self.setUp()
            self.busy_with_b()
            lease = self.leases[self.ask("b")]
            self.stop_streaming()
            self.farm.pass_time(pause_s)
            self.title(client, streams=streams)
            lease.release()
            self.farm.pass_time(0.6)
            self.assertTrue(self.wanted(), (client, pause_s, streams))

    def test_who_cannot_be_told_apart(self) -> None:
        """
        Nobody is taken for somebody who gave nothing to know him by.
        """
        self.busy_with_b()
        lease = self.leases[self.ask("b")]
        self.stop_streaming(None)
        self.ask("a")
        lease.release()
        self.farm.pass_time(0.6)
        self.assertTrue(self.wanted())

    def test_a_model_that_is_up(self) -> None:
        """
        Stop in the middle of an answer: the title is served.
        """
        self.serve("a")
        self.stop_streaming()
        self.successResultOf(self.title())


class TellingTests(FairCase):
    """
    What those who wait are told, and what their wait was made of.
    """

    def test_how_long(self) -> None:
        """
        The wait for the load, and for all else.
        """
        lease = self.serve("b")
        self.farm.pass_time(2)
        entry = QueuedRequest()
        served_s: list[float] = []
        self.scheduler.lease("a", entry).addCallback(
            lambda _: served_s.append(self.farm.clock.seconds())
        )
        self.farm.pass_time(3)
        lease.release()
        self.farm.pass_time(0.5)
        self.farm.daemons["b"].end()
        self.farm.pass_time(4)
        self.farm.come_up("a")
        self.assertAlmostEqual(entry.queue_s, 3.5, 1)
        self.assertAlmostEqual(
            entry.queue_s + entry.load_s, served_s[0] - entry.asked_s
        )

    def test_no_wait(self) -> None:
        """
        Who is served at once waited for nothing, whatever was before.
        """
        self.serve("a")
        self.farm.pass_time(1)
        entry = QueuedRequest()
        self.successResultOf(self.scheduler.lease("a", entry))
        self.assertEqual((entry.queue_s, entry.load_s), (0.0, 0.0))

    def test_a_failed_load(self) -> None:
        """
        Was waited for as well.
        """
        entry = QueuedRequest()
        waiting = self.scheduler.lease("a", entry)
        self.farm.pass_time(2)
        self.farm.daemons["a"].end("exited with status 1")
        self.failureResultOf(waiting, LoadFailed)
        self.assertAlmostEqual(entry.load_s, 2.0, 1)

    def test_behind_an_answer(self) -> None:
        """
        Whose answer does not end is named, as is one of the same model when it is full.
        """
        self.use(model("a", max_active=1), model("b"))
        lease = self.serve("a")
        self.farm.pass_time(1)
        second, other = QueuedRequest(), QueuedRequest()
        self.scheduler.lease("a", second).addErrback(lambda _: None)
        self.assertEqual(
            self.scheduler.outlook.of(second),
            "waiting for a, 0 s, behind an answer of a, 1 s so far",
        )
        self.scheduler.lease("b", other)
        self.farm.pass_time(20)
        said = self.scheduler.outlook.of(other)
        self.assertIn("waiting for b, 20 s, behind an answer of a, 21 s so far", said)
        self.farm.clock.advance(12 * 60)
        said = self.scheduler.outlook.of(other)
        self.assertIn(", behind an answer of a, 12 min so far", said)
        lease.release()
        self.farm.daemons["a"].end()
        self.assertNotIn("behind", self.scheduler.outlook.of(other))

    def test_outlook(self) -> None:
        """
        What goes on, how long it may take, how many are served before.
        """
        self.load_times.note("b", 11)
        entry = QueuedRequest()
        self.scheduler.lease("b", entry)
        self.farm.pass_time(6)
        said = "loading b, 6 s of about 11 s"
        self.assertEqual(self.scheduler.outlook.of(entry), said)
        behind = QueuedRequest()
        self.scheduler.lease("a", behind)
        self.farm.pass_time(1)
        self.assertEqual(
            self.scheduler.outlook.of(behind), "waiting for a, 1 s, 1 ahead"
        )

    def test_outlook_in_line(self) -> None:
        """
        With max_active those in the same line are served before, too.
        """
        self.use(model("a", max_active=1))
        lease = self.serve("a")
        entries = [QueuedRequest() for _ in range(3)]
        for entry in entries:
            self.scheduler.lease("a", entry)
        self.farm.pass_time(1)
        self.assertEqual(
            [self.scheduler.outlook.of(entry) for entry in entries],
            [
                f"waiting for a, 1 s, behind an answer of a, 1 s so far{more}"
                for more in ("", ", 1 ahead", ", 2 ahead")
            ],
        )
        lease.release()
        self.assertEqual(
            self.scheduler.outlook.of(entries[1]),
            "waiting for a, 1 s, behind an answer of a, 0 s so far",
        )

    def test_loads_are_remembered(self) -> None:
        """
        Only those that went well, and were ours.
        """
        self.ask("a")
        self.farm.pass_time(2)
        self.farm.come_up("a")
        self.assertAlmostEqual(self.load_times.estimate("a") or 0, 2.2, 0)
        self.farm.daemons["a"].end("exited with status 1")
        self.ask("b").addErrback(lambda failure: failure.trap(LoadFailed))
        self.farm.daemons["b"].end("exited with status 1")
        self.assertIsNone(self.load_times.estimate("b"))

    def test_watched(self) -> None:
        """
        Whoever wants to know is told of each change, until he does not.
        """
        told: list[int] = []
        unwatch = self.scheduler.watch(lambda: told.append(1))
        lease = self.serve("a")
        seen = len(told)
        self.assertGreater(seen, 1)
        lease.release()
        self.assertGreater(len(told), seen)
        unwatch()
        seen = len(told)
        self.ask("a")
        self.assertEqual(len(told), seen)


class UnloadTests(FairCase):
    """
    A model that somebody wants unloaded.
    """

    def test_drained(self) -> None:
        """
        Its answers end, whoever comes meanwhile waits for the next load.
        """
        lease = self.serve("a")
        gone = self.scheduler.unload("a")
        waiting = self.ask("a")
        self.farm.pass_time(20)
        self.assertNoResult(gone)
        self.assertNoResult(waiting)
        lease.release()
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.successResultOf(gone)
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_now(self) -> None:
        """
        Its answers are cut.
        """
        lease = self.serve("a")
        cut: list[Cut] = []
        lease.cut = cut.append
        self.serve("a")
        gone = self.scheduler.unload("a", now=True)
        self.assertEqual([why.message[-12:] for why in cut], ["was unloaded"])
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.successResultOf(gone)

    def test_again_and_again(self) -> None:
        """
        Who has waited through one unload is served before the next one counts.
        """
        for comes_up in (False, True):
            self.use(model("a"), model("b"))
            self.serve("a").release()
            waiting = self.ask("b")
            self.farm.daemons["a"].end()
            self.successResultOf(self.scheduler.unload("a"))
            first = self.scheduler.unload("b", now=True)
            self.farm.daemons["b"].end()
            self.successResultOf(first)
            self.assertEqual(self.told("b"), ["launch", "halt", "launch"])
            if comes_up:
                self.farm.come_up("b")
            second = self.scheduler.unload("b", now=True)
            third = self.scheduler.unload("b")
            third.cancel()
            self.failureResultOf(third, CancelledError)
            if not comes_up:
                self.farm.come_up("b")
            lease = self.successResultOf(waiting)
            cut: list[Cut] = []
            lease.cut = cut.append
            # Others use it meanwhile, and do not put the unload off.
            other = self.successResultOf(self.ask("b"))
            self.farm.pass_time(5)
            self.assertEqual((cut, self.told("b")[3:]), ([], []))
            lease.release()
            self.assertIsNotNone(other.ended)
            self.assertEqual(self.told("b")[3:], ["halt"])
            self.farm.daemons["b"].end()
            self.successResultOf(second)

    def test_who_was_to_be_served_has_gone(self) -> None:
        """
        Then the unload that waited for that counts.
        """
        waiting = self.ask("a")
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        self.scheduler.unload("a")
        self.farm.daemons["a"].end()
        gone = self.scheduler.unload("a")
        self.assertEqual(self.told("a"), ["launch", "halt", "launch"])
        waiting.cancel()
        self.assertEqual(self.told("a")[3:], ["halt"])
        self.farm.daemons["a"].end()
        self.successResultOf(gone)

    def test_it_ended_otherwise(self) -> None:
        """
        An unload that waits is done when the model has gone, for whatever reason.
        """
        self.ask("a").addErrback(lambda failure: failure.trap(LoadFailed))
        self.scheduler.unload("a")
        self.farm.daemons["a"].end()
        gone = self.scheduler.unload("a")
        self.assertNoResult(gone)
        self.farm.daemons["a"].end("exited with status 1")
        self.successResultOf(gone)

    def test_not_up(self) -> None:
        """
        There is nothing to be done; a load is given up, and comes again if wanted.
        """
        self.successResultOf(self.scheduler.unload("a"))
        waiting = self.ask("a")
        gone = self.scheduler.unload("a")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        again = self.scheduler.unload("a", now=True)
        self.farm.daemons["a"].end()
        for each in (gone, again):
            self.successResultOf(each)
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_nobody_waits_any_more(self) -> None:
        """
        Whoever asked for it may leave; it goes on.
        """
        lease = self.serve("a")
        gone = self.scheduler.unload("a")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        lease.release()
        self.farm.daemons["a"].end()

    def test_preloaded(self) -> None:
        """
        It stays away until somebody asks for it.
        """
        self.use(model("a", preload=True))
        self.ask("a").addCallback(lambda lease: lease.release())
        self.farm.come_up("a")
        self.scheduler.unload("a")
        self.farm.daemons["a"].end()
        self.farm.pass_time(10)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.ask("a")
        self.assertEqual(self.told("a")[-1], "launch")

    def test_recent_swaps(self) -> None:
        """
        What was done, and why.
        """
        self.serve("a").release()
        self.farm.pass_time(1)
        self.ask("b")
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        told = [(s.model, s.what, s.cause, s.outcome) for s in self.scheduler.swaps]
        self.assertEqual(
            told,
            [
                ("a", "load", "asked for", "ready"),
                ("a", "unload", "b is waited for", "gone"),
                ("b", "load", "asked for", "ready"),
            ],
        )
