"""
Thousands of random histories: the budget holds at every instant, all are served.
"""

import contextlib
from collections.abc import Hashable
from typing import Any, cast

from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.fleet.lease import (
    Lease,
    LoadFailed,
    NotLoaded,
    NotStopped,
    QueuedRequest,
    QueueFull,
    TooLarge,
    UnknownModel,
)
from swapgate.fleet.scheduler import Scheduler
from tests.doubles import FakeDaemon, Farm, config_of, load_times, model

NAMES = ("a", "b", "c", "d", "e")
ENDS = ("exited with status 1", "was ended by SIGKILL")


async def nothing_to_clear() -> None:
    """
    No earlier gateway left anything.
    """


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """
    Some models of some sizes; a few are pinned, preloaded, or go when they are idle.
    """
    budget = draw(st.integers(1, 12))
    models: list[ModelSpec] = []
    left_to_pin = budget
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        memory = draw(st.integers(1, budget))
        pin = memory <= left_to_pin and draw(st.integers(0, 4)) == 0
        left_to_pin -= memory if pin else 0
        models.append(
            model(
                name,
                memory,
                pin=pin,
                preload=draw(st.integers(0, 3)) == 0,
                idle_unload_s=draw(st.sampled_from([None, None, 5.0])),
                drain_timeout_s=draw(st.sampled_from([None, None, 3.0])),
                linger_s=draw(st.sampled_from([0.0, 0.5, 30.0])),
                max_active=draw(st.sampled_from([None, None, 1, 2])),
            )
        )
    return config_of(
        *models,
        budget=budget,
        fair_wait_s=draw(st.sampled_from([0.0, 5.0, 15.0])),
        max_held=draw(st.sampled_from([4, 4096])),
    )


@define(eq=False)
class Waiter:
    """
    Somebody who waits, and since when.
    """

    name: str
    asked_s: float
    entry: QueuedRequest
    lease: Deferred[Any]


class Histories(RuleBasedStateMachine):
    """
    A fleet, clients that come and go, daemons that come up, crash, hang and end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bugs: list[LogEvent] = []
        globalLogPublisher.addObserver(cast(Any, self._note_bug))
        self.farm: Farm
        # Every daemon ever made, with the memory that it takes while it is up.
        self.made: list[tuple[FakeDaemon, int]] = []
        # In order of arrival.
        self.waiting: list[Waiter] = []
        self.leases: list[Lease] = []
        self.wrongs: list[str] = []
        # Of which model and client, and when; each may have one request served out of
        # turn, at once.
        self.streams_ended: list[tuple[str, Hashable, float]] = []
        # Models that have, or had, a max_active.
        self.limited: set[str] = set()
        # Who was let in last, and when.
        self.let_in = ("", 0.0)

    def _note_bug(self, event: LogEvent) -> None:
        if event["log_level"] is LogLevel.critical:
            self.bugs.append(event)

    def teardown(self) -> None:
        globalLogPublisher.removeObserver(cast(Any, self._note_bug))

    @initialize(config=configs())
    def begin(self, config: Config) -> None:
        self.config = config
        self.limited |= {m.name for m in config.models if m.max_active is not None}
        self.farm = Farm(config, Clock())
        self.scheduler = Scheduler(
            config,
            self.make_daemon,
            self.farm.clock,
            self.farm.make_client,
            load_times(),
        )
        self.scheduler.start(nothing_to_clear())

    def make_daemon(self, spec: ModelSpec) -> FakeDaemon:
        daemon = self.farm.make_daemon(spec)
        self.made.append((daemon, spec.memory_bytes))
        return daemon

    def up(self) -> list[FakeDaemon]:
        return [daemon for daemon, _ in self.made if daemon.running]

    def names(self) -> list[str]:
        return [spec.name for spec in self.config.models]

    # What clients do.

    def ask(self, name: str, entry: QueuedRequest | None = None) -> None:
        entry = entry or QueuedRequest()
        waiter = Waiter(name, self.farm.clock.seconds(), entry, Deferred())
        self.waiting.append(waiter)

        def served(lease: Lease) -> None:
            if not self.follows(entry, name):
                self.judge(waiter)
            self.waiting.remove(waiter)
            self.leases.append(lease)

        def refused(failure: Any) -> None:
            failure.trap(
                LoadFailed,
                TooLarge,
                UnknownModel,
                CancelledError,
                QueueFull,
                NotLoaded,
            )
            if not failure.check(CancelledError):
                self.waiting.remove(waiter)

        lease = self.scheduler.lease(name, entry)
        waiter.lease = lease.addCallbacks(served, refused)

    def follows(self, entry: QueuedRequest, name: str) -> bool:
        """
        Whether it is the one small request that may come after a stream.
        """
        if entry.small:
            for ended in self.streams_ended:
                late_s = self.farm.clock.seconds() - ended[2]
                if ended[:2] == (name, entry.client) and late_s < 0.3 + 0.001:
                    self.streams_ended.remove(ended)
                    return True
        return False

    def end(self, n: int, *, suspect: bool = False) -> None:
        lease = self.leases.pop(n)
        if lease.stream_of is not None:
            self.streams_ended.append(
                (lease.spec.name, lease.stream_of, self.farm.clock.seconds())
            )
        lease.release(suspect=suspect)

    def judge(self, served: Waiter) -> None:
        """
        Was it fair to let this one in, before those who came earlier?
        """
        earlier = self.waiting[: self.waiting.index(served)]
        if any(waiter.name == served.name for waiter in earlier):
            self.wrongs.append(f"{served} overtook one of its own model")
        first = self.waiting[0]
        let_in = (served.name, self.farm.clock.seconds())
        if let_in == self.let_in:
            # All of one model's together.
            return
        self.let_in = let_in
        if self.scheduler.states[first.name].retired or first.name in self.limited:
            # What it will need is not what it still has; it may have had its turn.
            return
        if self.scheduler.outlook.stopping(first.name) is not None:
            # It waits for a stop that does not end, which holds up no others.
            return
        waited_s = self.farm.clock.seconds() - first.asked_s
        if waited_s > self.config.fair_wait_s + 0.1 and self.cannot_be_together(
            first.name, served.name
        ):
            self.wrongs.append(f"{served} came after {first}, who has waited too long")

    def cannot_be_together(self, *names: str) -> bool:
        """
        Whether one of two models is in the other's way, whatever else is up.
        """
        needed = {m.name: m.memory_bytes for m in self.config.models if m.name in names}
        return len(needed) > 1 and sum(needed.values()) > self.config.budget_bytes

    @rule(data=st.data(), count=st.integers(1, 3))
    def somebody_asks(self, data: st.DataObject, count: int) -> None:
        name = data.draw(st.sampled_from(self.names()))
        for _ in range(count):
            self.ask(name)

    @rule(data=st.data(), client=st.sampled_from(["me", "you"]), small=st.booleans())
    def somebody_chats(self, data: st.DataObject, client: str, small: bool) -> None:
        """
        A stream, or what may follow one.
        """
        name = data.draw(st.sampled_from(self.names()))
        self.ask(name, QueuedRequest(client=client, streams=not small, small=small))

    @rule(data=st.data())
    def one_model_is_asked_for_again_and_again(self, data: st.DataObject) -> None:
        """
        Each of its answers begins before the one before it has ended.
        """
        name = data.draw(st.sampled_from(self.names()))
        for _ in range(20):
            self.ask(name)
            if self.farm.daemons[name].running:
                self.farm.clients[name].health = 200
            self.farm.clock.pump([0.2] * 5)
            while len(self.leases) > 1:
                self.end(0)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), suspect=st.booleans())
    def an_answer_ends(self, data: st.DataObject, suspect: bool) -> None:
        n = data.draw(st.integers(0, len(self.leases) - 1))
        self.end(n, suspect=suspect)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def somebody_hangs_up(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting))
        # Whoever is let in because of it comes after nobody any more.
        self.waiting.remove(waiter)
        waiter.lease.cancel()

    @rule(data=st.data(), now=st.booleans())
    def somebody_unloads(self, data: st.DataObject, now: bool) -> None:
        name = data.draw(st.sampled_from(self.names()))
        unloading = self.scheduler.unload(name, now=now)
        unloading.addErrback(lambda failure: failure.trap(NotStopped))

    @rule(data=st.data(), pinned=st.booleans())
    def somebody_pins(self, data: st.DataObject, pinned: bool) -> None:
        """
        Not what would not fit beside what is pinned already.
        """
        name = data.draw(st.sampled_from(self.names()))
        if name not in self.scheduler.states:
            return
        with contextlib.suppress(TooLarge):
            self.scheduler.pin(name, pinned=pinned)

    # What daemons do.

    @precondition(lambda self: self.up())
    @rule(data=st.data())
    def a_daemon_comes_up(self, data: st.DataObject) -> None:
        self.farm.come_up(data.draw(st.sampled_from(self.up())).name)

    @precondition(lambda self: self.up())
    @rule(data=st.data(), why=st.sampled_from(ENDS))
    def a_daemon_ends(self, data: st.DataObject, why: str) -> None:
        data.draw(st.sampled_from(self.up())).end(why)

    @precondition(lambda self: self.up())
    @rule(data=st.data())
    def a_daemon_falls_ill(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.up())).name
        self.farm.clients[name].health = ConnectionRefusedError()

    # What else happens.

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 70.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.farm.clock.pump([seconds / 20] * 20)

    @rule(config=configs())
    def the_configuration_changes(self, config: Config) -> None:
        # A smaller budget cannot hold at once for what is up already.
        if config.budget_bytes >= self.config.budget_bytes:
            self.config = config
            self.limited |= {m.name for m in config.models if m.max_active is not None}
            self.scheduler.reconfigure(config)

    # What always holds.

    @invariant()
    def the_budget_holds(self) -> None:
        taken = sum(memory for daemon, memory in self.made if daemon.running)
        assert taken <= self.config.budget_bytes, "more is up than may be"

    @invariant()
    def no_event_is_without_an_answer(self) -> None:
        assert self.bugs == [], self.bugs

    @invariant()
    def everybody_is_treated_fairly(self) -> None:
        assert self.wrongs == [], self.wrongs

    @invariant()
    def bounds_are_kept(self) -> None:
        assert len(self.waiting) <= 4096
        for state in self.scheduler.states.values():
            most = state.spec.max_active
            assert most is None or len(state.leases) <= most, state.spec.name

    def let_all_go_well(self) -> None:
        """
        Answers end, daemons come up and go when they are told: nobody may be left.
        """
        # Where one at a time is answered and fair_wait is 0, each may take a swap.
        for _ in range(40 + 20 * len(self.waiting)):
            while self.leases:
                self.end(-1)
            for daemon in self.up():
                if "halt" in daemon.told[-1:]:
                    daemon.end("exited with status 0")
                else:
                    self.farm.clients[daemon.name].health = 200
            self.farm.clock.pump([0.05] * 80)
            if not self.waiting:
                return
        raise AssertionError(f"{len(self.waiting)} wait for ever")


class Ending(Histories):
    """
    The same, and every history ends well.
    """

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "scheduler"):
            self.let_all_go_well()
            self.the_budget_holds()
            self.no_event_is_without_an_answer()


class HistoryTests(SynchronousTestCase):
    """
    Histories that nobody would think of.
    """

    def test_histories(self) -> None:
        """
        The budget holds, all are served in the end, no event is without an answer.
        """
        run_state_machine_as_test(
            Ending,
            settings=settings(
                max_examples=400,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                # To make a failure smaller may take longer than CI has.
                phases=[p for p in HypothesisPhase if p is not HypothesisPhase.shrink],
            ),
        )
