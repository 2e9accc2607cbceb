"""
Who gets which daemon, when: on fake daemons and a clock that the test moves.
"""

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.model import ModelSpec
from swapgate.fleet.lease import (
    Cut,
    Lease,
    LoadFailed,
    ShuttingDown,
    TooLarge,
    UnknownModel,
)
from swapgate.fleet.lifecycle import Event, ImpossibleEvent
from tests.doubles import Farm, config_of, model


async def nothing_to_clear() -> None:
    """
    No earlier gateway left anything.
    """


class FleetCase(SynchronousTestCase):
    """
    A fleet of `a`, `b` and `c`, of which one fits at a time.
    """

    def setUp(self) -> None:
        self.use(model("a"), model("b"), model("c"))

    def use(self, *models: ModelSpec, budget: int = 10, **options: Any) -> None:
        config = config_of(*models, budget=budget, **options)
        self.farm = Farm(config)
        self.scheduler = self.farm.scheduler()
        self.leases: dict[Deferred[Lease], Lease] = {}

    def ask(self, name: str) -> Deferred[Lease]:
        """
        Ask for a model; the lease is kept for `leased`.
        """
        waiting = self.scheduler.lease(name)

        def note(lease: Lease) -> Lease:
            self.leases[waiting] = lease
            return lease

        return waiting.addCallback(note)

    def serve(self, name: str) -> Lease:
        """
        Ask for a model and let it come up.
        """
        waiting = self.ask(name)
        if waiting not in self.leases:
            self.farm.come_up(name)
        return self.leases[waiting]

    def told(self, name: str) -> list[str]:
        return self.farm.daemons[name].told


class LoadingTests(FleetCase):
    """
    From a request to a daemon that is up.
    """

    def test_held_until_healthy(self) -> None:
        """
        A request waits while /health says 503 or nothing, and no longer.
        """
        waiting = self.ask("a")
        self.farm.pass_time(1)
        self.assertNoResult(waiting)
        self.farm.clients["a"].health = ConnectionRefusedError()
        self.farm.pass_time(1)
        self.assertNoResult(waiting)
        self.farm.come_up("a")
        self.assertIs(self.successResultOf(waiting).client, self.farm.clients["a"])

    def test_one_load_for_all(self) -> None:
        """
        Who comes while a model loads waits for the same load.
        """
        waiting = [self.ask("a") for _ in range(100)]
        self.farm.come_up("a")
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.told("a"), ["launch"])

    def test_up_already(self) -> None:
        """
        A model that is up serves at once.
        """
        self.serve("a").release()
        self.successResultOf(self.ask("a"))

    def test_nobody_is_polled_before_it_runs(self) -> None:
        """
        While a daemon is not launched yet, whoever answers in its place is not heard.
        """
        waiting = self.ask("a")
        self.farm.daemons["a"].running = False
        self.farm.come_up("a")
        self.assertNoResult(waiting)

    def test_an_impostor(self) -> None:
        """
        A stranger that answers for the daemon gets no request; the load fails.
        """
        waiting = self.ask("a")
        self.farm.daemons["a"].stranger = "another process listens on port 8081"
        self.farm.come_up("a")
        failure = self.failureResultOf(waiting, LoadFailed)
        self.assertIn("another process listens", str(failure.value))
        self.assertEqual(self.told("a"), ["launch", "halt"])


class SwapTests(FleetCase):
    """
    One model makes room for another.
    """

    def test_stopped_before_the_next_starts(self) -> None:
        """
        The wanted one is launched when the one in the way is gone, not before.
        """
        self.serve("a").release()
        waiting = self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.pass_time(5)
        self.assertEqual(self.told("b"), [])
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("b"), ["launch"])
        self.assertTrue(self.farm.clients["a"].closed)
        self.farm.come_up("b")
        self.successResultOf(waiting)

    def test_an_answer_is_never_cut(self) -> None:
        """
        The one in the way is stopped when its last answer has been given.
        """
        first, second = self.serve("a"), self.serve("a")
        self.ask("b")
        first.release()
        self.farm.pass_time(1000)
        self.assertEqual(self.told("a"), ["launch"])
        second.release()
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_drain_timeout(self) -> None:
        """
        Where the user set a bound to draining, it is kept.
        """
        self.use(model("a", drain_timeout_s=30.0), model("b"))
        lease = self.serve("a")
        self.ask("b")
        self.farm.pass_time(29)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(2)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        lease.release()
        self.assertEqual(self.told("b"), ["launch"])

    def test_a_drain_that_was_called_off(self) -> None:
        """
        A model that nobody else wants any more goes on, and its bound is forgotten.
        """
        self.use(model("a", drain_timeout_s=30.0), model("b"))
        self.serve("a")
        other = self.ask("b")
        later = self.ask("a")
        self.assertNoResult(later)
        other.addErrback(lambda failure: failure.trap(CancelledError))
        other.cancel()
        self.successResultOf(later)
        self.farm.pass_time(60)
        self.assertEqual(self.told("a"), ["launch"])

    def test_in_turn(self) -> None:
        """
        Who waits behind a swap is served after it, and nobody is forgotten.
        """
        lease = self.serve("a")
        b, a, c = self.ask("b"), self.ask("a"), self.ask("c")
        lease.release()
        for name, waiting in (("b", b), ("a", a), ("c", c)):
            for daemon in self.farm.daemons.values():
                if daemon.running and daemon.told[-1] == "halt":
                    daemon.end()
            self.farm.come_up(name)
            self.successResultOf(waiting).release()

    def test_together(self) -> None:
        """
        Models that fit together stay together.
        """
        self.use(model("a", 5), model("b", 5))
        self.serve("a").release()
        self.serve("b").release()
        self.serve("a").release()
        self.assertEqual(self.told("a") + self.told("b"), ["launch", "launch"])


class GivingUpTests(FleetCase):
    """
    Clients that go while they wait.
    """

    def test_out_of_the_queue(self) -> None:
        """
        Whoever cancels is served no more.
        """
        gone, stays = self.ask("a"), self.ask("a")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.farm.come_up("a")
        self.successResultOf(stays)
        self.assertEqual(len(self.leases), 1)

    def test_a_load_nobody_wants(self) -> None:
        """
        It goes on while nobody else needs the memory, and is given up when one does.
        """
        gone = self.ask("a")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.farm.pass_time(1)
        self.assertEqual(self.told("a"), ["launch"])
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("b"), ["launch"])

    def test_given_up_is_not_failed(self) -> None:
        """
        A load that was given up can be asked for again at once.
        """
        self.ask("a").addErrback(lambda _: None).cancel()
        self.serve_after("a", "b")
        self.ask("a")
        self.farm.daemons["b"].end()
        self.assertEqual(self.told("a"), ["launch", "halt", "launch"])

    def serve_after(self, old: str, new: str) -> None:
        waiting = self.ask(new)
        self.farm.daemons[old].end()
        self.farm.come_up(new)
        self.successResultOf(waiting).release()

    def test_released_twice(self) -> None:
        """
        Giving a lease back again changes nothing.
        """
        lease = self.serve("a")
        kept = self.serve("a")
        lease.release()
        lease.release()
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch"])
        kept.release()
        self.assertEqual(self.told("a"), ["launch", "halt"])


class FailedLoadTests(FleetCase):
    """
    Daemons that do not come up.
    """

    def failure_of(self, waiting: Deferred[Lease]) -> LoadFailed:
        return cast(LoadFailed, self.failureResultOf(waiting, LoadFailed).value)

    def test_exits_while_loading(self) -> None:
        """
        All who wait learn at once how it ended and what it said last.
        """
        waiting = [self.ask("a"), self.ask("a")]
        self.farm.daemons["a"].words = "error: no such file"
        self.farm.daemons["a"].end("exited with status 1")
        for each in waiting:
            self.assertEqual(
                str(self.failure_of(each)),
                "a could not be loaded: exited with status 1; it can be tried again in "
                "1 s\nerror: no such file",
            )

    def test_a_launch_that_is_not_possible(self) -> None:
        """
        It is a failed load like any other, and holds up nobody.
        """
        self.farm.daemons["a"].cannot = OSError("Too many open files")
        failure = self.failure_of(self.ask("a"))
        self.assertIn("cannot be run: Too many open files", str(failure))
        self.serve("b")

    def test_a_launch_with_a_bug(self) -> None:
        """
        What nobody has thought of is a failed load as well, and is logged.
        """
        self.farm.daemons["a"].cannot = UnicodeError("label too long")
        failure = self.failure_of(self.ask("a"))
        self.assertIn("cannot be run: label too long", str(failure))
        self.assertEqual(len(self.flushLoggedErrors(UnicodeError)), 1)
        self.serve("b")

    def test_one_that_cannot_be_asked(self) -> None:
        """
        It was launched: it is stopped, and the load has failed for that reason.
        """
        self.farm.unaskable["a"] = UnicodeError("no such label")
        waiting = self.ask("a")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.assertIn("cannot be asked: no such label", str(self.failure_of(waiting)))
        self.serve("b")

    def test_a_halt_with_a_bug(self) -> None:
        """
        It ends that model's life; another one is loaded.
        """
        self.serve("a").release()
        self.farm.daemons["a"].cannot_halt = RuntimeError("a bug")
        self.serve("b")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_never_healthy(self) -> None:
        """
        At load_timeout the waiting are told, and the daemon is stopped.
        """
        waiting = self.ask("a")
        self.farm.pass_time(179)
        self.assertNoResult(waiting)
        self.farm.pass_time(2)
        self.assertIn("not healthy within 180 s", str(self.failure_of(waiting)))
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_back_off(self) -> None:
        """
        During the back-off the answer comes at once, with the time left, and no load.
        """
        self.ask("a").addErrback(lambda _: None)
        self.farm.daemons["a"].end("exited with status 1")
        self.farm.pass_time(0.4)
        failure = self.failure_of(self.ask("a"))
        self.assertAlmostEqual(failure.retry_in_s, 0.6)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(0.7)
        self.ask("a")
        self.assertEqual(self.told("a"), ["launch", "launch"])

    def back_off_s(self) -> float:
        waiting = self.ask("a")
        self.farm.daemons["a"].end("exited with status 1")
        left = self.failure_of(waiting).retry_in_s
        self.farm.clock.advance(left)
        return left

    def test_doubles_up_to_a_minute(self) -> None:
        """
        Each failure in a row doubles the wait, up to a minute.
        """
        self.assertEqual(
            [self.back_off_s() for _ in range(9)], [1, 2, 4, 8, 16, 32, 60, 60, 60]
        )

    def test_a_success_forgets(self) -> None:
        """
        After one good load the back-off begins small again.
        """
        for _ in range(4):
            self.back_off_s()
        self.serve("a").release()
        self.farm.clock.advance(100)
        self.farm.daemons["a"].end("was ended by SIGKILL")
        self.assertEqual(self.back_off_s(), 1)

    def test_the_next_is_not_held_up(self) -> None:
        """
        A failed load makes room for whoever else waits.
        """
        self.ask("a").addErrback(lambda _: None)
        waiting = self.ask("b")
        self.farm.daemons["a"].end("exited with status 1")
        self.farm.come_up("b")
        self.successResultOf(waiting)

    def test_asked_while_it_is_being_undone(self) -> None:
        """
        Who asks after the failure, before the daemon is gone, is told the failure too.
        """
        self.ask("a").addErrback(lambda _: None)
        self.farm.pass_time(181)
        self.assertIn("not healthy", str(self.failure_of(self.ask("a"))))

    def test_asked_after_the_back_off_but_before_it_is_gone(self) -> None:
        """
        Then the request waits until the old life is over, and gets a new load.
        """
        self.ask("a").addErrback(lambda _: None)
        self.farm.pass_time(185)
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(waiting)


class CrashTests(FleetCase):
    """
    Daemons that end while they serve.
    """

    def crash(self, after_s: float) -> None:
        lease = self.serve("a")
        self.farm.clock.advance(after_s)
        self.farm.daemons["a"].end("was ended by SIGSEGV")
        lease.release(suspect=True)

    def test_loaded_again(self) -> None:
        """
        A crash is no failed load: the next request loads at once.
        """
        self.crash(after_s=5)
        self.serve("a")
        self.assertEqual(self.told("a"), ["launch", "launch"])

    def test_three_early_crashes(self) -> None:
        """
        Three in a row, each within a minute of ready, count as a failed load.
        """
        for _ in range(3):
            self.crash(after_s=5)
        failure = self.failureResultOf(self.ask("a"), LoadFailed)
        self.assertIn("crashed soon after each load", str(failure.value))
        self.assertIn("SIGSEGV", str(failure.value))

    def test_it_keeps_crashing(self) -> None:
        """
        The back-off grows although each load as such succeeds.
        """
        for _ in range(3):
            self.crash(after_s=5)
        waits = []
        for _ in range(3):
            error = self.failureResultOf(self.ask("a"), LoadFailed).value
            waits.append(cast(LoadFailed, error).retry_in_s)
            self.farm.clock.advance(waits[-1])
            self.crash(after_s=5)
        self.assertEqual([round(wait, 6) for wait in waits], [1, 2, 4])

    def test_a_late_crash(self) -> None:
        """
        One that served for longer than a minute starts the count anew.
        """
        for after_s in (5, 5, 61, 5, 5):
            self.crash(after_s)
        self.serve("a")

    def evict(self) -> None:
        """
        Let another model take the place of `a`.
        """
        waiting = self.ask("b")
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.leases[waiting].release()
        # Make room again.
        waiting = self.ask("a")
        self.farm.daemons["b"].end()
        self.farm.come_up("a")
        self.leases[waiting].release()

    def test_well_in_between(self) -> None:
        """
        So does one that was well until it was evicted, however soon.
        """
        for _ in range(2):
            self.crash(after_s=5)
        self.serve("a").release()
        self.evict()
        self.crash(after_s=5)
        self.serve("a")

    def test_ill_in_between(self) -> None:
        """
        One that was ended because it did not answer any more was not well.
        """
        for _ in range(2):
            self.crash(after_s=5)
        lease = self.serve("a")
        self.farm.clients["a"].health = 503
        lease.release(suspect=True)
        self.farm.daemons["a"].end()
        self.crash(after_s=5)
        self.failureResultOf(self.ask("a"), LoadFailed)

    def test_a_dead_life_owes_nothing(self) -> None:
        """
        A lease of a life that has ended does not hold up the next one.
        """
        old = self.serve("a")
        self.farm.daemons["a"].end("was ended by SIGKILL")
        self.serve("a").release()
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "launch", "halt"])
        old.release()


class DoubtTests(FleetCase):
    """
    Daemons that failed to answer a request.
    """

    def test_found_alive(self) -> None:
        """
        It may have been the connection: a daemon that is healthy serves on.
        """
        self.serve("a").release(suspect=True)
        self.assertEqual(self.farm.clients["a"].idle_dropped, 1)
        self.successResultOf(self.ask("a"))

    def test_found_sick(self) -> None:
        """
        A daemon that runs and does not answer is stopped, and loaded again.
        """
        lease = self.serve("a")
        self.farm.clients["a"].health = ConnectionRefusedError()
        lease.release(suspect=True)
        waiting = self.ask("a")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_found_dead(self) -> None:
        """
        One that has ended is left to be buried: nobody is admitted meanwhile.
        """
        lease = self.serve("a")
        self.farm.daemons["a"].running = False
        lease.release(suspect=True)
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.daemons["a"].end("was ended by SIGKILL")
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_its_health_flaps(self) -> None:
        """
        It serves between bad moments; one that no request met changes nothing.
        """
        for _ in range(3):
            self.serve("a").release(suspect=True)
            self.farm.clients["a"].health = 503
            self.farm.pass_time(5)
            self.successResultOf(self.ask("a")).release()
            self.farm.clients["a"].health = 200
        self.assertEqual(self.told("a"), ["launch"])

    def test_examined_once(self) -> None:
        """
        Many failed requests ask for one examination.
        """
        leases = [self.serve("a") for _ in range(3)]
        self.farm.daemons["a"].running = False
        for lease in leases:
            lease.release(suspect=True)
        self.assertEqual(self.farm.clients["a"].idle_dropped, 1)


class StopTests(FleetCase):
    """
    The gateway is told to stop.
    """

    def test_nothing_is_up(self) -> None:
        """
        Then there is nothing to wait for.
        """
        self.successResultOf(self.scheduler.stop())
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_who_waits_is_refused(self) -> None:
        """
        Held requests end at once, later ones too.
        """
        waiting = self.ask("a")
        stopping = self.scheduler.stop()
        self.failureResultOf(waiting, ShuttingDown)
        self.failureResultOf(self.ask("a"), ShuttingDown)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.assertNoResult(stopping)
        self.farm.daemons["a"].end()
        self.successResultOf(stopping)
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_answers_end_first(self) -> None:
        """
        A daemon is stopped when its answers have ended.
        """
        lease = self.serve("a")
        stopping = self.scheduler.stop()
        self.farm.pass_time(5)
        self.assertEqual(self.told("a"), ["launch"])
        lease.release()
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.successResultOf(stopping)

    def test_an_endless_answer(self) -> None:
        """
        Within shutdown_timeout all is asked to end, then killed, then given up.
        """
        self.serve("a")
        stopping = self.scheduler.stop()
        self.farm.pass_time(10.1)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.pass_time(4)
        self.assertEqual(self.told("a"), ["launch", "halt", "kill"])
        self.assertNoResult(stopping)
        self.farm.pass_time(1)
        self.successResultOf(stopping)

    def test_an_endless_answer_is_cut(self) -> None:
        """
        When the time for ending is over it is told why, whoever runs its daemon.
        """
        outlives_gateway = self.farm.daemons["b"]
        for lasts in (False, True):
            self.use(model("a"), model("b"))
            outlives_gateway = self.farm.daemons["a"]
            outlives_gateway.outlives_gateway = lasts
            lease = self.serve("a")
            cut: list[Cut] = []
            lease.cut = cut.append
            stopping = self.scheduler.stop()
            self.farm.pass_time(9.9)
            self.assertEqual(cut, [])
            self.farm.pass_time(0.2)
            self.assertEqual([why.code for why in cut], ["stopping"])
            self.assertIsInstance(cut[0].refusal(), ShuttingDown)
            lease.release()
            if not lasts:
                self.assertEqual(self.told("a"), ["launch", "halt"])
                outlives_gateway.end()
            self.successResultOf(stopping)

    def test_an_unload_that_is_left(self) -> None:
        """
        Is not told that it is done: nobody knows whether it will be.
        """
        self.farm.daemons["a"].outlives_gateway = True
        self.serve("a").release()
        gone = self.scheduler.unload("a")
        self.assertNoResult(gone)
        self.scheduler.stop()
        self.failureResultOf(gone, ShuttingDown)

    def test_ten_that_stay(self) -> None:
        """
        They are let go side by side, within shutdown_timeout; a broken one as well.
        """
        self.use(*(model(f"m{n}", 1) for n in range(10)))
        for daemon in self.farm.daemons.values():
            daemon.outlives_gateway = True
            daemon.leaving = Deferred()
        leaving = [d.leaving for d in self.farm.daemons.values()]
        stopping = self.scheduler.stop()
        self.assertEqual(
            [d.told for d in self.farm.daemons.values()], [["let go"]] * 10
        )
        for each in leaving[2:]:
            assert each is not None
            each.callback(None)
        assert leaving[1] is not None
        leaving[1].errback(RuntimeError("a bug"))
        self.assertNoResult(stopping)
        self.farm.pass_time(15.1)
        self.successResultOf(stopping)
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])


class BugTests(FleetCase):
    """
    What cannot happen.
    """

    def test_is_logged(self) -> None:
        """
        An event out of place is reported, changes nothing, and stops nobody.
        """
        self.scheduler.tell(self.scheduler.states["a"], Event.HEALTHY)
        self.assertEqual(len(self.flushLoggedErrors(ImpossibleEvent)), 1)
        self.serve("a")


class BudgetTests(FleetCase):
    """
    Models that stay, come by themselves, or go by themselves.
    """

    def begin(self) -> None:
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)

    def test_never_fits(self) -> None:
        """
        What cannot be up beside the pinned ones is refused with the sum, at once.
        """
        self.use(model("a", 6, pin=True), model("b", 5))
        failure = self.failureResultOf(self.ask("b"), TooLarge)
        self.assertIn("a, which is pinned", str(failure.value))
        self.assertEqual(self.told("b"), [])

    def test_preload(self) -> None:
        """
        It is loaded at start-up, and again when there is room and nobody waits.
        """
        self.use(model("a", preload=True), model("b"))
        self.begin()
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.come_up("a")
        waiting = self.ask("b")
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(waiting).release()
        self.farm.pass_time(5)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["b"].end("was ended by SIGKILL")
        self.assertEqual(self.told("a"), ["launch", "halt", "launch"])

    def test_preload_that_fails(self) -> None:
        """
        It is tried again when its back-off is over, not before.
        """
        self.use(model("a", preload=True))
        self.begin()
        self.farm.daemons["a"].end("exited with status 1")
        self.farm.pass_time(0.5)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(2)
        self.assertEqual(self.told("a"), ["launch", "launch"])

    def test_idle_unload(self) -> None:
        """
        A model that nobody used for so long is unloaded; one in use is not.
        """
        self.use(model("a", idle_unload_s=60.0))
        self.begin()
        lease = self.serve("a")
        self.farm.pass_time(120)
        self.assertEqual(self.told("a"), ["launch"])
        lease.release()
        self.farm.pass_time(50)
        self.serve("a").release()
        self.farm.pass_time(58)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(5)
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_who_is_to_stay_stays(self) -> None:
        """
        What is pinned or preloaded is not unloaded for being idle.
        """
        self.use(
            model("a", 5, idle_unload_s=60.0, pin=True),
            model("b", 5, idle_unload_s=60.0, preload=True),
        )
        self.begin()
        self.serve("a").release()
        self.serve("b").release()
        self.farm.pass_time(120)
        self.assertEqual(self.told("a") + self.told("b"), ["launch", "launch"])


class FoundTests(FleetCase):
    """
    Daemons that are not ours, and are up without our doing.
    """

    def use(self, *models: ModelSpec, budget: int = 10, **options: Any) -> None:
        super().use(*models, budget=budget, **options)
        for daemon in self.farm.daemons.values():
            daemon.outlives_gateway = True

    def put_up(self, *names: str, health: int = 200) -> None:
        for name in names:
            self.farm.daemons[name].up_already = True
            self.farm.first_health[name] = health

    def begin(self) -> None:
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)

    def test_adopted(self) -> None:
        """
        It serves without being launched, and stays when the gateway stops.
        """
        self.put_up("a")
        self.begin()
        self.successResultOf(self.ask("a")).release()
        self.assertEqual(self.told("a"), [])
        self.successResultOf(self.scheduler.stop())
        self.assertEqual(self.told("a"), ["let go"])
        self.assertTrue(self.farm.clients["a"].closed)

    def test_too_many_are_up(self) -> None:
        """
        Those over the budget are evicted before anything new starts.
        """
        self.put_up("a", "b")
        self.begin()
        waiting = self.ask("c")
        self.assertEqual((self.told("a"), self.told("b")), (["halt"], ["halt"]))
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("c"), [])
        self.farm.daemons["b"].end()
        self.assertEqual(self.told("c"), ["launch"])
        self.farm.come_up("c")
        self.successResultOf(waiting)

    def test_nothing_starts_before_the_look(self) -> None:
        """
        Requests that come while daemons are still being looked for are held.
        """
        self.put_up("b")
        looking: Deferred[bool] = Deferred()
        self.farm.daemons["b"].adopting = looking
        self.begin()
        self.ask("a").addErrback(lambda failure: failure.trap(ShuttingDown))
        self.assertEqual(self.told("a"), [])
        looking.callback(True)
        self.assertEqual((self.told("a"), self.told("b")), ([], ["halt"]))

    def test_looked_for_side_by_side(self) -> None:
        """
        Four managers that say nothing delay the first load by the time of one.
        """
        self.use(*(model(name) for name in "abcde"))
        for name in "bcde":
            self.farm.daemons[name].adopting = Deferred()
        self.begin()
        waiting = self.ask("a")
        self.farm.pass_time(1.9)
        self.assertEqual(self.told("a"), [])
        self.farm.pass_time(0.2)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_one_that_cannot_be_looked_for(self) -> None:
        """
        It keeps nobody from the others, now or later.
        """
        self.put_up("b")
        self.farm.unaskable["a"] = UnicodeError("no such label")
        self.farm.unaskable["c"] = UnicodeError("no such label")
        self.begin()
        self.successResultOf(self.ask("b")).release()
        self.farm.daemons["b"].up_already = False
        self.farm.daemons["b"].end()
        self.put_up("b")
        self.farm.pass_time(1.1)
        self.successResultOf(self.ask("b"))
        self.assertEqual(self.told("b"), [])
        self.assertTrue(self.flushLoggedErrors(UnicodeError))

    def test_an_upkeep_with_a_bug(self) -> None:
        """
        It is logged, and the upkeep goes on.
        """
        self.use(model("a"), model("b", idle_unload_s=5.0))
        self.begin()
        lease = self.serve("b")
        self.scheduler.watch(self.fail_once)
        self.put_up("a")
        self.farm.pass_time(1.1)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        lease.release()
        self.farm.pass_time(7)
        self.assertIn("halt", self.told("b"))

    def fail_once(self) -> None:
        self.scheduler._watchers.clear()
        raise ZeroDivisionError

    def test_up_but_still_loading(self) -> None:
        """
        Its memory counts, and nobody is sent to it before it is healthy.
        """
        self.put_up("a", health=503)
        self.begin()
        waiting = self.ask("a")
        self.farm.pass_time(3)
        self.assertNoResult(waiting)
        self.farm.come_up("a")
        self.successResultOf(waiting)
        self.assertEqual(self.told("a"), [])

    def test_up_and_never_healthy(self) -> None:
        """
        After load_timeout it is stopped, and started by us for those who wait.
        """
        self.put_up("a", health=503)
        self.begin()
        waiting = self.ask("a")
        self.farm.pass_time(181)
        self.assertEqual(self.told("a"), ["halt"])
        self.farm.daemons["a"].up_already = False
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("a"), ["halt", "launch"])
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_never_healthy_is_of_one_life(self) -> None:
        """
        Its load_timeout ends with it, and does not evict the next one.
        """
        self.use(model("a", drain_timeout_s=3.0), model("b"))
        self.put_up("a", health=503)
        self.begin()
        self.scheduler.unload("a")
        self.farm.daemons["a"].up_already = False
        self.farm.daemons["a"].end()
        self.serve("a").release()
        self.farm.pass_time(181)
        self.assertEqual(self.told("a"), ["halt", "launch"])

    def test_removed_while_it_is_found(self) -> None:
        """
        Who has no place any more is left alone, and its end is no concern of ours.
        """
        self.put_up("a")
        daemon = self.farm.daemons["a"]
        looking: Deferred[bool] = Deferred()
        daemon.adopting = looking
        self.begin()
        self.scheduler.reconfigure(config_of(model("b")))
        looking.callback(True)
        self.assertEqual(daemon.told, ["let go"])
        daemon.end()
        self.serve("b")

    def test_started_behind_our_back(self) -> None:
        """
        It is found before long, and what is too much is evicted.
        """
        self.begin()
        self.serve("a").release()
        self.put_up("b")
        self.farm.pass_time(3)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.successResultOf(self.ask("b"))

    def test_stopped_behind_our_back(self) -> None:
        """
        It is started again for the next request.
        """
        self.begin()
        self.serve("a").release()
        self.farm.daemons["a"].end("was stopped")
        self.serve("a")
        self.assertEqual(self.told("a"), ["launch", "launch"])


class ReconfigureTests(FleetCase):
    """
    Another configuration while the gateway runs.
    """

    def live_by(self, *models: ModelSpec, budget: int = 10) -> None:
        self.scheduler.reconfigure(config_of(*models, budget=budget))

    def test_too_large_from_now_on(self) -> None:
        """
        Who waits for what can never be up any more is told so, changed or not.
        """
        for b in (model("b"), model("b", 9)):
            self.use(model("a"), model("b"))
            self.serve("a")
            waiting = self.ask("b")
            self.assertNoResult(waiting)
            self.live_by(model("a", pin=True), b)
            self.failureResultOf(waiting, TooLarge)

    def test_unchanged(self) -> None:
        """
        What is as it was goes on untouched, streams and all.
        """
        lease = self.serve("a")
        self.live_by(model("a"), model("new"))
        self.assertEqual(self.told("a"), ["launch"])
        lease.release()
        self.successResultOf(self.ask("a"))

    def test_added(self) -> None:
        """
        A new model can be asked for.
        """
        self.live_by(model("a"), model("new"))
        self.serve("new")

    def test_removed(self) -> None:
        """
        It is drained and stopped; who waits for it is told that it is gone.
        """
        lease = self.serve("a")
        daemon = self.farm.daemons["a"]
        self.live_by(model("b"))
        self.assertEqual(daemon.told, ["launch"])
        lease.release()
        self.assertEqual(daemon.told, ["launch", "halt"])
        daemon.end()
        self.serve("b")

    def test_removed_while_somebody_waits(self) -> None:
        """
        The waiting learn that the model is unknown now.
        """
        self.serve("a")
        waiting = self.ask("b")
        self.live_by(model("a"))
        self.failureResultOf(waiting, UnknownModel)

    def test_asked_for_again_after_its_removal(self) -> None:
        """
        Whoever was about to ask for it once more learns that it is unknown.
        """
        lease = self.serve("a")
        self.live_by(model("b"))
        self.failureResultOf(self.ask("a"), UnknownModel)
        lease.release()
        self.failureResultOf(self.ask("a"), UnknownModel)

    def test_changed(self) -> None:
        """
        The old daemon is drained, the new one started for those who wait.
        """
        lease, old = self.serve("a"), self.farm.daemons["a"]
        self.live_by(model("a", 7))
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        lease.release()
        self.assertEqual(old.told, ["launch", "halt"])
        old.end()
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_a_ticket_outlives_the_change(self) -> None:
        """
        Who waited before the change and hangs up after it is forgotten.
        """
        waiting, old = self.ask("a"), self.farm.daemons["a"]
        self.live_by(model("a", 7))
        old.end()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        waiting.cancel()
        self.farm.come_up("a")
        self.assertEqual(self.leases, {})

    def test_changed_twice(self) -> None:
        """
        The last configuration counts.
        """
        self.serve("a").release()
        old = self.farm.daemons["a"]
        self.live_by(model("a", 7))
        self.live_by(model("a", 8))
        old.end()
        self.serve("a")
        self.assertEqual(self.told("a"), ["launch"])

    def test_a_smaller_budget(self) -> None:
        """
        What is too much for the new budget goes.
        """
        self.use(model("a", 5), model("b", 5))
        self.serve("a").release()
        self.serve("b").release()
        self.live_by(model("a", 5), model("b", 5), budget=9)
        self.assertEqual(self.told("a"), ["launch", "halt"])
