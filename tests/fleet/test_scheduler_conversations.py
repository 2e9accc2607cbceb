"""
A daemon gets back its conversations before it serves, and saves them before it goes.
"""

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed

from swapgate.config.model import ModelSpec
from swapgate.fleet.conversations import Conversations, NoConversations
from swapgate.fleet.lease import LoadFailed, QueuedRequest
from swapgate.upstream.client import UpstreamClient
from tests.doubles import Farm, config_of, model
from tests.fleet.test_scheduler import FleetCase


@define
class FakeConversations(Conversations):
    """
    What the fleet has told, and what the test answers.
    """

    told: list[Any] = field(factory=list)
    restoring: Deferred[bool] | None = None
    saving: Deferred[None] | None = None

    def healthy(
        self, spec: ModelSpec, client: UpstreamClient, waiting: Sequence[object] | None
    ) -> Deferred[bool]:
        self.told.append(("healthy", spec.name, waiting))
        restoring, self.restoring = self.restoring, None
        return restoring or succeed(True)

    def halting(self, client: UpstreamClient) -> Deferred[None] | None:
        self.told.append("halting")
        saving, self.saving = self.saving, None
        return saving

    def gone(self, client: UpstreamClient) -> None:
        self.told.append("gone")


class ConversationsCase(FleetCase):
    """
    `a` and `b`, of which one fits at a time.
    """

    def setUp(self) -> None:
        config = config_of(model("a"), model("b"))
        self.farm = Farm(config)
        self.conversations = FakeConversations()
        self.scheduler = self.farm.scheduler(self.conversations)
        self.leases = {}
        self.cancelled: list[object] = []

    def restoring(self) -> Deferred[bool]:
        """
        The next restore goes on until the test ends it.
        """

        def cancel(restoring: Deferred[bool]) -> None:
            self.cancelled.append(restoring)
            restoring.callback(True)

        self.conversations.restoring = Deferred(cancel)
        return self.conversations.restoring


class RestoreTests(ConversationsCase):
    """
    Between healthy and ready.
    """

    def test_before_the_requests(self) -> None:
        """
        The requests wait until it is over; what they want is told in their order.
        """
        over = self.restoring()
        waiting = [
            self.scheduler.lease("a", QueuedRequest(conversation=each))
            for each in ("one", None, "other")
        ]
        self.farm.come_up("a")
        self.assertEqual(self.conversations.told, [("healthy", "a", ["one", "other"])])
        # It has an end of its own, whatever load_timeout says.
        self.farm.pass_time(200)
        for each in waiting:
            self.assertNoResult(each)
        over.callback(True)
        for each in waiting:
            self.successResultOf(each)

    def test_failed(self) -> None:
        """
        A daemon that fails at it is ended and started again, and left alone then; that
        is no failed load.
        """
        over = self.restoring()
        waiting = self.ask("a")
        self.farm.come_up("a")
        over.callback(False)
        self.assertEqual(self.told("a"), ["launch", "kill"])
        self.farm.daemons["a"].end("was ended by SIGKILL")
        self.assertEqual(self.told("a"), ["launch", "kill", "launch"])
        self.assertNoResult(waiting)
        self.farm.come_up("a")
        self.successResultOf(waiting)
        told: list[Any] = [("healthy", "a", []), "gone", ("healthy", "a", None)]
        self.assertEqual(self.conversations.told, told)

    def test_ended(self) -> None:
        """
        The same where it has ended by itself before that is known.
        """
        for well in (True, False):
            self.setUp()
            over = self.restoring()
            waiting = self.ask("a")
            self.farm.come_up("a")
            self.farm.daemons["a"].die()
            self.farm.daemons["a"].end()
            self.assertEqual(self.told("a"), ["launch"])
            over.callback(well)
            self.assertEqual(self.told("a"), ["launch", "launch"])
            self.farm.come_up("a")
            self.successResultOf(waiting)

    def test_the_next_load(self) -> None:
        """
        The load after that is given its conversations again.
        """
        over = self.restoring()
        lease = self.ask("a")
        self.farm.come_up("a")
        over.callback(False)
        self.farm.daemons["a"].end()
        self.farm.come_up("a")
        self.successResultOf(lease).release()
        waiting = self.ask("b")
        self.farm.daemons["a"].end()
        self.farm.come_up("b")
        self.successResultOf(waiting).release()
        self.ask("a")
        self.farm.daemons["b"].end()
        self.farm.come_up("a")
        self.assertEqual(self.conversations.told[-1], ("healthy", "a", []))

    def test_does_not_end(self) -> None:
        """
        One that stays though it is killed has failed its load.
        """
        over = self.restoring()
        waiting = self.ask("a")
        self.farm.come_up("a")
        over.callback(False)
        self.farm.pass_time(8.1)
        self.assertEqual(self.told("a")[-1], "halt")
        self.failureResultOf(waiting, LoadFailed)
        self.farm.daemons["a"].end()

    def test_given_up(self) -> None:
        """
        A load that nobody wants any more ends in the middle of it.
        """
        over = self.restoring()
        waiting = self.ask("a")
        self.farm.come_up("a")
        waiting.addErrback(lambda why: why.trap(CancelledError)).cancel()
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.assertEqual(self.cancelled, [over])
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("b"), ["launch"])


class SaveTests(ConversationsCase):
    """
    Before a daemon is stopped.
    """

    def test_first(self) -> None:
        """
        It is stopped when it is done, and no other is started before it is gone.
        """
        saving: Deferred[None] = Deferred()
        self.serve("a").release()
        self.conversations.saving = saving
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch"])
        saving.callback(None)
        self.assertEqual(self.told("a"), ["launch", "halt"])
        self.assertEqual(self.told("b"), [])
        self.farm.daemons["a"].end()
        self.assertEqual(self.told("b"), ["launch"])
        self.assertEqual(self.conversations.told[-2:], ["halting", "gone"])

    def test_nothing_to_save(self) -> None:
        """
        Then it is stopped at once.
        """
        self.serve("a").release()
        self.ask("b")
        self.assertEqual(self.told("a"), ["launch", "halt"])

    def test_ends_meanwhile(self) -> None:
        """
        A daemon that ends while it saves is not stopped in its next life.
        """

        def cancel(saving: Deferred[None]) -> None:
            self.cancelled.append(saving)
            saving.callback(None)

        saving: Deferred[None] = Deferred(cancel)
        self.serve("a").release()
        self.conversations.saving = saving
        waiting = self.ask("b")
        self.farm.daemons["a"].end("crashed")
        self.assertEqual(self.cancelled, [saving])
        self.farm.come_up("b")
        self.successResultOf(waiting)
        self.assertEqual(self.told("a"), ["launch"])

    def test_suspect(self) -> None:
        """
        One that failed a request is asked nothing.
        """
        lease = self.serve("a")
        self.farm.clients["a"].health = ConnectionRefusedError()
        lease.release(suspect=True)
        self.assertIn("halt", self.told("a"))
        self.assertNotIn("halting", self.conversations.told)

    def test_cannot_be_stopped(self) -> None:
        """
        A stop that cannot be is told of a daemon that has saved, too.
        """
        saving: Deferred[None] = Deferred()
        self.serve("a").release()
        self.conversations.saving = saving
        waiting = self.ask("b")
        self.farm.daemons["a"].cannot_halt = OSError("no more processes")
        saving.callback(None)
        self.farm.come_up("b")
        self.successResultOf(waiting)

    def test_gateway_stops(self) -> None:
        """
        Conversations are saved then, too; a daemon that does not end is killed.
        """
        self.serve("a").release()
        self.conversations.saving = Deferred()
        stopped = self.scheduler.stop()
        self.farm.pass_time(14.5)
        self.assertEqual(self.told("a"), ["launch", "kill"])
        self.farm.daemons["a"].end()
        self.successResultOf(stopped)

    def test_none(self) -> None:
        """
        Without anything that keeps them they are lost.
        """
        none, client = NoConversations(), self.farm.make_client(self.farm.daemons["a"])
        self.assertTrue(self.successResultOf(none.healthy(model("a"), client, [])))
        self.assertIsNone(none.halting(client))
        none.gone(client)
