"""
Follow-ups: the small request that a chat client sends when its stream has ended.

Page Assist asks for a title of the chat. Where another model's turn has come, the title
would wait for a swap there and one back; so a model stays for a moment after a stream,
and answers one small request of the same client before it goes.

1. One request for each stream; it is no stream itself, so none follows it.
2. What does not come at once comes too late.
"""

from collections.abc import Hashable, Iterable
from math import inf

from attrs import define, field

from swapgate.fleet.lease import QueuedRequest

# Page Assist's comes within some 80 ms.
_COMES_WITHIN_S = 0.3


@define
class FollowUps:
    """
    The clients whose streams of one model have just ended, and how long each has yet.
    """

    _expected: list[tuple[Hashable, float]] = field(factory=list)

    @property
    def until_s(self) -> float:
        """
        Until when one may come; -inf: none is expected.
        """
        return max((until_s for _, until_s in self._expected), default=-inf)

    def expect(self, client: Hashable, now_s: float) -> None:
        """
        A stream of this client has ended.
        """
        self._forget_late(now_s)
        self._expected.append((client, now_s + _COMES_WITHIN_S))

    def among(
        self, entries: Iterable[QueuedRequest], now_s: float
    ) -> list[QueuedRequest]:
        """
        Those of these requests that may be admitted, whosever turn it is.
        """
        self._forget_late(now_s)
        left = [client for client, _ in self._expected]
        found = []
        for entry in entries if left else ():
            if entry.small and entry.client in left:
                left.remove(entry.client)
                found.append(entry)
        return found

    def admitted(self, entry: QueuedRequest) -> None:
        """
        This request is served now: its client has one less to send.
        """
        for expected in self._expected if entry.small else ():
            if expected[0] == entry.client:
                self._expected.remove(expected)
                return

    def clear(self) -> None:
        self._expected.clear()

    def _forget_late(self, now_s: float) -> None:
        self._expected = [each for each in self._expected if now_s < each[1]]
