"""
Who may use which daemon, when? The only place with effects on daemons.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from itertools import count
from typing import Any, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    fail,
    gatherResults,
    succeed,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon
from swapgate.fleet.abandoned import AbandonedLoads
from swapgate.fleet.history import LoadTimes, Swaps, say_wait
from swapgate.fleet.lease import (
    Cut,
    Lease,
    NotStopped,
    QueuedRequest,
    QueueFull,
    ShuttingDown,
    TooLarge,
    UnknownModel,
    Unloaded,
)
from swapgate.fleet.lifecycle import Event, ImpossibleEvent, Phase, step
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.planner import (
    Admit,
    Check,
    Evict,
    ModelView,
    Move,
    Start,
    plan,
    stuck_before,
)
from swapgate.fleet.queue import WaitQueue
from swapgate.fleet.shutdown import Shutdown
from swapgate.fleet.supervisor import Supervisor, Transitions, within
from swapgate.upstream.client import UpstreamClient

_T = TypeVar("_T")
# How often we look after what happens unasked: idle models, daemons that others start.
_UPKEEP_S = 1.0
# An alarm is no busy loop, however the clock's fractions fall.
_ALARM_AT_LEAST_S = 0.001
# So long the others' managers are waited for at the start, and before each load.
_LOOK_AT_START_S, _LOOK_AROUND_S = 2.0, 1.0


class Scheduler:
    """
    Lends daemons to requests, and loads and evicts them so that all are served.
    """

    _log = Logger()

    def __init__(
        self,
        config: Config,
        make_daemon: Callable[[ModelSpec], Daemon],
        clock: IReactorTime,
        make_client: Callable[[Daemon], UpstreamClient],
        load_times: LoadTimes | None = None,
    ) -> None:
        """
        :param make_client: a client of the daemon's present life.
        """
        self.config = config
        self._make_daemon = make_daemon
        self.clock = clock
        self.load_times = load_times or LoadTimes()
        self.swaps = Swaps()
        self._transitions = Transitions(clock, self.swaps, self.load_times, self._post)
        self._supervisor = Supervisor(
            clock, make_client, self._post, self._plan_and_tell
        )
        self.states = {spec.name: self._new_state(spec) for spec in config.models}
        self._numbers = count()
        self._abandoned = AbandonedLoads(clock, self._tell_watchers)
        self._watchers: set[Callable[[], None]] = set()
        self._alarm: IDelayedCall | None = None
        self._inbox: deque[tuple[ModelState, Event, str]] = deque()
        self._carrying = self._busy = False
        # Nothing is planned before what is up already is known.
        self._looking = False
        self._looks: set[Deferred[Any]] = set()
        self._upkeep = LoopingCall(self._look_after)
        self._upkeep.clock = clock
        self._shutdown: Shutdown | None = None

    def _new_state(self, spec: ModelSpec) -> ModelState:
        now_s = self.clock.seconds()
        return ModelState(
            spec, self._make_daemon(spec), WaitQueue(self.clock), since_s=now_s
        )

    def start(self, cleared: Coroutine[Deferred[Any], Any, None]) -> None:
        """
        Take over the daemons that are up, then load what is to be up from the start.

        :param cleared: is awaited first; nothing is loaded before it is over.
        """
        self._looking = True
        begun = Deferred.fromCoroutine(cleared)
        begun.addErrback(
            lambda failure: self._log.failure("clearing up failed", failure)
        )
        begun.addCallback(self._begin_upkeep)

    def _begin_upkeep(self, _: None) -> None:
        if self._shutdown is None:
            self._upkeep.start(_UPKEEP_S)

    async def _find_daemons(self, *, ask: bool, but: ModelState | None = None) -> None:
        """
        Side by side: one that does not answer delays none of the others.

        :param ask: ask those who run them; else only where a port answers.
        """
        claimed = self._claims()
        await gatherResults(
            [
                self._find(state, ask=ask)
                for state in self.states.values()
                if state is not but and not claimed(state)
            ]
        )

    def _find(self, state: ModelState, *, ask: bool) -> Deferred[None]:
        found = self._look(self._supervisor.find(state, ask=ask))
        return found.addErrback(self._note_bug, state)

    def _note_bug(self, failure: Failure, state: ModelState) -> None:
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=state.spec.name
            )

    def _look(self, looking: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """
        Tools may hang in it: it ends when the fleet does.
        """
        look = Deferred.fromCoroutine(looking)
        self._looks.add(look)

        def note_end(result: _T | Failure) -> _T | Failure:
            self._looks.discard(look)
            return result

        return look.addBoth(note_end)

    def _claims(self) -> Callable[[ModelState], bool]:
        """
        Tells of a model whether another daemon still has its address or its service:
        one that is up, and no longer in the configuration.
        """
        taken = frozenset[object]().union(
            *(
                state.spec.claims
                for state in self.states.values()
                if state.retired and state.life.phase.resident
            )
        )
        return lambda state: (
            bool(taken) and not state.retired and bool(state.spec.claims & taken)
        )

    def _begin_check(self, state: ModelState) -> None:
        state.checking_since_s = self.clock.seconds()
        checked = self._look(self._check(state))
        checked.addErrback(lambda failure: f"cannot be run: {failure.value}")
        checked.addCallback(partial(self._end_check, state))

    async def _check(self, state: ModelState) -> str | None:
        """
        Before anything is evicted or loaded: is it up already, or another one that we
        do not know of, and what stands in its way?
        """
        around = Deferred.fromCoroutine(self._find_daemons(ask=True, but=state))
        await self._supervisor.find(state)
        await within(_LOOK_AROUND_S, around, self.clock)
        return None if state.life.phase.resident else await state.daemon.preflight()

    def _end_check(self, state: ModelState, preflight: str | None) -> None:
        now_s = self.clock.seconds()
        state.checking_since_s = None
        if self._shutdown is not None:
            return
        if state is self.states.get(state.spec.name) and not state.life.phase.resident:
            if preflight is None:
                state.checked_at_s = now_s
            else:
                self._log.warn(
                    "{model}: not started: {why}", model=state.spec.name, why=preflight
                )
                state.load_failed(now_s, preflight)
        self._carry_on()
        self._tell_watchers()

    def _look_after(self) -> Deferred[None]:
        # A LoopingCall ends with the first error that it meets.
        return Deferred.fromCoroutine(self._look_after_all()).addErrback(
            lambda failure: self._log.failure("a bug in swapgate", failure)
        )

    async def _look_after_all(self) -> None:
        now_s = self.clock.seconds()
        for state in list(self.states.values()):
            if state.is_idle(now_s):
                self._post(state, Event.EVICTED, "unused")
        found = Deferred.fromCoroutine(self._find_daemons(ask=self._looking))
        try:
            await within(_LOOK_AT_START_S, found, self.clock)
        finally:
            self._looking = False
            self._carry_on()

    def lease(self, name: str, entry: QueuedRequest | None = None) -> Deferred[Lease]:
        """
        Wait until the model `name` may be used, then hold it until `release()`.

        Cancelling gives up the place in the queue. Fails with `LoadFailed`, `TooLarge`,
        `UnknownModel`, `QueueFull` or `ShuttingDown`.

        :param entry: who asks; it is told there how long it waited for what.
        """
        entry = entry or QueuedRequest()
        state = self.states.get(name)
        if state is None or (state.retired and state.successor is None):
            # A reload has taken it away since the request was read.
            return fail(UnknownModel(name))
        held = self.held
        if state.life.phase is Phase.READY and not state.daemon.serving:
            self._supervisor.examine(state)
        if state.admits and not (held or self._carrying or self._shutdown):
            # Nobody waits: there is nothing to be planned.
            lease = self._make_lease(state, None)
            self._tell_watchers()
            return succeed(lease)
        if not state.admits and held >= self.config.max_held:
            return fail(QueueFull())
        waiting: Deferred[Lease] = Deferred(lambda _: self._give_up(entry))
        entry.lease = waiting
        entry.model, entry.number = name, next(self._numbers)
        entry.asked_s = entry.turn_s = self.clock.seconds()
        entry.owed = state.unloaded
        self._abandoned.look_at(entry, state)
        state.line.entries[entry] = None
        if self._shutdown is not None:
            state.line.refuse(ShuttingDown)
        elif (sum_said := self.config.never_fits(name)) is not None:
            state.line.refuse(lambda: TooLarge(sum_said))
        elif entry.asked_s < state.retry_at_s:
            state.line.refuse(lambda: state.failure(entry.asked_s))
        else:
            self._plan_and_tell()
        return waiting

    def _give_up(self, entry: QueuedRequest) -> None:
        state = self.states.get(entry.model)
        if state is not None:
            state.line.take_out(entry)
            self._abandoned.note(entry, state)
            self._put_away(state)
        self._plan_and_tell()

    @property
    def held(self) -> int:
        """
        How many wait.
        """
        return sum(len(state.line) for state in self.states.values())

    def outlook(self, entry: QueuedRequest) -> str:
        """
        What somebody who waits may be told.
        """
        state = self.states[entry.model]
        in_line = state.queue_number
        # Of one model all are served together, unless it takes only so many.
        same = 0 if state.spec.max_active is None else state.line.before(entry)
        return say_wait(
            entry.model,
            waited_s=self.clock.seconds() - entry.asked_s,
            loading_s=state.line.loading_s,
            estimate_s=self.load_times.estimate(entry.model),
            ahead=same
            + sum(
                len(other.line)
                for other in self.states.values()
                if other is not state
                and (number := other.queue_number) is not None
                and (in_line is None or number < in_line)
            ),
            stopping=self._stop_in_the_way(entry.model),
            behind=self.behind(entry.model),
        )

    def _stop_in_the_way(self, name: str) -> tuple[str, float] | None:
        """
        Of the stops that do not end and that this model waits for, the oldest one: of
        which model, and for how long.
        """
        if not any(state.stuck for state in self.states.values()):
            return None
        stuck = stuck_before(name, self._views(), self.config.budget_bytes)
        now_s = self.clock.seconds()
        times = {s.name: now_s - self.states[s.name].since_s for s in stuck}
        return max(times.items(), key=lambda item: item[1], default=None)

    def behind(self, name: str) -> tuple[str, float] | None:
        """
        The oldest answer that has to end before this model is served: whose it is, and
        for how long it has been under way.
        """
        wanted, now_s = self.states[name], self.clock.seconds()
        if wanted.life.phase is Phase.STARTING:
            return None
        found = [
            (now_s - since_s, state.spec.name)
            for state in self.states.values()
            if (
                state.life.phase is Phase.DRAINING
                or (state is wanted and state.room == 0)
            )
            and (since_s := state.answering_since_s) is not None
        ]
        if not found:
            return None
        answering_s, model = max(found)
        return model, answering_s

    def unload(self, name: str, *, now: bool = False) -> Deferred[None]:
        """
        Unload a model, after the answers that it gives; fires when it is gone, or fails
        with `NotStopped` where its stop does not end.

        :param now: do not wait for these, but cut them.
        """
        state = self.states.get(name)
        if state is None:
            return fail(UnknownModel(name))
        if not state.life.phase.resident:
            state.put_away = True
            return succeed(None)
        if state.stuck:
            words = state.still_there(self.clock.seconds())
            return fail(NotStopped(f"{name} is {words}"))
        gone: Deferred[None] = Deferred(state.forget)
        state.later.append((gone, now))
        self._put_away(state)
        return gone

    def _put_away(self, state: ModelState) -> None:
        """
        Let the unloads count that are asked for, unless requests that the last one has
        made wait are still to be served: a loop of them would keep the model from all.
        """
        if not state.later or state.owes:
            return
        later, state.later = state.later, []
        state.gone += [told for told, _ in later]
        now = any(now for _, now in later)
        state.put_away = state.unloaded = True
        for entry in state.line.entries:
            entry.owed = True
        if state.life.phase is not Phase.STOPPING:
            state.leaving = True
            self._post(state, Event.EVICTED, "asked for")
        if now:
            was_unloaded = Cut(
                "the model's daemon was unloaded",
                "upstream_failed",
                partial(Unloaded, state.spec.name),
            )
            for lease in list(state.leases):
                lease.end(was_unloaded)
            if state.life.phase is Phase.DRAINING:
                self._post(state, Event.IDLE)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """
        Have `changed` called whenever something may look otherwise.

        :return: what puts an end to that.
        """
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def _tell_watchers(self) -> None:
        for changed in list(self._watchers):
            changed()

    def _release(self, state: ModelState, lease: Lease, suspect: bool) -> None:
        if lease not in state.leases:
            # Given back already, or of a life that has ended.
            return
        state.leases.remove(lease)
        state.last_used_s = state.answered_s = self.clock.seconds()
        if suspect:
            self._supervisor.examine(state)
        self._put_away(state)
        if not state.leases and state.life.phase is not Phase.READY:
            self._post(state, Event.IDLE)
        elif self.held:
            # It may be let go now, or have room for one more.
            self._carry_on()
        self._tell_watchers()
        self._check_stopped()

    def tell(self, name: str, event: Event, reason: str = "") -> None:
        """
        The inbox: what happens to daemons is told here, from wherever it is noticed.
        """
        self._post(self.states[name], event, reason)

    def _post(self, state: ModelState, event: Event, reason: str = "") -> None:
        self._inbox.append((state, event, reason))
        self._carry_on()

    def _carry_on(self) -> None:
        """
        Take one event, step, plan, carry out the moves; until nothing is left to do.
        """
        self._busy = True
        if self._carrying:
            return
        self._carrying = True
        changed = False
        try:
            while self._busy:
                self._busy = False
                if self._inbox:
                    changed = True
                    self._step(*self._inbox.popleft())
                moves = list(self._due(self._plan()))
                changed |= bool(moves)
                for move in moves:
                    self._carry_out(move)
                # Letting people in makes no other move possible; what they do at once
                # may, and comes back to here.
                self._busy |= bool(self._inbox) or any(
                    not isinstance(move, Admit | Check) for move in moves
                )
        finally:
            self._carrying = False
        self._set_alarm()
        if changed:
            self._tell_watchers()

    def _plan_and_tell(self) -> None:
        """
        The same where something has changed that is no event.
        """
        self._carry_on()
        self._tell_watchers()

    def _set_alarm(self) -> None:
        """
        Carry on when time alone makes another move possible.
        """
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._shutdown is not None or not self.held:
            return
        now_s, fair_wait_s = self.clock.seconds(), self.config.fair_wait_s
        to_come = [
            at_s
            for state in self.states.values()
            for at_s in state.turning_points(fair_wait_s)
            if at_s > now_s
        ]
        if to_come:
            delay_s = max(min(to_come) - now_s, _ALARM_AT_LEAST_S)
            self._alarm = self.clock.callLater(delay_s, self._carry_on)

    def _plan(self) -> list[Move]:
        if self._shutdown is not None or self._looking:
            return []
        now_s = self.clock.seconds()
        waiting = sorted(
            (number, state.spec.name)
            for state in self.states.values()
            if (number := state.queue_number) is not None
            and not state.check_hangs(now_s)
        )
        return plan(
            self._views(),
            [name for _, name in waiting],
            self.config.budget_bytes,
        )

    def _due(self, moves: Iterable[Move]) -> Iterator[Move]:
        """
        What is to be done now: a load is checked again where its check was long ago,
        and a check that is under way is waited for.
        """
        now_s, claimed = self.clock.seconds(), self._claims()
        for planned in moves:
            move, state = planned, self.states[planned.name]
            if isinstance(move, Start) and not state.life.phase.resident:
                move = Check(move.name) if state.check_is_stale(now_s) else move
            checking = state.checking_since_s is not None
            if not (isinstance(move, Check) and (checking or claimed(state))):
                yield move

    def _views(self) -> list[ModelView]:
        now_s, fair_wait_s = self.clock.seconds(), self.config.fair_wait_s
        claimed = self._claims()
        return [
            state.view(now_s, fair_wait_s, claimed=claimed(state))
            for state in self.states.values()
        ]

    def _carry_out(self, move: Move) -> None:
        state = self.states[move.name]
        match move:
            case Admit():
                state.line.let_in(partial(self._make_lease, state), state.room)
                state.unloaded = False
            case Check():
                self._begin_check(state)
            case Start():
                state.put_away = False
                cause = "asked for" if state.line.first else "preloaded"
                self._step(state, Event.WANTED, cause)
            case Evict(wanted_by=name):
                cause = f"{name} is waited for" if name else "over the budget"
                self._step(state, Event.EVICTED, cause)
                self._end_turn(state)

    def _end_turn(self, state: ModelState) -> None:
        """
        It has had its turn: whom it had no room for would take it again at once.
        """
        for entry in state.line.entries:
            entry.number = next(self._numbers)
            if state.spec.max_active is not None:
                entry.turn_s = self.clock.seconds()

    def _make_lease(self, state: ModelState, entry: QueuedRequest | None) -> Lease:
        assert state.client is not None
        lease = Lease(state.spec, state.client, partial(self._release, state))
        lease.since_s = self.clock.seconds()
        lease.owed = entry is not None and entry.owed
        state.leases.add(lease)
        return lease

    def _step(self, state: ModelState, event: Event, reason: str = "") -> None:
        before = state.life
        try:
            state.life, actions = step(before, event)
        except ImpossibleEvent:
            self._log.failure("{model}: a bug in swapgate", model=state.spec.name)
            return
        if state.life == before:
            return
        self._log.info(
            "{model}: {before} -> {after}",
            model=state.spec.name,
            before=before.phase.value,
            after=state.life.phase.value,
        )
        self._transitions.settle(state, before.phase, event, reason)
        for action in actions:
            self._supervisor.act(state, action)
        if state.life.phase is Phase.DRAINING and not state.leases:
            self._step(state, Event.IDLE)
        if state.retired and not state.life.phase.resident:
            self._succeed(state)
        self._check_stopped()

    def reconfigure(self, config: Config) -> None:
        """
        Live by another configuration. What it leaves as it was goes on untouched; what
        it changes or leaves out is drained first, and those who wait for it wait on,
        unless it can never be up any more.
        """
        self.config = config
        specs = {spec.name: spec for spec in config.models}
        for name, state in list(self.states.items()):
            spec = specs.pop(name, None)
            if spec == state.spec and not state.retired:
                continue
            state.retired = True
            state.successor = None if spec is None else self._new_state(spec)
            if not state.life.phase.resident:
                self._succeed(state)
            elif state.life.phase in {Phase.STARTING, Phase.READY}:
                self._post(state, Event.EVICTED, "its configuration changed")
        for name, spec in specs.items():
            self.states[name] = self._new_state(spec)
        for spec in config.models:
            if (sum_said := config.never_fits(spec.name)) is not None:
                self.states[spec.name].line.refuse(partial(TooLarge, sum_said))
        self._plan_and_tell()

    def _succeed(self, state: ModelState) -> None:
        """
        Put in a retired model's place what the configuration has there now.
        """
        name = state.spec.name
        if state.successor is None:
            del self.states[name]
            state.line.refuse(partial(UnknownModel, name))
        else:
            self.states[name] = state.successor
            state.successor.line.entries = state.line.entries

    def stop(self) -> Deferred[None]:
        """
        Refuse whoever waits, let answers end, stop our children; all in good time.

        Daemons that are not ours stay as they are.
        """
        if self._upkeep.running:
            self._upkeep.stop()
        self._shutdown = Shutdown(self, self.config.shutdown_timeout_s, self.clock)
        self._set_alarm()
        for look in list(self._looks):
            look.cancel()
        return self._shutdown.begin()

    def _check_stopped(self) -> None:
        if self._shutdown is not None:
            self._shutdown.check()
