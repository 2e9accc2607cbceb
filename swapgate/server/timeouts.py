"""
How long may a client take?
"""

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from swapgate.config.limits import Limits


class Wait(Enum):
    """
    What a connection waits for its client to do.
    """

    REQUEST = "to begin a request"
    HEAD = "to end its head"
    BODY = "to end its body"
    TAKE = "to take what was written"


class Deadline:
    """
    The one deadline that a connection has at a time, or none.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: Callable[[], Limits],
        over: Callable[[Wait], None],
        unsent: Callable[[], int] = lambda: 0,
    ) -> None:
        """
        :param over: called when the client took too long.
        :param unsent: how much of what was written the client has not taken yet.
        """
        self._unsent = unsent
        self._clock, self._limits, self._over = clock, limits, over
        self._wait: Wait | None = None
        self._since_s = 0.0
        self._received = 0
        self._to_take = 0
        self._call: IDelayedCall | None = None

    def expect(self, wait: Wait | None) -> None:
        """
        Wait for this from now on. For what is waited for already, the time runs on.
        """
        if wait is self._wait:
            return
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._wait = wait
        if wait is not None:
            self._since_s = self._clock.seconds()
            self._received = 0
            self._to_take = self._unsent() if wait is Wait.TAKE else 0
            self._call = self._clock.callLater(self._allowed_s(wait), self._look)

    def received(self, size: int) -> None:
        """
        So many more bytes of a body have come.
        """
        self._received += size

    def _allowed_s(self, wait: Wait) -> float:
        limits = self._limits()
        if wait is Wait.BODY:
            return limits.body_allowed_s(self._received)
        if wait is Wait.HEAD:
            return limits.header_timeout_s
        if wait is Wait.TAKE:
            # Nothing is written meanwhile, or little.
            taken = max(0, self._to_take - self._unsent())
            return limits.send_timeout_s + taken / limits.body_rate
        return limits.keep_alive_timeout_s

    def _look(self) -> None:
        wait = self._wait
        assert wait is not None
        left_s = self._since_s + self._allowed_s(wait) - self._clock.seconds()
        # What came meanwhile may have bought time.
        if left_s > 0:
            self._call = self._clock.callLater(left_s, self._look)
        else:
            self._call = None
            self._over(wait)
