"""
How does the fleet end? Answers first, then our children, all within a bound.
"""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.phases import Event, Phase
from swapgate.place import Place
from swapgate.tickets import STOPPING, FleetStopping

if TYPE_CHECKING:
    from swapgate.fleet import Fleet

# Of shutdown_timeout, what may be spent on letting answers end.
_DRAIN_SHARE = 2 / 3
# And how long before its end what still runs is killed, as a share and at most.
_KILL_SHARE, _KILL_BEFORE_END_S = 1 / 6, 1.0


class Stopping:
    """
    The last seconds of a fleet. Daemons that are not ours stay as they are.
    """

    _log = Logger()

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet
        self._over: Deferred[None] = Deferred()
        self._end_s = fleet.clock.seconds() + fleet.config.shutdown_timeout_s
        self._calls: list[IDelayedCall] = []

    def begin(self) -> Deferred[None]:
        """
        Refuse whoever waits, and wait for the rest.
        """
        end_s = self._fleet.config.shutdown_timeout_s
        later = self._fleet.clock.callLater
        self._calls = [
            later(end_s * _DRAIN_SHARE, self._halt_all),
            later(end_s - min(end_s * _KILL_SHARE, _KILL_BEFORE_END_S), self._kill_all),
            later(end_s, self._stop_waiting),
        ]
        for place in self._fleet.places.values():
            place.line.refuse(FleetStopping)
            for lease in place.leases:
                # Whoever stops us may end our children at the same moment.
                lease.ended = STOPPING
        for place in self._children():
            if place.life.phase in {Phase.STARTING, Phase.READY}:
                self._fleet.tell(place.spec.name, Event.EVICTED, "the gateway stops")
        stopped = self._over.addBoth(lambda _: self._cancel())
        stopped.addCallback(lambda _: self._let_go())
        self.check()
        return stopped

    def _cancel(self) -> None:
        for call in self._calls:
            if call.active():
                call.cancel()

    def _let_go(self) -> Deferred[None]:
        """
        Leave the daemons that stay to themselves, all at once, in the time left.
        """
        clock = self._fleet.clock
        left_s = max(self._end_s - clock.seconds(), 0.0)
        lasting = [p for p in self._fleet.places.values() if p.daemon.lasting]
        for place in lasting:
            for told in place.take_unloads():
                told.errback(FleetStopping())
            place.bury()
        gone = [
            maybeDeferred(place.daemon.let_go)
            .addTimeout(left_s, clock)
            .addErrback(self._note, place)
            for place in lasting
        ]
        return gatherResults(gone).addCallback(lambda _: None)

    def _note(self, failure: Failure, place: Place) -> None:
        self._log.warn(
            "{model}: not let go in time: {why}",
            model=place.spec.name,
            why=failure.getErrorMessage(),
        )

    def _children(self) -> list[Place]:
        """
        The daemons that are up and end with us.
        """
        return [
            place
            for place in self._fleet.places.values()
            if place.life.phase.resident and not place.daemon.lasting
        ]

    def _halt_all(self) -> None:
        """
        Cut the answers that have not ended, of whatever daemon; ours end after them.
        """
        for place in self._fleet.places.values():
            for lease in list(place.leases):
                lease.end(STOPPING)
        for place in self._children():
            if place.life.phase is Phase.DRAINING:
                self._fleet.tell(place.spec.name, Event.IDLE)

    def _kill_all(self) -> None:
        for place in self._children():
            place.daemon.kill()

    def _stop_waiting(self) -> None:
        self._log.error("something is still under way after shutdown_timeout")
        self._over.callback(None)

    def check(self) -> None:
        """
        Is it over?
        """
        if self._over.called or self._children():
            return
        if not any(place.leases for place in self._fleet.places.values()):
            self._over.callback(None)
