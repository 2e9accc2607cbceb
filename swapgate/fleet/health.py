"""
Health poll: the LoopingCall that asks a loading daemon's /health.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

# One probe may take so long; a daemon that is busy loading answers slowly.
PROBE_TIMEOUT_S = 2.0
# The first polls come so close together, later ones a share of the time so far, so that
# a load of any length is noticed within a few hundredths of it.
_TICK_S = 0.02
_SHARE = 1 / 20


def probe(
    asking: Coroutine[Deferred[Any], Any, bool], clock: IReactorTime
) -> Deferred[bool]:
    """
    Ask once; no answer within `PROBE_TIMEOUT_S`, or any failure to get one, is False.
    """
    asked = Deferred.fromCoroutine(asking).addTimeout(PROBE_TIMEOUT_S, clock)
    return asked.addErrback(lambda _: False)


@define
class HealthPoll:
    """
    Polls until the daemon is healthy, then calls `healthy` once and is over.

    Polls never overlap and come at most `interval_s` apart.
    """

    _ask: Callable[[], Coroutine[Deferred[Any], Any, bool]]
    _interval_s: float
    _clock: IReactorTime
    _healthy: Callable[[], None]
    _started_s: float = field(default=0.0, init=False)
    _asked_s: float = field(default=0.0, init=False)
    _asked: Deferred[None] | None = field(default=None, init=False)
    _loop: LoopingCall = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._tick)
        self._loop.clock = self._clock

    def start(self) -> None:
        self._started_s = self._asked_s = self._clock.seconds()
        looping = self._loop.start(min(_TICK_S, self._interval_s))
        looping.addErrback(
            lambda failure: self._log.failure("the health poll broke", failure)
        )

    def stop(self) -> None:
        """
        End the poll; `healthy` is not called any more.
        """
        if self._loop.running:
            self._loop.stop()
        if self._asked is not None:
            self._asked.cancel()

    def _tick(self) -> Deferred[None] | None:
        now = self._clock.seconds()
        pause_s = min(self._interval_s, (now - self._started_s) * _SHARE)
        # Half a tick early beats half a tick late: the interval is a promise.
        if now - self._asked_s + _TICK_S / 2 < pause_s:
            return None
        self._asked_s = now
        self._asked = probe(self._ask(), self._clock).addCallback(self._note)
        return self._asked

    def _note(self, healthy: bool) -> None:
        if healthy and self._loop.running:
            self._loop.stop()
            self._healthy()
