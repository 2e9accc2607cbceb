"""
Abandoned loads: one that a client has just given up is not begun again for it.

A chat client whose user presses Stop asks at once for a title of the chat.
"""

from collections.abc import Callable, Hashable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from swapgate.fleet.lease import NotLoaded, QueuedRequest
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.model_state import ModelState

_SO_LONG_S = 1.0
_PATIENCE_S = 5.0


@define
class AbandonedLoads:
    """
    The streams that were given up within the last second, while their model was not up.

    :param turned_away: is called when a second request has been.
    """

    _clock: IReactorTime
    _turned_away: Callable[[], None]
    _given_up: dict[tuple[str, Hashable], float] = field(factory=dict, init=False)

    def note(self, entry: QueuedRequest, state: ModelState) -> None:
        """
        The client of this request has hung up.
        """
        if not entry.streams or entry.client is None or state.life.phase is Phase.READY:
            return
        now_s = self._clock.seconds()
        for key, at_s in list(self._given_up.items()):
            if now_s - at_s > _SO_LONG_S:
                del self._given_up[key]
        self._given_up[entry.model, entry.client] = now_s

    def look_at(self, entry: QueuedRequest, state: ModelState) -> None:
        """
        Decide whether this new request has its model loaded.
        """
        at_s = self._given_up.get((entry.model, entry.client))
        if entry.streams or at_s is None or state.life.phase is Phase.READY:
            return
        if self._clock.seconds() - at_s <= _SO_LONG_S:
            entry.wants = False
            entry.patience = self._clock.callLater(
                _PATIENCE_S, self._turn_away, entry, state
            )

    def _turn_away(self, entry: QueuedRequest, state: ModelState) -> None:
        state.queue.take_out(entry)
        entry.lease.errback(NotLoaded(entry.model))
        self._turned_away()
