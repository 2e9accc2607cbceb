"""
Limit on log lines about refusals: so many a second, and one line that sums up the rest.
"""

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_LINES, _SECOND_S = 10, 1.0


class LogLimit:
    """
    Counts refusals in spells of a second, each of which begins with one.
    """

    def __init__(self, clock: IReactorTime, say: Callable[[str], None]) -> None:
        """
        :param say: is told, at the end of a spell, how many had no line of their own.
        """
        self._clock, self._say = clock, say
        self._began_s = -_SECOND_S
        self._lines = 0
        self._rest: Counter[int] = Counter()
        self._call: IDelayedCall | None = None

    def admits(self, status: int) -> bool:
        """
        Whether a refusal with this status gets its own line.
        """
        now_s = self._clock.seconds()
        if now_s - self._began_s >= _SECOND_S:
            self.sum_up()
            self._began_s, self._lines = now_s, 0
        if self._lines < _LINES:
            self._lines += 1
            return True
        self._rest[status] += 1
        if self._call is None:
            left_s = self._began_s + _SECOND_S - now_s
            self._call = self._clock.callLater(left_s, self.sum_up)
        return False

    def sum_up(self) -> None:
        """
        End the spell.
        """
        if self._call is not None:
            call, self._call = self._call, None
            if call.active():
                call.cancel()
        if self._rest:
            rest, self._rest = self._rest, Counter()
            kinds = ", ".join(f"{count} of {status}" for status, count in rest.items())
            self._say(f"{rest.total()} more refusals within a second: {kinds}")
