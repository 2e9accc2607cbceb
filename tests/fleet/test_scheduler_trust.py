"""
The fleet and daemons that die, lose their port, or cannot be started at all.
"""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from swapgate.config.daemon_kinds import SystemdSpec
from swapgate.config.values import Upstream
from swapgate.fleet.lease import LoadFailed, ShuttingDown
from tests.doubles import FakeDaemon, config_of, model
from tests.fleet.test_scheduler import FleetCase, nothing_to_clear

HERE = Upstream(scheme="http", host="127.0.0.1", port=8081)


class DeathTests(FleetCase):
    """
    Daemons that end by themselves, and are not proven gone at once.
    """

    def test_told_before_its_end_is_proven(self) -> None:
        """
        It is asked nothing more at once; its memory counts until it is proven gone.
        """
        lease = self.serve("a")
        self.farm.daemons["a"].die()
        again, other = self.ask("a"), self.ask("b")
        lease.release(suspect=True)
        self.farm.pass_time(30)
        self.assertNoResult(again)
        self.assertEqual(self.told("b"), [])
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(again).release()
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(other)

    def test_counts_as_a_crash(self) -> None:
        """
        Three deaths soon after each load count as a failed load.
        """
        for _ in range(3):
            self.serve("a").release()
            self.farm.daemons["a"].die("ended by itself (Result = signal)")
            self.farm.daemons["a"].end()
        why = self.failureResultOf(self.ask("a"), LoadFailed).value
        self.assertIn("Result = signal", why.reason)

    def test_during_its_load(self) -> None:
        """
        A load that dies has failed at once, and may begin again once it is gone.
        """
        waiting = self.ask("a")
        self.farm.daemons["a"].die("ended by itself (last exit code = 1)")
        why = self.failureResultOf(waiting, LoadFailed).value
        self.assertIn("last exit code = 1", why.reason)
        other = self.ask("b")
        self.assertEqual(self.told("b"), [])
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(other)

    def test_noticed_by_a_request(self) -> None:
        """
        Who asks of a daemon that runs no more is not sent to its port.
        """
        self.serve("a").release()
        self.farm.daemons["a"].running = False
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        self.farm.daemons["a"].die()
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_another_one_on_its_port(self) -> None:
        """
        One that runs and has lost its port is stopped, however well the port answers.
        """
        self.serve("a").release()
        daemon = self.farm.daemons["a"]
        daemon.lost, daemon.stranger = True, "another process listens on port 1"
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        self.assertEqual(daemon.told, ["launch", "halt"])
        daemon.lost, daemon.stranger = False, None
        daemon.end()
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_an_examination_that_breaks(self) -> None:
        """
        A bug in it ends this life; whoever waits is served by the next one.
        """
        lease = self.serve("a")
        self.farm.daemons["a"].cannot_tell = KeyError("a")
        lease.release(suspect=True)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        waiting = self.ask("a")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].cannot_tell = None
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(waiting)


class CheckTests(FleetCase):
    """
    What is looked at before anything is evicted.
    """

    def test_what_cannot_start_evicts_nothing(self) -> None:
        """
        The request is told why; the model that is up stays, and serves.
        """
        self.serve("a").release()
        self.farm.daemons["b"].in_the_way = "'llama-server' is not an executable"
        why = self.failureResultOf(self.ask("b"), LoadFailed).value
        self.assertEqual(why.reason, "'llama-server' is not an executable")
        self.assertEqual((self.told("a"), self.told("b")), (["launch"], []))
        self.successResultOf(self.ask("a")).release()
        # The back-off answers at once, and nothing is looked at anew.
        self.farm.daemons["b"].in_the_way = None
        self.failureResultOf(self.ask("b"), LoadFailed)
        self.farm.pass_time(1.1)
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_a_check_that_takes_long(self) -> None:
        """
        Meanwhile the model that is up serves on.
        """
        self.use(model("a"), model("b"), fair_wait_s=15.0)
        self.serve("a").release()
        looking: Deferred[str | None] = Deferred()
        self.farm.daemons["b"].looking = looking
        waiting = self.ask("b")
        self.successResultOf(self.ask("a")).release()
        self.assertEqual(self.told("a"), ["launch"])
        looking.callback(None)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(waiting)

    def test_a_check_that_hangs(self) -> None:
        """
        It keeps nobody from the model that is up, however long its request waits.
        """
        self.serve("a").release()
        self.farm.daemons["b"].looking = Deferred()
        waiting = self.ask("b")
        self.farm.pass_time(20)
        self.successResultOf(self.ask("a")).release()
        self.assertNoResult(waiting)

    def test_a_check_that_hangs_keeps_no_room(self) -> None:
        """
        After a second another model may have it; the order of the line is kept else.
        """
        self.use(model("a"), model("b"), model("c"), fair_wait_s=15.0)
        self.serve("a").release()
        looking: Deferred[str | None] = Deferred()
        self.farm.daemons["b"].looking = looking
        first, other = self.ask("b"), self.ask("c")
        self.farm.pass_time(0.9)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(0.2)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.farm.daemons["a"].end()
        self.farm.come_up("c")
        self.successResultOf(other).release()
        # Its turn comes when the check is over.
        looking.callback(None)
        self.assertEqual(self.told("c"), ["launch", "halt"])
        self.farm.daemons["c"].end()
        self.farm.come_up("b")
        self.successResultOf(first)

    def test_the_gateway_ends_while_it_is_checked(self) -> None:
        """
        No tool is left behind, and nothing is told of it.
        """
        killed: list[str] = []
        self.farm.daemons["b"].looking = Deferred(lambda _: killed.append("obstacle"))
        c = self.farm.daemons["c"]
        c.outlives_gateway, c.adopting = (
            True,
            Deferred(lambda _: killed.append("adopt")),
        )
        waiting = self.ask("b")
        self.successResultOf(self.scheduler.stop())
        self.failureResultOf(waiting, ShuttingDown)
        self.assertEqual(killed, ["adopt"])
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_given_up_while_it_is_checked(self) -> None:
        """
        Nothing comes of a check when its request has gone.
        """
        self.serve("a").release()
        looking: Deferred[str | None] = Deferred()
        self.farm.daemons["b"].looking = looking
        waiting = self.ask("b")
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        looking.callback(None)
        self.assertEqual((self.told("a"), self.told("b")), (["launch"], []))

    def test_checked_again_after_a_long_wait(self) -> None:
        """
        Between the check and the load an answer may take its time.
        """
        lease = self.serve("a")
        self.ask("b").addErrback(lambda failure: failure.trap(LoadFailed))
        self.farm.pass_time(20)
        lease.release()
        self.farm.daemons["b"].in_the_way = "the model file /m.gguf is not there"
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("b"), [])

    def test_what_a_tool_said_is_told_once(self) -> None:
        """
        It is the reason and the last words in one.
        """
        b = self.farm.daemons["b"]
        b.in_the_way = b.words = "'docker inspect b' did not end within 10 s"
        why = self.failureResultOf(self.ask("b"), LoadFailed).value
        self.assertEqual(why.reason, b.in_the_way)

    def test_a_check_that_breaks(self) -> None:
        """
        A bug in it is a load that failed, and no other model's affair.
        """
        looking: Deferred[str | None] = Deferred()
        self.farm.daemons["b"].looking = looking
        waiting = self.ask("b")
        looking.errback(KeyError("b"))
        why = self.failureResultOf(waiting, LoadFailed).value
        self.assertIn("cannot be run", why.reason)
        self.serve("a")

    def test_started_by_another_a_moment_ago(self) -> None:
        """
        What runs and does not listen yet is found before the next load begins.
        """
        self.use(model("a", 5), model("b", 5), model("c", 5))
        self.farm.daemons["b"].outlives_gateway = True
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)
        self.serve("a").release()
        self.farm.daemons["b"].up_already = self.farm.daemons["b"].silent = True
        self.farm.pass_time(3)
        self.ask("c").addErrback(lambda failure: failure.trap(ShuttingDown))
        self.assertEqual((self.told("a"), self.told("c")), (["launch", "halt"], []))
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("c"), ["launch"])

    def test_a_manager_that_hangs(self) -> None:
        """
        Another model's is waited for a second, and no longer.
        """
        self.farm.daemons["b"].outlives_gateway = True
        self.farm.daemons["b"].adopting = Deferred()
        waiting = self.ask("a")
        self.farm.pass_time(0.9)
        self.assertEqual(self.told("a"), [])
        self.farm.pass_time(0.2)
        self.farm.come_up("a")
        self.successResultOf(waiting)

    def test_a_look_that_is_under_way(self) -> None:
        """
        What another check looks for at this moment is waited for too.
        """
        self.use(model("a", 5), model("b", 5), model("c", 10))
        adopting: Deferred[bool] = Deferred()
        c = self.farm.daemons["c"]
        c.outlives_gateway = c.up_already = c.silent = True
        c.adopting = adopting
        self.ask("a").addErrback(lambda failure: failure.trap(ShuttingDown))
        self.ask("b").addErrback(lambda failure: failure.trap(ShuttingDown))
        self.assertEqual((self.told("a"), self.told("b")), ([], []))
        adopting.callback(True)
        self.assertEqual((self.told("a"), self.told("b")), ([], []))
        self.assertEqual(c.told, ["halt"])

    def test_found_up_shows_nothing(self) -> None:
        """
        One that a check has found up has not shown that it can be started.
        """
        b, adopting = self.farm.daemons["b"], Deferred[bool]()
        b.outlives_gateway = b.up_already = b.silent = True
        b.adopting = adopting
        self.farm.first_health["b"] = 200
        found = self.ask("b")
        adopting.callback(True)
        self.farm.pass_time(0.2)
        self.successResultOf(found).release()
        self.assertEqual(b.told, [])
        b.up_already = False
        b.end("crashed")
        self.serve("a").release()
        b.in_the_way = "the model file is not there"
        why = self.failureResultOf(self.ask("b"), LoadFailed).value
        self.assertIn("the model file is not there", why.reason)
        self.assertEqual(self.told("a"), ["launch"])

    def test_only_its_port_was_asked(self) -> None:
        """
        A look at ports alone is followed by one that asks its manager.
        """
        self.use(model("a"), model("c"))
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)
        answers: Deferred[bool] = Deferred()
        c = self.farm.daemons["c"]
        c.outlives_gateway, c.answering = True, answers
        self.farm.pass_time(1.5)
        c.up_already = c.silent = True
        self.ask("a").addErrback(lambda failure: failure.trap(ShuttingDown))
        self.assertEqual(self.told("a"), [])
        answers.callback(False)
        self.assertEqual((self.told("a"), c.told), ([], ["halt"]))

    def test_a_bug_while_looking(self) -> None:
        """
        One that cannot be looked for keeps none of the others from being found.
        """
        self.farm.daemons["a"].outlives_gateway = self.farm.daemons[
            "b"
        ].outlives_gateway = True
        self.farm.daemons["a"].adopting = looking = Deferred[bool]()
        self.farm.daemons["b"].up_already = True
        self.farm.first_health["b"] = 200
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)
        looking.errback(KeyError("a"))
        self.successResultOf(self.ask("b"))
        self.assertEqual(self.told("b"), [])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class TrustedAgainTests(FleetCase):
    """
    What a daemon that has shown its health keeps, and what it does not.
    """

    def test_its_drain_timeout(self) -> None:
        """
        A failed request of a draining daemon does not give its other answers longer.
        """
        self.use(model("a", drain_timeout_s=3.0), model("b"))
        one, _ = self.serve("a"), self.successResultOf(self.ask("a"))
        self.farm.clients["a"].health = 200
        self.ask("b")
        self.farm.pass_time(0.5)
        one.release(suspect=True)
        self.farm.pass_time(2.0)
        self.assertEqual(self.told("a"), ["launch"])
        self.farm.pass_time(1.0)
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_no_back_off(self) -> None:
        """
        One that was started by hand after failed loads serves, also where a request has
        to wait for its turn.
        """
        self.use(model("a", max_active=1), model("b"))
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)
        daemon = self.farm.daemons["a"]
        daemon.outlives_gateway = True
        for failures in range(4):
            self.failureResultOf(self.failed_load(daemon), LoadFailed)
            if failures < 3:
                self.farm.pass_time(2.0**failures)
        daemon.up_already = True
        self.farm.first_health["a"] = 200
        self.farm.pass_time(2.5)
        self.successResultOf(self.ask("a"))
        waiting = self.ask("a")
        self.assertNoResult(waiting)
        waiting.addErrback(lambda stopped: stopped.trap(ShuttingDown))

    def failed_load(self, daemon: FakeDaemon) -> Deferred[Any]:
        waiting = self.ask("a")
        self.farm.pass_time(0.1)
        daemon.end("exited with status 1")
        self.farm.pass_time(0.1)
        return waiting


class ClaimTests(FleetCase):
    """
    A configuration in which a service or an address has another name.
    """

    def renamed(self, **options: Any) -> None:
        self.use(model("old", **options), budget=30)
        self.farm.daemons["old"].outlives_gateway = True
        self.scheduler.start(nothing_to_clear())
        self.addCleanup(self.scheduler.stop)
        lease = self.serve("old")
        old = self.farm.daemons["old"]
        self.scheduler.reconfigure(config_of(model("new", **options), budget=30))
        new = self.farm.daemons["new"]
        new.outlives_gateway = new.up_already = True
        waiting = self.ask("new")
        self.farm.pass_time(3)
        # Neither started beside the other nor taken over from under it.
        self.assertEqual((old.told, new.told), (["launch"], []))
        self.assertNoResult(waiting)
        new.up_already = False
        lease.release()
        self.assertEqual(old.told, ["launch", "halt"])
        old.end()
        self.farm.come_up("new")
        self.successResultOf(waiting).release()
        self.assertEqual(new.told, ["launch"])

    def test_an_address(self) -> None:
        """
        What is retired keeps its upstream until it is gone.
        """
        self.renamed(upstream=HERE)

    def test_a_service(self) -> None:
        """
        So it does with its unit, whatever its address is now.
        """
        self.renamed(service=SystemdSpec(unit="llama.service"), upstream=HERE)
        self.assertTrue(
            model("x", service=SystemdSpec(unit="u"), upstream=HERE).claims
            & model(
                "y", service=SystemdSpec(unit="u"), upstream=evolve(HERE, port=1)
            ).claims
        )
