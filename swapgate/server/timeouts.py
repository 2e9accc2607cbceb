"""
Client timeouts: the one deadline that a connection has at a time.

A body, and an answer that is being taken, buy time with each byte: what counts is the
rate. Any other byte buys none, or one byte a minute would hold a connection for ever.
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
        :param over: called when the deadline has passed.
        :param unsent: how many written bytes the client has not taken yet.
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
        Wait for this from now on. If it is waited for already, its time runs on.
        """
        if wait is self._wait:
            return
        self._wait = wait
        if wait is not None:
            self._since_s = self._clock.seconds()
            self._received = 0
            self._to_take = self._unsent() if wait is Wait.TAKE else 0
            self._check_in(self._allowed_s(wait))

    def _check_in(self, seconds: float) -> None:
        """
        Check then, or when it was to be checked anyway: a call for each request would
        cost more.
        """
        if self._call is not None:
            if self._call.getTime() <= self._clock.seconds() + seconds:
                return
            self._call.cancel()
        self._call = self._clock.callLater(seconds, self._check)

    def stop(self) -> None:
        """
        Nothing is waited for any more.
        """
        self._wait = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def received(self, size: int) -> None:
        """
        Count bytes of a body that have arrived.
        """
        self._received += size

    def _allowed_s(self, wait: Wait) -> float:
        limits = self._limits()
        if wait is Wait.BODY:
            return limits.body_allowed_s(self._received)
        if wait is Wait.HEAD:
            return limits.header_timeout_s
        if wait is Wait.TAKE:
            # Little or nothing is written meanwhile.
            taken = max(0, self._to_take - self._unsent())
            return limits.send_timeout_s + taken / limits.body_rate
        return limits.keep_alive_timeout_s

    def _check(self) -> None:
        self._call = None
        wait = self._wait
        if wait is None:
            return
        left_s = self._since_s + self._allowed_s(wait) - self._clock.seconds()
        # It began later than this call, or bytes since then have bought time.
        if left_s > 0:
            self._check_in(left_s)
        else:
            self._over(wait)
