"""
Who may use which daemon, when? The only place with effects on daemons.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from swapgate.config import Config, ModelSpec
from swapgate.daemons import Daemon
from swapgate.phases import Event, ImpossibleEvent, Phase, step
from swapgate.place import Lease, Place, Ticket, TooLarge, UnknownModel
from swapgate.plan import Admit, Evict, Move, Start, plan
from swapgate.tending import Tending
from swapgate.upstream import UpstreamClient

# How often we look after what happens unasked: idle models, daemons that others start.
_UPKEEP_S = 1.0
# Of shutdown_timeout, what may be spent on letting answers end.
_DRAIN_SHARE = 2 / 3
# And for how long before its end what still runs is killed.
_KILL_BEFORE_END_S = 1.0


class FleetStopping(Exception):
    """
    The gateway is stopping and lends no daemon any more.
    """


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
    ) -> None:
        """
        :param make_client: a client of the daemon's present life.
        """
        self._config = config
        self._make_daemon = make_daemon
        self._clock = clock
        self._tending = Tending(clock, make_client, self._post, self._carry_on)
        self._places = {spec.name: self._place(spec) for spec in config.models}
        self._tickets = 0
        self._inbox: deque[tuple[Place, Event, str]] = deque()
        self._carrying = False
        # Nothing is planned before what is up already is known.
        self._looking = False
        self._upkeep = LoopingCall(self._look_after)
        self._upkeep.clock = clock
        self._stopped: Deferred[None] | None = None

    def _place(self, spec: ModelSpec) -> Place:
        return Place(spec, self._make_daemon(spec))

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
        if self._stopped is None:
            self._upkeep.start(_UPKEEP_S).addErrback(
                lambda failure: self._log.failure("the upkeep broke", failure)
            )

    async def _find_daemons(self) -> None:
        for place in list(self._places.values()):
            await self._tending.find(place)
        self._looking = False
        self._carry_on()

    def _look_after(self) -> Deferred[None]:
        now_s = self._clock.seconds()
        for place in self._places.values():
            if place.is_idle(now_s):
                self._post(place, Event.EVICTED)
        return Deferred.fromCoroutine(self._find_daemons())

    def lease(self, name: str) -> Deferred[Lease]:
        """
        Wait until the model `name` may be used, then hold it until `release()`.

        Cancelling gives up the place in the queue. Fails with `LoadFailed`, `TooLarge`
        or `FleetStopping`.
        """
        place = self._places.get(name)
        if place is None or (place.retired and place.successor is None):
            # A reload has taken it away since the request was read.
            return fail(UnknownModel(name))
        waiting: Deferred[Lease] = Deferred(lambda _: self._give_up(ticket))
        ticket = Ticket(self._tickets, waiting)
        self._tickets += 1
        place.tickets[ticket] = None
        if self._stopped is not None:
            place.refuse(FleetStopping)
        elif (sum_said := self._config.never_fits(name)) is not None:
            place.refuse(lambda: TooLarge(sum_said))
        elif (now_s := self._clock.seconds()) < place.retry_at_s:
            place.refuse(lambda: place.failure(now_s))
        else:
            self._carry_on()
        return waiting

    def _give_up(self, ticket: Ticket) -> None:
        for place in self._places.values():
            place.tickets.pop(ticket, None)
        self._carry_on()

    def _release(self, place: Place, lease: Lease, doubt: bool) -> None:
        if lease not in place.leases:
            # Given back already, or of a life that has ended.
            return
        place.leases.remove(lease)
        place.last_used_s = self._clock.seconds()
        if doubt:
            self._tending.examine(place)
        if not place.leases and place.life.phase is not Phase.READY:
            self._post(place, Event.IDLE)
        self._check_stopped()

    def tell(self, name: str, event: Event, reason: str = "") -> None:
        """
        The inbox: what happens to daemons is told here, from wherever it is noticed.
        """
        self._post(self._places[name], event, reason)

    def _post(self, place: Place, event: Event, reason: str = "") -> None:
        self._inbox.append((place, event, reason))
        self._carry_on()

    def _carry_on(self) -> None:
        """
        Take one event, step, plan, carry out the moves; until nothing is left to do.
        """
        if self._carrying:
            return
        self._carrying = True
        try:
            busy = True
            while busy:
                if self._inbox:
                    self._step(*self._inbox.popleft())
                moves = self._plan()
                for move in moves:
                    self._carry_out(move)
                # Letting people in makes no other move possible.
                busy = bool(self._inbox) or any(
                    not isinstance(move, Admit) for move in moves
                )
        finally:
            self._carrying = False

    def _plan(self) -> list[Move]:
        if self._stopped is not None or self._looking:
            return []
        now_s = self._clock.seconds()
        waiting = sorted(
            (next(iter(place.tickets)).number, name)
            for name, place in self._places.items()
            if place.tickets
        )
        return plan(
            [place.standing(now_s) for place in self._places.values()],
            [name for _, name in waiting],
            self._config.budget_bytes,
        )

    def _carry_out(self, move: Move) -> None:
        place = self._places[move.name]
        match move:
            case Admit():
                self._admit(place)
            case Start():
                self._step(place, Event.WANTED)
            case Evict():
                self._step(place, Event.EVICTED)

    def _admit(self, place: Place) -> None:
        assert place.client is not None
        tickets, place.tickets = place.tickets, {}
        for ticket in tickets:
            lease = Lease(place.spec, place.client, partial(self._release, place))
            place.leases.add(lease)
            ticket.lease.callback(lease)

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
        self._settle(place, before.phase, reason)
        for action in actions:
            self._tending.act(place, action)
        if place.life.phase is Phase.DRAINING and not place.leases:
            self._step(place, Event.IDLE)
        if place.retired and not place.life.phase.resident:
            self._succeed(place)
        self._check_stopped()

    def _settle(self, place: Place, before: Phase, reason: str) -> None:
        """
        What leaving `before` for the present phase means for the books.
        """
        now_s = self._clock.seconds()
        match place.life.phase:
            case Phase.READY if before is Phase.DRAINING:
                place.stop_timer()
            case Phase.READY:
                place.began_to_serve(now_s)
            case Phase.DRAINING if place.spec.drain_timeout_s is not None:
                place.timer = self._clock.callLater(
                    place.spec.drain_timeout_s, self._post, place, Event.IDLE
                )
        failed = place.life.failing or place.life.phase is Phase.FAILED
        if before is Phase.STARTING and failed:
            self._log.warn("{model}: {reason}", model=place.spec.name, reason=reason)
            place.load_failed(now_s, reason)
        if before in {Phase.READY, Phase.DRAINING} and not place.life.phase.resident:
            self._log.warn("{model}: {reason}", model=place.spec.name, reason=reason)
            place.crashed(now_s, reason)
        if not place.life.phase.resident:
            place.bury()

    def reconfigure(self, config: Config) -> None:
        """
        Live by another configuration. What it leaves as it was goes on untouched; what
        it changes or leaves out is drained first, and those who wait for it wait on,
        unless it can never be up any more.
        """
        self._config = config
        specs = {spec.name: spec for spec in config.models}
        for name, place in list(self._places.items()):
            spec = specs.pop(name, None)
            if spec == place.spec and not place.retired:
                continue
            place.retired = True
            place.successor = None if spec is None else self._place(spec)
            if not place.life.phase.resident:
                self._succeed(place)
            elif place.life.phase in {Phase.STARTING, Phase.READY}:
                self._post(place, Event.EVICTED)
        for name, spec in specs.items():
            self._places[name] = self._place(spec)
        for spec in config.models:
            if (sum_said := config.never_fits(spec.name)) is not None:
                self._places[spec.name].refuse(partial(TooLarge, sum_said))
        self._carry_on()

    def _succeed(self, place: Place) -> None:
        """
        Put in a retired model's place what the configuration has there now.
        """
        tickets, place.tickets = place.tickets, {}
        name = place.spec.name
        if place.successor is None:
            del self._places[name]
            for ticket in tickets:
                ticket.lease.errback(UnknownModel(name))
        else:
            self._places[name] = place.successor
            place.successor.tickets = tickets

    def stop(self) -> Deferred[None]:
        """
        Refuse whoever waits, let answers end, stop our children; all in good time.

        Daemons that are not ours stay as they are.
        """
        self._stopped = Deferred()
        if self._upkeep.running:
            self._upkeep.stop()
        end_s = self._config.shutdown_timeout_s
        calls = [
            self._clock.callLater(end_s * _DRAIN_SHARE, self._halt_all),
            self._clock.callLater(max(end_s - _KILL_BEFORE_END_S, 0), self._kill_all),
            self._clock.callLater(end_s, self._stop_waiting),
        ]
        for place in self._places.values():
            place.refuse(FleetStopping)
        for place in self._children():
            if place.life.phase in {Phase.STARTING, Phase.READY}:
                self._post(place, Event.EVICTED)
        stopped = self._stopped.addBoth(lambda _: _cancel(calls))
        stopped.addCallback(lambda _: Deferred.fromCoroutine(self._let_go()))
        self._check_stopped()
        return stopped

    async def _let_go(self) -> None:
        """
        Leave the daemons that stay to themselves.
        """
        for place in self._places.values():
            if place.daemon.lasting:
                place.bury()
                await place.daemon.let_go()

    def _children(self) -> list[Place]:
        """
        The daemons that are up and end with us.
        """
        return [
            place
            for place in self._places.values()
            if place.life.phase.resident and not place.daemon.lasting
        ]

    def _halt_all(self) -> None:
        for place in self._children():
            if place.life.phase is Phase.DRAINING:
                self._post(place, Event.IDLE)

    def _kill_all(self) -> None:
        for place in self._children():
            place.daemon.kill()

    def _stop_waiting(self) -> None:
        assert self._stopped is not None
        self._log.error("something is still under way after shutdown_timeout")
        self._stopped.callback(None)

    def _check_stopped(self) -> None:
        if self._stopped is None or self._stopped.called:
            return
        if self._children() or any(place.leases for place in self._places.values()):
            return
        self._stopped.callback(None)


def _cancel(calls: list[Any]) -> None:
    for call in calls:
        if call.active():
            call.cancel()
