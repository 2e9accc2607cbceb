"""
Wait queue: the requests that wait for one model, in order of arrival.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import inf

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from swapgate.fleet.lease import Lease, QueuedRequest
from swapgate.fleet.timeline import WaitSpans


@define(eq=False)
class WaitQueue:
    """
    The requests of one model. One that is taken out is told how long it waited.
    """

    _clock: IReactorTime
    entries: dict[QueuedRequest, None] = field(factory=dict)
    spans: WaitSpans = field(factory=WaitSpans)
    # The last load, if any; inf is not yet.
    _load_began_s: float = 0.0
    _load_ended_s: float = -inf

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def first(self) -> QueuedRequest | None:
        """
        The one that has wanted the model for the longest.
        """
        return next((entry for entry in self.entries if entry.wants), None)

    def before(self, entry: QueuedRequest) -> int:
        """
        How many came before this one.
        """
        return next((n for n, each in enumerate(self.entries) if each is entry), 0)

    def put(self, entry: QueuedRequest) -> None:
        """
        It waits from now on.
        """
        self.entries[entry] = None
        self.spans.begin(entry.asked_s)

    def load_begins(self) -> None:
        self._load_began_s, self._load_ended_s = self._clock.seconds(), inf

    def load_ends(self) -> float:
        """
        How long it took.
        """
        self._load_ended_s = self._clock.seconds()
        return self._load_ended_s - self._load_began_s

    @property
    def loading_s(self) -> float | None:
        """
        For how long it has been loading; None: it is not.
        """
        if self._load_ended_s < inf:
            return None
        return self._clock.seconds() - self._load_began_s

    def take_out(self, entry: QueuedRequest) -> None:
        """
        Its wait is over, however it ended.
        """
        waited = entry in self.entries
        self.entries.pop(entry, None)
        if entry.patience is not None and entry.patience.active():
            entry.patience.cancel()
        now_s = self._clock.seconds()
        began_s = max(self._load_began_s, entry.asked_s)
        entry.load_s = max(0.0, min(now_s, self._load_ended_s) - began_s)
        entry.queue_s = now_s - entry.asked_s - entry.load_s
        if waited:
            waited_s = now_s - entry.asked_s
            self.spans.end(now_s, waited_s, left=bool(self.entries))

    def let_in(
        self, make_lease: Callable[[QueuedRequest], Lease], room: int | None
    ) -> None:
        """
        Admit the first ones: give them leases.

        :param room: to so many of them; None: to all.
        """
        for entry in islice(self._take(list(self.entries)), room):
            entry.lease.callback(make_lease(entry))

    def let_in_these(
        self,
        entries: Sequence[QueuedRequest],
        make_lease: Callable[[QueuedRequest], Lease],
    ) -> None:
        """
        Admit these, wherever they stand.
        """
        for entry in self._take(entries):
            entry.lease.callback(make_lease(entry))

    def refuse(self, error: Callable[[], Exception]) -> None:
        """
        Fail all of them.
        """
        for entry in self._take(list(self.entries)):
            entry.lease.errback(error())

    def _take(self, entries: Sequence[QueuedRequest]) -> Iterator[QueuedRequest]:
        # One by one: a request that is answered may make others leave.
        for entry in entries:
            if entry in self.entries:
                self.take_out(entry)
                yield entry
