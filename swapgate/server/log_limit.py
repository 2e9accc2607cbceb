"""
Log limit: ten lines a second about refused requests, and one that sums up the rest.
"""

from collections import Counter
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_LINES, _SECOND_S = 10, 1.0


class LogLimit:
    """
    Counts refused requests in windows of a second, each of which begins with one.
    """

    def __init__(self, clock: IReactorTime, write: Callable[[str], None]) -> None:
        """
        :param write: takes, at the end of a window, the line that sums up the rest.
        """
        self._clock, self._write = clock, write
        self._began_s = -_SECOND_S
        self._lines = 0
        self._rest: Counter[int] = Counter()
        self._call: IDelayedCall | None = None

    def admits(self, status: int) -> bool:
        """
        Whether a refused request with this status gets a line of its own.
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
        End the window.
        """
        if self._call is not None:
            call, self._call = self._call, None
            if call.active():
                call.cancel()
        if self._rest:
            rest, self._rest = self._rest, Counter()
            kinds = ", ".join(f"{count} of {status}" for status, count in rest.items())
            self._write(f"{rest.total()} more refusals within a second: {kinds}")
