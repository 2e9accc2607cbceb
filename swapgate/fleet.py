"""
Who may use which daemon, when? The only place with effects on daemons.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from swapgate.config import Config
from swapgate.daemons import Daemon
from swapgate.health import HealthPoll, probe
from swapgate.phases import Action, Event, ImpossibleEvent, Phase, step
from swapgate.place import Lease, Place, Ticket
from swapgate.plan import Admit, Evict, Move, Start, plan
from swapgate.upstream import UpstreamClient

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
        daemons: Mapping[str, Daemon],
        clock: IReactorTime,
        make_client: Callable[[Daemon], UpstreamClient],
    ) -> None:
        """
        :param daemons: by model name.
        :param make_client: a client of the daemon's present life.
        """
        self._config = config
        self._clock = clock
        self._make_client = make_client
        self._places = {
            spec.name: Place(spec, daemons[spec.name]) for spec in config.models
        }
        self._tickets = 0
        self._inbox: deque[tuple[Place, Event, str]] = deque()
        self._carrying = False
        self._stopped: Deferred[None] | None = None

    def lease(self, name: str) -> Deferred[Lease]:
        """
        Wait until the model `name` may be used, then hold it until `release()`.

        Cancelling gives up the place in the queue. Fails with `LoadFailed` or
        `FleetStopping`.
        """
        place = self._places[name]
        waiting: Deferred[Lease] = Deferred(lambda _: self._give_up(place, ticket))
        ticket = Ticket(self._tickets, waiting)
        self._tickets += 1
        place.tickets[ticket] = None
        if self._stopped is not None:
            place.refuse(FleetStopping)
        elif (now_s := self._clock.seconds()) < place.retry_at_s:
            place.refuse(lambda: place.failure(now_s))
        else:
            self._carry_on()
        return waiting

    def _give_up(self, place: Place, ticket: Ticket) -> None:
        place.tickets.pop(ticket, None)
        self._carry_on()

    def _release(self, lease: Lease, doubt: bool) -> None:
        place = self._places[lease.spec.name]
        if lease not in place.leases:
            # Given back already, or of a life that has ended.
            return
        place.leases.remove(lease)
        place.last_used_s = self._clock.seconds()
        if doubt:
            self._examine(place)
        if not place.leases:
            self.tell(place.spec.name, Event.IDLE)

    def tell(self, name: str, event: Event, reason: str = "") -> None:
        """
        The inbox: what happens to daemons is told here, from wherever it is noticed.
        """
        self._inbox.append((self._places[name], event, reason))
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
                busy = bool(moves or self._inbox)
        finally:
            self._carrying = False

    def _plan(self) -> list[Move]:
        if self._stopped is not None:
            return []
        waiting = sorted(
            (next(iter(place.tickets)).number, name)
            for name, place in self._places.items()
            if place.tickets
        )
        return plan(
            [place.standing() for place in self._places.values()],
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
            lease = Lease(place.spec, place.client, self._release)
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
            self._act(place, action)
        if place.life.phase is Phase.DRAINING and not place.leases:
            self._step(place, Event.IDLE)
        self._check_stopped()

    def _settle(self, place: Place, before: Phase, reason: str) -> None:
        """
        What leaving `before` for the present phase means for the books.
        """
        now_s = self._clock.seconds()
        match place.life.phase:
            case Phase.READY if before is Phase.STARTING:
                place.began_to_serve(now_s)
            case Phase.READY:
                place.stop_timer()
            case Phase.DRAINING if place.spec.drain_timeout_s is not None:
                place.timer = self._clock.callLater(
                    place.spec.drain_timeout_s, self.tell, place.spec.name, Event.IDLE
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

    def _act(self, place: Place, action: Action) -> None:
        name = place.spec.name
        match action:
            case Action.LAUNCH:
                place.daemon.launch(lambda why: self.tell(name, Event.EXITED, why))
                place.client = self._make_client(place.daemon)
            case Action.POLL:
                timeout_s = place.spec.load_timeout_s
                place.timer = self._clock.callLater(
                    timeout_s,
                    self.tell,
                    name,
                    Event.TIMED_OUT,
                    f"it was not healthy within {timeout_s:g} s",
                )
                place.poll = HealthPoll(
                    lambda: self._is_healthy(place),
                    place.spec.health_interval_s,
                    self._clock,
                    lambda: self._healthy(place),
                )
                place.poll.start()
            case Action.UNPOLL:
                assert place.poll is not None
                place.stop_timer()
                place.poll.stop()
            case Action.HALT:
                place.stop_timer()
                place.daemon.halt()

    @staticmethod
    async def _is_healthy(place: Place) -> bool:
        if not place.daemon.running or place.client is None:
            return False
        return await place.client.get_status("/health") == 200

    def _healthy(self, place: Place) -> None:
        impostor = place.daemon.impostor()
        if impostor is None:
            self.tell(place.spec.name, Event.HEALTHY)
        else:
            self.tell(place.spec.name, Event.TIMED_OUT, impostor)

    def _examine(self, place: Place) -> None:
        """
        A daemon that failed a request is asked nothing more until it shows its health.
        """
        if place.doubtful or place.client is None:
            return
        place.doubtful = True
        place.client.drop_idle()
        place.examination = Deferred.fromCoroutine(self._look_at(place))
        place.examination.addErrback(lambda failure: failure.trap(CancelledError))

    async def _look_at(self, place: Place) -> None:
        if await probe(lambda: self._is_healthy(place), self._clock):
            place.doubtful = False
            self._carry_on()
        elif place.daemon.running:
            self.tell(place.spec.name, Event.EVICTED)
        # Else its end is on the way to us.

    def stop(self) -> Deferred[None]:
        """
        Refuse whoever waits, let answers end, stop the daemons; all in good time.
        """
        self._stopped = Deferred()
        end_s = self._config.shutdown_timeout_s
        calls = [
            self._clock.callLater(end_s * _DRAIN_SHARE, self._halt_all),
            self._clock.callLater(max(end_s - _KILL_BEFORE_END_S, 0), self._kill_all),
            self._clock.callLater(end_s, self._stop_waiting),
        ]
        for place in self._places.values():
            place.refuse(FleetStopping)
            if place.life.phase in {Phase.STARTING, Phase.READY}:
                self.tell(place.spec.name, Event.EVICTED)
        stopped = self._stopped
        self._check_stopped()
        return stopped.addBoth(lambda _: _cancel(calls))

    def _halt_all(self) -> None:
        for name, place in self._places.items():
            if place.life.phase is Phase.DRAINING:
                self.tell(name, Event.IDLE)

    def _kill_all(self) -> None:
        for place in self._places.values():
            if place.life.phase.resident:
                place.daemon.kill()

    def _stop_waiting(self) -> None:
        assert self._stopped is not None
        self._log.error("some daemons are still there after shutdown_timeout")
        self._stopped.callback(None)

    def _check_stopped(self) -> None:
        if (
            self._stopped is not None
            and not self._stopped.called
            and not any(p.life.phase.resident for p in self._places.values())
        ):
            self._stopped.callback(None)


def _cancel(calls: list[Any]) -> None:
    for call in calls:
        if call.active():
            call.cancel()
