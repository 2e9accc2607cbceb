"""
Who has just hung up on a load, and shall not start it again by a second request?

A chat client whose user presses Stop asks at once for a title of the chat.
"""

from collections.abc import Callable, Hashable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from swapgate.phases import Phase
from swapgate.place import Place
from swapgate.tickets import NotLoaded, Ticket

_SO_LONG_S = 1.0
_PATIENCE_S = 5.0


@define
class HangUps:
    """
    The streams that were given up within the last second, while their model was not up.

    :param turned_away: is called when a second request has been.
    """

    _clock: IReactorTime
    _turned_away: Callable[[], None]
    _given_up: dict[tuple[str, Hashable], float] = field(factory=dict, init=False)

    def note(self, ticket: Ticket, place: Place) -> None:
        """
        This one has hung up.
        """
        if (
            not ticket.streams
            or ticket.client is None
            or place.life.phase is Phase.READY
        ):
            return
        now_s = self._clock.seconds()
        for key, at_s in list(self._given_up.items()):
            if now_s - at_s > _SO_LONG_S:
                del self._given_up[key]
        self._given_up[ticket.model, ticket.client] = now_s

    def look_at(self, ticket: Ticket, place: Place) -> None:
        """
        This one comes: shall its model be loaded for it?
        """
        at_s = self._given_up.get((ticket.model, ticket.client))
        if ticket.streams or at_s is None or place.life.phase is Phase.READY:
            return
        if self._clock.seconds() - at_s <= _SO_LONG_S:
            ticket.wants = False
            ticket.patience = self._clock.callLater(
                _PATIENCE_S, self._turn_away, ticket, place
            )

    def _turn_away(self, ticket: Ticket, place: Place) -> None:
        place.line.take_out(ticket)
        ticket.lease.errback(NotLoaded(ticket.model))
        self._turned_away()
