"""
Who waits for one model, in which order, and how long did they wait for what?
"""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from swapgate.tickets import Lease, Ticket


@define(eq=False)
class Line:
    """
    The tickets of one model, in order of arrival. Whoever is taken out has waited.
    """

    _clock: IReactorTime
    tickets: dict[Ticket, None] = field(factory=dict)
    _load_began_s: float | None = None
    _load_ended_s: float | None = None

    def __len__(self) -> int:
        return len(self.tickets)

    @property
    def first(self) -> Ticket | None:
        """
        Whoever has wanted the model for the longest.
        """
        return next((ticket for ticket in self.tickets if ticket.wants), None)

    def before(self, ticket: Ticket) -> int:
        """
        How many came before this one.
        """
        return next((n for n, each in enumerate(self.tickets) if each is ticket), 0)

    def load_begins(self) -> None:
        self._load_began_s, self._load_ended_s = self._clock.seconds(), None

    def load_ends(self) -> float:
        """
        How long it took.
        """
        now_s = self._load_ended_s = self._clock.seconds()
        return now_s - (now_s if self._load_began_s is None else self._load_began_s)

    @property
    def loading_s(self) -> float | None:
        """
        For how long it has been loading; None: it is not.
        """
        if self._load_began_s is None or self._load_ended_s is not None:
            return None
        return self._clock.seconds() - self._load_began_s

    def take_out(self, ticket: Ticket) -> None:
        """
        Its wait is over, however it ended.
        """
        self.tickets.pop(ticket, None)
        if ticket.patience is not None and ticket.patience.active():
            ticket.patience.cancel()
        now_s = self._clock.seconds()
        if self._load_began_s is not None:
            ended_s = now_s if self._load_ended_s is None else self._load_ended_s
            began_s = max(self._load_began_s, ticket.asked_s)
            ticket.load_s = max(0.0, ended_s - began_s)
        ticket.queue_s = now_s - ticket.asked_s - ticket.load_s

    def let_in(self, make_lease: Callable[[Ticket], Lease], room: int | None) -> None:
        """
        Give leases to the first ones.

        :param room: to so many of them; None: to all.
        """
        let_in = 0
        # One by one: whoever is let in may have others leave.
        for ticket in list(self.tickets):
            if let_in == room:
                return
            if ticket in self.tickets:
                self.take_out(ticket)
                ticket.lease.callback(make_lease(ticket))
                let_in += 1

    def refuse(self, error: Callable[[], Exception]) -> None:
        """
        Fail all who wait.
        """
        for ticket in list(self.tickets):
            if ticket in self.tickets:
                self.take_out(ticket)
                ticket.lease.errback(error())
