"""
What is written down when a daemon comes to another phase?
"""

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from swapgate.loads import LoadTimes
from swapgate.phases import Event, Phase
from swapgate.place import Place
from swapgate.swaps import Swaps

_ENDS = (Event.DIED, Event.EXITED)


@define
class Books:
    """
    Swaps, load times, failures and crashes; what a phase leaves behind is cleared away.

    :param tell: the fleet's inbox.
    """

    clock: IReactorTime
    swaps: Swaps
    load_times: LoadTimes
    tell: Callable[[Place, Event], None]
    _log = Logger()

    def settle(self, place: Place, before: Phase, event: Event, reason: str) -> None:
        """
        It has left `before` for its present phase by this event, for this reason.
        """
        now_s, name, after = self.clock.seconds(), place.spec.name, place.life.phase
        place.since_s = now_s
        failed = place.life.failing or after is Phase.FAILED
        self.swaps.note(name, before, after, reason, now_s, failed=failed)
        self._note_load(place, before)
        match after:
            case Phase.READY if before is Phase.DRAINING:
                place.stop_timer()
            case Phase.READY:
                place.began_to_serve(now_s)
            case Phase.DRAINING if place.spec.drain_timeout_s is not None:
                # One that was found before it was healthy still has load_timeout's.
                place.stop_timer()
                place.timer = self.clock.callLater(
                    place.spec.drain_timeout_s, self.tell, place, Event.IDLE
                )
            case Phase.STOPPING if event is Event.IDLE and not place.doubtful:
                # It was well until we ended it: it does not crash at every load.
                place.early_crashes = 0
        if before is Phase.STARTING and failed:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            place.load_failed(now_s, reason)
        if before in {Phase.READY, Phase.DRAINING} and event in _ENDS:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            place.crashed(now_s, reason)
        if not after.resident:
            place.bury()

    def _note_load(self, place: Place, before: Phase) -> None:
        if place.life.phase is Phase.STARTING:
            place.line.load_begins()
        elif before is Phase.STARTING:
            took_s = place.line.load_ends()
            if place.life.phase is Phase.READY:
                self.load_times.note(place.spec.name, took_s)
