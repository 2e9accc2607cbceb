"""
Scheduler: queues requests per model, asks the planner what to change, carries it out.

1. Events come through one inbox and are taken one at a time: step that model's
   lifecycle, plan, carry the moves out, until nothing is left to do.
2. Only `ModelState`'s own methods change a model's state.
3. Memory counts from a launch until the daemon is proven gone: the budget always holds.
4. A request that comes while none waits, for a model that is up, needs no plan.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import count
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon
from swapgate.fleet.abandoned import AbandonedLoads
from swapgate.fleet.conversations import NO_CONVERSATIONS, Conversations
from swapgate.fleet.finder import Finder
from swapgate.fleet.history import LoadTimes, Swaps
from swapgate.fleet.lease import (
    Cut,
    Lease,
    QueuedRequest,
    QueueFull,
    ShuttingDown,
    TooLarge,
    UnknownModel,
    Unloaded,
)
from swapgate.fleet.lifecycle import Event, ImpossibleEvent, Phase
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.moves import Admit, Check, Evict, FollowUp, ModelView, Move, Start
from swapgate.fleet.pins import Pins
from swapgate.fleet.planner import plan, stuck_before
from swapgate.fleet.queue import WaitQueue
from swapgate.fleet.reload import reconfigure, replace
from swapgate.fleet.shutdown import Shutdown
from swapgate.fleet.supervisor import Supervisor
from swapgate.fleet.wait_estimate import Outlook
from swapgate.upstream.client import UpstreamClient

# How often unused models and daemons that were started elsewhere are looked for.
_UPKEEP_S = 1.0
# An alarm is no busy loop, however the clock's fractions fall.
_ALARM_AT_LEAST_S = 0.001


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
        load_times: LoadTimes,
        conversations: Conversations = NO_CONVERSATIONS,
    ) -> None:
        """
        :param make_client: a client of the daemon's present life.
        """
        self.config = config
        self._make_daemon = make_daemon
        self.clock = clock
        self.load_times = load_times
        self.states = {spec.name: self._new_state(spec) for spec in config.models}
        self.outlook = Outlook(self.states, self.load_times, clock, self._stuck_before)
        self.swaps = Swaps(self.outlook.who_waits)
        self._supervisor = Supervisor(
            clock,
            make_client,
            self.swaps,
            self.load_times,
            self.tell,
            self._plan_and_tell,
            conversations,
        )
        self._finder = Finder(self.states, self._supervisor, clock)
        self._pins = Pins(self.states)
        self._abandoned = AbandonedLoads(clock, self._tell_watchers)
        self._numbers = count()
        self._watchers: set[Callable[[], None]] = set()
        self._alarm: IDelayedCall | None = None
        self._inbox: deque[tuple[ModelState, Event, str]] = deque()
        self._carrying = self._busy = False
        # Nothing is planned before what is up already is known.
        self._starting = False
        self._upkeep = LoopingCall(self._look_after)
        self._upkeep.clock = clock
        self._shutdown: Shutdown | None = None

    def _new_state(
        self, spec: ModelSpec, blockers: Sequence[ModelState] = ()
    ) -> ModelState:
        daemon, queue = self._make_daemon(spec), WaitQueue(self.clock)
        return ModelState(spec, daemon, queue, self.clock.seconds(), blockers)

    # From start to stop.

    def start(self, cleared: Coroutine[Deferred[Any], Any, None]) -> None:
        """
        Take over the daemons that are up, then load what is to be up from the start.

        :param cleared: is awaited first; nothing is loaded before it is over.
        """
        self._starting = True
        Deferred.fromCoroutine(self._start(cleared))

    async def _start(self, cleared: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            await cleared
        except Exception:
            self._log.failure("clearing up failed")
        if self._shutdown is None:
            self._upkeep.start(_UPKEEP_S)

    async def _look_after(self) -> None:
        try:
            for state in list(self.states.values()):
                if state.is_idle(self.clock.seconds()):
                    self.tell(state, Event.EVICTED, "unused")
            try:
                await self._finder.find_all(ask=self._starting)
            finally:
                self._starting = False
                self._carry_on()
        except Exception:
            # A LoopingCall ends with the first error that it meets.
            self._log.failure("a bug in swapgate")

    def stop(self) -> Deferred[None]:
        """
        Refuse the requests that wait, let answers end, stop our children, in good time.

        Daemons that are not ours stay as they are.
        """
        if self._upkeep.running:
            self._upkeep.stop()
        self._shutdown = Shutdown(
            self.states, self.tell, self.config.shutdown_timeout_s, self.clock
        )
        self._set_alarm()
        self._finder.stop()
        stopped = self._shutdown.begin()
        # What waits for a follow-up waits no longer.
        self._carry_on()
        return stopped

    def _check_stopped(self) -> None:
        if self._shutdown is not None:
            self._shutdown.check()

    # Requests.

    def lease(self, name: str, entry: QueuedRequest | None = None) -> Deferred[Lease]:
        """
        Wait until the model `name` may be used, then hold it until `release()`.

        Cancelling gives up the place in the queue. Fails with `LoadFailed`, `TooLarge`,
        `UnknownModel`, `QueueFull` or `ShuttingDown`.

        :param entry: the request; it is told there how long it waited for what.
        """
        entry = entry or QueuedRequest()
        state = self.states.get(name)
        if state is None or (state.retired and state.successor is None):
            # A reload has taken it away since the request was read.
            return fail(UnknownModel(name))
        held, admits = self.held, state.admits
        if admits and not (held or self._carrying or self._shutdown):
            lease = self._lend(state, entry)
            self._tell_watchers()
            return succeed(lease)
        if state.life.phase is Phase.READY and not state.daemon.serving:
            self._supervisor.examine(state)
        if not admits and held >= self.config.max_held:
            return fail(QueueFull())
        if self._shutdown is not None:
            return fail(ShuttingDown())
        if (sum_said := self._pins.never_fits(self.config, name)) is not None:
            return fail(TooLarge(sum_said))
        now_s = self.clock.seconds()
        if now_s < state.back_off.retry_at_s:
            return fail(state.failure(now_s))
        waiting: Deferred[Lease] = Deferred(lambda _: self._give_up(entry))
        entry.lease = waiting
        entry.model, entry.number = name, next(self._numbers)
        entry.asked_s = entry.turn_s = now_s
        entry.owed = state.unloads.owing
        self._abandoned.look_at(entry, state)
        state.queue.put(entry)
        self._plan_and_tell()
        return waiting

    def _give_up(self, entry: QueuedRequest) -> None:
        state = self.states[entry.model]
        state.queue.take_out(entry)
        self._abandoned.note(entry, state)
        self._begin_unload(state)
        self._plan_and_tell()

    @property
    def held(self) -> int:
        """
        How many requests wait.
        """
        return sum([len(state.queue.entries) for state in self.states.values()])

    @property
    def answering(self) -> bool:
        """
        Whether any answer is under way.
        """
        return any(state.leases for state in self.states.values())

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
            state.unloads.put_away = True
            return succeed(None)
        if state.stuck:
            return fail(state.not_stopped(self.clock.seconds()))
        gone = state.unloads.add(now=now)
        self._begin_unload(state)
        return gone

    def _begin_unload(self, state: ModelState) -> None:
        """
        Let the unloads count that are asked for, if it is their turn.
        """
        now = state.begin_unload()
        if now is None:
            return
        if state.leaving:
            self.tell(state, Event.EVICTED, "asked for")
        if now:
            was_unloaded = Cut(
                "the model's daemon was unloaded",
                "upstream_failed",
                partial(Unloaded, state.spec.name),
            )
            state.cut_answers(was_unloaded)
            if state.life.phase is Phase.DRAINING:
                self.tell(state, Event.IDLE)

    def pin(self, name: str, *, pinned: bool) -> None:
        """
        Keep a model that is up, or will be, or treat it as any other again.

        Until the gateway ends, or a reload changes the model. Requests that can never
        be served beside what is pinned are refused.

        :raises TooLarge: where not all that is pinned would fit.
        """
        self._pins.set(self.config, name, pinned=pinned)
        self._plan_and_tell()

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
        state.take_back(lease, self.clock.seconds())
        if suspect:
            self._supervisor.examine(state)
        self._begin_unload(state)
        if self._is_drained(state):
            self.tell(state, Event.IDLE)
        elif self.held:
            # It may be let go now, or have room for one more.
            self._carry_on()
        self._tell_watchers()
        self._check_stopped()

    def tell(self, state: ModelState, event: Event, reason: str = "") -> None:
        """
        The inbox: what happens to daemons is told here, from wherever it is noticed.
        """
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
                moves = list(self._plan())
                for move in moves:
                    self._carry_out(move)
                ended = self._end_drained()
                changed |= ended or bool(moves)
                # Letting people in makes no other move possible; what they do at once
                # may, and comes back to here.
                self._busy |= (
                    ended
                    or bool(self._inbox)
                    or any(
                        not isinstance(move, Admit | FollowUp | Check) for move in moves
                    )
                )
        finally:
            self._carrying = False
        self._set_alarm()
        if changed:
            self._tell_watchers()

    def _end_drained(self) -> bool:
        """
        Stop what need not wait for a follow-up any more; whether there was any.
        """
        drained = list(filter(self._is_drained, self.states.values()))
        for state in drained:
            self._step(state, Event.IDLE)
        return bool(drained)

    def _is_drained(self, state: ModelState) -> bool:
        # There is none to wait for while the gateway stops, or where nothing else is
        # wanted: then no title would have to wait for a swap.
        waits = self._shutdown is None and self.held
        return state.is_drained(self.clock.seconds() if waits else inf)

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
            if now_s < at_s < inf
        ]
        if to_come:
            delay_s = max(min(to_come) - now_s, _ALARM_AT_LEAST_S)
            self._alarm = self.clock.callLater(delay_s, self._carry_on)

    def _plan(self) -> Iterator[Move]:
        """
        What is to be done now: a load is checked again where its check was long ago,
        and a check that is under way is waited for.
        """
        if self._shutdown is not None or self._starting:
            return
        now_s = self.clock.seconds()
        waiting = [
            (state.queue_number, state.spec.name)
            for state in self.states.values()
            if state.queue_number < inf and not state.check_hangs(now_s)
        ]
        names = [name for _, name in sorted(waiting)]
        for move in plan(self._views(), names, self.config.budget_bytes):
            state = self.states[move.name]
            loads = isinstance(move, Start) and not state.life.phase.resident
            checks = (loads and state.check_is_stale(now_s)) or isinstance(move, Check)
            if not checks:
                yield move
            elif not (state.checking or state.claimed):
                yield Check(move.name)

    def _views(self) -> list[ModelView]:
        now_s, fair_wait_s = self.clock.seconds(), self.config.fair_wait_s
        return [state.view(now_s, fair_wait_s) for state in self.states.values()]

    def _stuck_before(self, name: str) -> Sequence[ModelView]:
        return stuck_before(name, self._views(), self.config.budget_bytes)

    def _end_check(self, obstacle: str | None, state: ModelState) -> None:
        now_s, name = self.clock.seconds(), state.spec.name
        # One that was found up has not shown that it can be started.
        tells = state is self.states.get(name) and not state.life.phase.resident
        state.check_ends(now_s, good=tells and obstacle is None)
        if self._shutdown is not None:
            return
        if obstacle is not None and tells:
            self._log.warn("{model}: not started: {why}", model=name, why=obstacle)
            state.load_failed(now_s, obstacle)
        self._plan_and_tell()

    def _carry_out(self, move: Move) -> None:
        state = self.states[move.name]
        match move:
            case Admit():
                state.queue.let_in(partial(self._lend, state), state.room)
                state.unloads.owing = False
            case FollowUp():
                entries = state.follow_ups(self.clock.seconds())
                state.queue.let_in_these(entries, partial(self._lend, state))
            case Check():
                state.check_begins(self.clock.seconds())
                self._finder.check(state).addCallback(self._end_check, state)
            case Start():
                state.unloads.put_away = False
                cause = "asked for" if state.queue.first else "preloaded"
                self._step(state, Event.WANTED, cause)
            case Evict(wanted_by=name):
                cause = f"{name} is waited for" if name else "over the budget"
                self._step(state, Event.EVICTED, cause)
                self._end_turn(state)

    def _end_turn(self, state: ModelState) -> None:
        """
        It has had its turn: requests it had no room for would take it again at once.
        """
        for entry in state.queue.entries:
            entry.number = next(self._numbers)
            if state.spec.max_active is not None:
                entry.turn_s = self.clock.seconds()

    def _lend(self, state: ModelState, entry: QueuedRequest) -> Lease:
        return state.lend(entry, self.clock.seconds(), self._release)

    def _step(self, state: ModelState, event: Event, reason: str = "") -> None:
        before = state.life.phase
        try:
            actions = state.step(event, self.clock.seconds())
        except ImpossibleEvent:
            self._log.failure("{model}: a bug in swapgate", model=state.spec.name)
            return
        if actions is None:
            return
        self._log.info(
            "{model}: {before} -> {after}",
            model=state.spec.name,
            before=before.value,
            after=state.life.phase.value,
        )
        self._supervisor.settle(state, before, event, reason)
        for action in actions:
            self._supervisor.act(state, action)
        if self._is_drained(state):
            self._step(state, Event.IDLE)
        if state.retired and not state.life.phase.resident:
            replace(state, self.states)
        self._check_stopped()

    def reconfigure(self, config: Config) -> None:
        """
        Live by another configuration.
        """
        self.config = config
        reconfigure(
            self.states,
            config,
            self._new_state,
            self.tell,
            partial(self._pins.refuse_others, config),
        )
        self._plan_and_tell()
