"""
Stall timer: reports a daemon that has sent nothing for too long.
"""

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define(eq=False)
class StallTimer:
    """
    Calls `on_stall` with the allowed seconds once a silence has lasted so long.

    A read only notes its time: moving a delayed call at each read would cost more.
    """

    _clock: IReactorTime
    _on_stall: Callable[[float], None]
    _allowed_s: float | None = None
    _last_read_s: float = 0.0
    _call: IDelayedCall | None = None

    def start(self, allowed_s: float | None) -> None:
        """
        Count from now on.

        :param allowed_s: how long a silence may last; None is for ever.
        """
        self.stop()
        self._allowed_s = allowed_s
        self.note_read()
        if allowed_s is not None:
            self._call = self._clock.callLater(allowed_s, self._check, allowed_s)

    def restart(self) -> None:
        """
        Count from now on, with the same allowance.
        """
        self.start(self._allowed_s)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def note_read(self) -> None:
        self._last_read_s = self._clock.seconds()

    def _check(self, allowed_s: float) -> None:
        left_s = self._last_read_s + allowed_s - self._clock.seconds()
        if left_s > 0:
            self._call = self._clock.callLater(left_s, self._check, allowed_s)
        else:
            self._on_stall(allowed_s)
