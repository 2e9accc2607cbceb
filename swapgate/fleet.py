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

from swapgate.books import Books
from swapgate.config import Config, ModelSpec
from swapgate.daemons import Daemon
from swapgate.hangups import HangUps
from swapgate.line import Line
from swapgate.loads import LoadTimes, say_wait
from swapgate.phases import Event, ImpossibleEvent, Phase, step
from swapgate.place import Place
from swapgate.plan import (
    Admit,
    Check,
    Evict,
    Move,
    Standing,
    Start,
    plan,
    stuck_before,
)
from swapgate.stopping import Stopping
from swapgate.swaps import Swaps
from swapgate.tending import Tending, within
from swapgate.tickets import (
    Cut,
    FleetStopping,
    Lease,
    NotStopped,
    QueueFull,
    Ticket,
    TooLarge,
    UnknownModel,
    Unloaded,
)
from swapgate.upstream import UpstreamClient

_T = TypeVar("_T")
# How often we look after what happens unasked: idle models, daemons that others start.
_UPKEEP_S = 1.0
# An alarm is no busy loop, however the clock's fractions fall.
_ALARM_AT_LEAST_S = 0.001
# So long the others' managers are waited for at the start, and before each load.
_LOOK_AT_START_S, _LOOK_AROUND_S = 2.0, 1.0


class Fleet:
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
        self._books = Books(clock, self.swaps, self.load_times, self._post)
        self._tending = Tending(clock, make_client, self._post, self._plan_and_tell)
        self.places = {spec.name: self._place(spec) for spec in config.models}
        self._numbers = count()
        self._hang_ups = HangUps(clock, self._tell_watchers)
        self._watchers: set[Callable[[], None]] = set()
        self._alarm: IDelayedCall | None = None
        self._inbox: deque[tuple[Place, Event, str]] = deque()
        self._carrying = self._busy = False
        # Nothing is planned before what is up already is known.
        self._looking = False
        # In the order in which they began.
        self._looks: dict[Deferred[Any], None] = {}
        self._upkeep = LoopingCall(self._look_after)
        self._upkeep.clock = clock
        self._stopping: Stopping | None = None

    def _place(self, spec: ModelSpec) -> Place:
        now_s = self.clock.seconds()
        return Place(spec, self._make_daemon(spec), Line(self.clock), since_s=now_s)

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
        if self._stopping is None:
            self._upkeep.start(_UPKEEP_S)

    async def _find_daemons(self, *, ask: bool, but: Place | None = None) -> None:
        """
        Side by side: one that does not answer delays none of the others.

        :param ask: ask those who run them; else only where a port answers.
        """
        claimed = self._claims()
        await gatherResults(
            [
                self._find(place, ask=ask)
                for place in self.places.values()
                if place is not but and not claimed(place)
            ]
        )

    def _find(self, place: Place, *, ask: bool) -> Deferred[None]:
        found = self._look(self._tending.find(place, ask=ask))
        return found.addErrback(self._note_bug, place)

    def _note_bug(self, failure: Failure, place: Place) -> None:
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=place.spec.name
            )

    def _look(self, looking: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """
        Tools may hang in it: it ends when the fleet does.
        """
        look = Deferred.fromCoroutine(looking)
        self._looks[look] = None

        def note_end(result: _T | Failure) -> _T | Failure:
            del self._looks[look]
            return result

        return look.addBoth(note_end)

    def _claims(self) -> Callable[[Place], bool]:
        """
        Tells of a model whether another daemon still has its address or its service:
        one that is up, and no longer in the configuration.
        """
        taken = frozenset[object]().union(
            *(
                place.spec.claims
                for place in self.places.values()
                if place.retired and place.life.phase.resident
            )
        )
        return lambda place: (
            bool(taken) and not place.retired and bool(place.spec.claims & taken)
        )

    def _begin_check(self, place: Place) -> None:
        place.checking_since_s = self.clock.seconds()
        checked = self._look(self._check(place))
        checked.addErrback(lambda failure: f"cannot be run: {failure.value}")
        checked.addCallback(partial(self._end_check, place))

    async def _check(self, place: Place) -> str | None:
        """
        Before anything is evicted or loaded: is it up already, or another one that we
        do not know of, and what stands in its way?
        """
        around = Deferred.fromCoroutine(self._find_daemons(ask=True, but=place))
        await self._tending.find(place)
        await within(_LOOK_AROUND_S, around, self.clock)
        return None if place.life.phase.resident else await place.daemon.obstacle()

    def _end_check(self, place: Place, obstacle: str | None) -> None:
        now_s = self.clock.seconds()
        place.checking_since_s = None
        if self._stopping is not None:
            return
        if place is self.places.get(place.spec.name) and not place.life.phase.resident:
            if obstacle is None:
                place.checked_at_s = now_s
            else:
                self._log.warn(
                    "{model}: not started: {why}", model=place.spec.name, why=obstacle
                )
                place.load_failed(now_s, obstacle)
        self._carry_on()
        self._tell_watchers()

    def _look_after(self) -> Deferred[None]:
        # A LoopingCall ends with the first error that it meets.
        return Deferred.fromCoroutine(self._look_after_all()).addErrback(
            lambda failure: self._log.failure("a bug in swapgate", failure)
        )

    async def _look_after_all(self) -> None:
        now_s = self.clock.seconds()
        for place in list(self.places.values()):
            if place.is_idle(now_s):
                self._post(place, Event.EVICTED, "unused")
        found = Deferred.fromCoroutine(self._find_daemons(ask=self._looking))
        try:
            await within(_LOOK_AT_START_S, found, self.clock)
        finally:
            self._looking = False
            self._carry_on()

    def lease(self, name: str, ticket: Ticket | None = None) -> Deferred[Lease]:
        """
        Wait until the model `name` may be used, then hold it until `release()`.

        Cancelling gives up the place in the queue. Fails with `LoadFailed`, `TooLarge`,
        `UnknownModel`, `QueueFull` or `FleetStopping`.

        :param ticket: who asks; it is told there how long it waited for what.
        """
        ticket = ticket or Ticket()
        place = self.places.get(name)
        if place is None or (place.retired and place.successor is None):
            # A reload has taken it away since the request was read.
            return fail(UnknownModel(name))
        held = self.held
        if place.life.phase is Phase.READY and not place.daemon.serving:
            self._tending.examine(place)
        if place.admits and not (held or self._carrying or self._stopping):
            # Nobody waits: there is nothing to be planned.
            lease = self._make_lease(place, None)
            self._tell_watchers()
            return succeed(lease)
        if not place.admits and held >= self.config.max_held:
            return fail(QueueFull())
        waiting: Deferred[Lease] = Deferred(lambda _: self._give_up(ticket))
        ticket.lease = waiting
        ticket.model, ticket.number = name, next(self._numbers)
        ticket.asked_s = ticket.turn_s = self.clock.seconds()
        ticket.owed = place.unloaded
        self._hang_ups.look_at(ticket, place)
        place.line.tickets[ticket] = None
        if self._stopping is not None:
            place.line.refuse(FleetStopping)
        elif (sum_said := self.config.never_fits(name)) is not None:
            place.line.refuse(lambda: TooLarge(sum_said))
        elif ticket.asked_s < place.retry_at_s:
            place.line.refuse(lambda: place.failure(ticket.asked_s))
        else:
            self._plan_and_tell()
        return waiting

    def _give_up(self, ticket: Ticket) -> None:
        place = self.places.get(ticket.model)
        if place is not None:
            place.line.take_out(ticket)
            self._hang_ups.note(ticket, place)
            self._put_away(place)
        self._plan_and_tell()

    @property
    def held(self) -> int:
        """
        How many wait.
        """
        return sum(len(place.line) for place in self.places.values())

    def outlook(self, ticket: Ticket) -> str:
        """
        What somebody who waits may be told.
        """
        place = self.places[ticket.model]
        in_line = place.number_in_line
        # Of one model all are served together, unless it takes only so many.
        same = 0 if place.spec.max_active is None else place.line.before(ticket)
        return say_wait(
            ticket.model,
            waited_s=self.clock.seconds() - ticket.asked_s,
            loading_s=place.line.loading_s,
            estimate_s=self.load_times.estimate(ticket.model),
            ahead=same
            + sum(
                len(other.line)
                for other in self.places.values()
                if other is not place
                and (number := other.number_in_line) is not None
                and (in_line is None or number < in_line)
            ),
            stopping=self._stop_in_the_way(ticket.model),
            behind=self.behind(ticket.model),
        )

    def _stop_in_the_way(self, name: str) -> tuple[str, float] | None:
        """
        Of the stops that do not end and that this model waits for, the oldest one: of
        which model, and for how long.
        """
        if not any(place.stuck for place in self.places.values()):
            return None
        stuck = stuck_before(name, self._standings(), self.config.budget_bytes)
        now_s = self.clock.seconds()
        times = {s.name: now_s - self.places[s.name].since_s for s in stuck}
        return max(times.items(), key=lambda item: item[1], default=None)

    def behind(self, name: str) -> tuple[str, float] | None:
        """
        The oldest answer that has to end before this model is served: whose it is, and
        for how long it has been under way.
        """
        wanted, now_s = self.places[name], self.clock.seconds()
        if wanted.life.phase is Phase.STARTING:
            return None
        found = [
            (now_s - since_s, place.spec.name)
            for place in self.places.values()
            if (
                place.life.phase is Phase.DRAINING
                or (place is wanted and place.room == 0)
            )
            and (since_s := place.answering_since_s) is not None
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
        place = self.places.get(name)
        if place is None:
            return fail(UnknownModel(name))
        if not place.life.phase.resident:
            place.put_away = True
            return succeed(None)
        if place.stuck:
            words = place.still_there(self.clock.seconds())
            return fail(NotStopped(f"{name} is {words}"))
        gone: Deferred[None] = Deferred(place.forget)
        place.later.append((gone, now))
        self._put_away(place)
        return gone

    def _put_away(self, place: Place) -> None:
        """
        Let the unloads count that are asked for, unless requests that the last one has
        made wait are still to be served: a loop of them would keep the model from all.
        """
        if not place.later or place.owes:
            return
        later, place.later = place.later, []
        place.gone += [told for told, _ in later]
        now = any(now for _, now in later)
        place.put_away = place.unloaded = True
        for ticket in place.line.tickets:
            ticket.owed = True
        if place.life.phase is not Phase.STOPPING:
            place.leaving = True
            self._post(place, Event.EVICTED, "asked for")
        if now:
            was_unloaded = Cut(
                "the model's daemon was unloaded",
                "upstream_failed",
                partial(Unloaded, place.spec.name),
            )
            for lease in list(place.leases):
                lease.end(was_unloaded)
            if place.life.phase is Phase.DRAINING:
                self._post(place, Event.IDLE)

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

    def _release(self, place: Place, lease: Lease, doubt: bool) -> None:
        if lease not in place.leases:
            # Given back already, or of a life that has ended.
            return
        place.leases.remove(lease)
        place.last_used_s = place.answered_s = self.clock.seconds()
        if doubt:
            self._tending.examine(place)
        self._put_away(place)
        if not place.leases and place.life.phase is not Phase.READY:
            self._post(place, Event.IDLE)
        elif self.held:
            # It may be let go now, or have room for one more.
            self._carry_on()
        self._tell_watchers()
        self._check_stopped()

    def tell(self, name: str, event: Event, reason: str = "") -> None:
        """
        The inbox: what happens to daemons is told here, from wherever it is noticed.
        """
        self._post(self.places[name], event, reason)

    def _post(self, place: Place, event: Event, reason: str = "") -> None:
        self._inbox.append((place, event, reason))
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
        if self._stopping is not None or not self.held:
            return
        now_s, fair_wait_s = self.clock.seconds(), self.config.fair_wait_s
        to_come = [
            at_s
            for place in self.places.values()
            for at_s in place.turning_points(fair_wait_s)
            if at_s > now_s
        ]
        if to_come:
            delay_s = max(min(to_come) - now_s, _ALARM_AT_LEAST_S)
            self._alarm = self.clock.callLater(delay_s, self._carry_on)

    def _plan(self) -> list[Move]:
        if self._stopping is not None or self._looking:
            return []
        now_s = self.clock.seconds()
        waiting = sorted(
            (number, place.spec.name)
            for place in self.places.values()
            if (number := place.number_in_line) is not None
            and not place.check_hangs(now_s)
        )
        return plan(
            self._standings(),
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
            move, place = planned, self.places[planned.name]
            if isinstance(move, Start) and not place.life.phase.resident:
                move = Check(move.name) if place.check_is_stale(now_s) else move
            checking = place.checking_since_s is not None
            if not (isinstance(move, Check) and (checking or claimed(place))):
                yield move

    def _standings(self) -> list[Standing]:
        now_s, fair_wait_s = self.clock.seconds(), self.config.fair_wait_s
        claimed = self._claims()
        return [
            place.standing(now_s, fair_wait_s, claimed=claimed(place))
            for place in self.places.values()
        ]

    def _carry_out(self, move: Move) -> None:
        place = self.places[move.name]
        match move:
            case Admit():
                place.line.let_in(partial(self._make_lease, place), place.room)
                place.unloaded = False
            case Check():
                self._begin_check(place)
            case Start():
                place.put_away = False
                cause = "asked for" if place.line.first else "preloaded"
                self._step(place, Event.WANTED, cause)
            case Evict(wanted_by=name):
                cause = f"{name} is waited for" if name else "over the budget"
                self._step(place, Event.EVICTED, cause)
                self._end_turn(place)

    def _end_turn(self, place: Place) -> None:
        """
        It has had its turn: whom it had no room for would take it again at once.
        """
        for ticket in place.line.tickets:
            ticket.number = next(self._numbers)
            if place.spec.max_active is not None:
                ticket.turn_s = self.clock.seconds()

    def _make_lease(self, place: Place, ticket: Ticket | None) -> Lease:
        assert place.client is not None
        lease = Lease(place.spec, place.client, partial(self._release, place))
        lease.since_s = self.clock.seconds()
        lease.owed = ticket is not None and ticket.owed
        place.leases.add(lease)
        return lease

    def _step(self, place: Place, event: Event, reason: str = "") -> None:
        before = place.life
        try:
            place.life, actions = step(before, event)
        except ImpossibleEvent:
            self._log.failure("{model}: a bug in swapgate", model=place.spec.name)
            return
        if place.life == before:
            return
        self._log.info(
            "{model}: {before} -> {after}",
            model=place.spec.name,
            before=before.phase.value,
            after=place.life.phase.value,
        )
        self._books.settle(place, before.phase, event, reason)
        for action in actions:
            self._tending.act(place, action)
        if place.life.phase is Phase.DRAINING and not place.leases:
            self._step(place, Event.IDLE)
        if place.retired and not place.life.phase.resident:
            self._succeed(place)
        self._check_stopped()

    def reconfigure(self, config: Config) -> None:
        """
        Live by another configuration. What it leaves as it was goes on untouched; what
        it changes or leaves out is drained first, and those who wait for it wait on,
        unless it can never be up any more.
        """
        self.config = config
        specs = {spec.name: spec for spec in config.models}
        for name, place in list(self.places.items()):
            spec = specs.pop(name, None)
            if spec == place.spec and not place.retired:
                continue
            place.retired = True
            place.successor = None if spec is None else self._place(spec)
            if not place.life.phase.resident:
                self._succeed(place)
            elif place.life.phase in {Phase.STARTING, Phase.READY}:
                self._post(place, Event.EVICTED, "its configuration changed")
        for name, spec in specs.items():
            self.places[name] = self._place(spec)
        for spec in config.models:
            if (sum_said := config.never_fits(spec.name)) is not None:
                self.places[spec.name].line.refuse(partial(TooLarge, sum_said))
        self._plan_and_tell()

    def _succeed(self, place: Place) -> None:
        """
        Put in a retired model's place what the configuration has there now.
        """
        name = place.spec.name
        if place.successor is None:
            del self.places[name]
            place.line.refuse(partial(UnknownModel, name))
        else:
            self.places[name] = place.successor
            place.successor.line.tickets = place.line.tickets

    def stop(self) -> Deferred[None]:
        """
        Refuse whoever waits, let answers end, stop our children; all in good time.

        Daemons that are not ours stay as they are.
        """
        if self._upkeep.running:
            self._upkeep.stop()
        self._stopping = Stopping(self)
        self._set_alarm()
        # A check before the looks that it waits for, or it would go on.
        for look in reversed(list(self._looks)):
            look.cancel()
        return self._stopping.begin()

    def _check_stopped(self) -> None:
        if self._stopping is not None:
            self._stopping.check()
