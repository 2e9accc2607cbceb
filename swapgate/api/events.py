"""
Events: broadcasts snapshots of the state to all subscribers of `/swapgate/events`.

1. Changes that come close together make one snapshot, which every subscriber gets.
   While answers are given, their tokens a second come besides, every second.
2. Backpressure: a subscriber that reads slowly gets only the latest snapshot when it
   reads again; one that reads nothing is closed by its connection's send_timeout.
3. Their number is bounded, for each costs a write at every change.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from swapgate.api import sse
from swapgate.errors import busy
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest

MAX_SUBSCRIBERS = 256
# Changes that come closer together make one snapshot.
_INTERVAL_S = 0.05
HEARTBEAT_S = 15.0
_TICK_S = 1.0


class StateBroadcast:
    """
    All subscribers, and the snapshot that they share.
    """

    def __init__(
        self,
        snapshot: Callable[[], bytes],
        rates: Callable[[], bytes],
        scheduler: Scheduler,
        clock: IReactorTime,
    ) -> None:
        self._snapshot, self._rates = snapshot, rates
        self._scheduler = scheduler
        self._clock = clock
        self._subscribers: set[Subscriber] = set()
        self._unwatch: Callable[[], None] | None = None
        self._call: IDelayedCall | None = None
        self._answered = False
        self._heartbeat = LoopingCall(self._write_all, sse.comment("still here"))
        self._heartbeat.clock = clock
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = clock

    async def serve(self, request: GatewayRequest) -> None:
        """
        Add a subscriber, until its client leaves.
        """
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise busy(
                "too_many_listeners",
                f"{MAX_SUBSCRIBERS} clients listen already, the most that may; "
                "close some, or poll /swapgate/state",
            )
        subscriber = Subscriber(request, self.event)
        self._subscribers.add(subscriber)
        if self._unwatch is None:
            self._unwatch = self._scheduler.watch(self._changed)
            self._heartbeat.start(HEARTBEAT_S, now=False)
            self._ticks.start(_TICK_S, now=False)
        try:
            subscriber.start()
            # Never fires: a client that leaves cancels it.
            await Deferred()
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                self._stop()

    def event(self) -> bytes:
        """
        A snapshot of now, as an event.
        """
        return b"event: state\ndata: " + self._snapshot() + b"\n\n"

    def _changed(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(_INTERVAL_S, self._send)

    def _send(self) -> None:
        self._call = None
        event = self.event()
        for subscriber in list(self._subscribers):
            subscriber.update(event)

    def _tick(self) -> None:
        answers = self._scheduler.answering
        # Once more after the last answer: then they are 0.
        if answers or self._answered:
            self._write_all(b"event: tokens\ndata: " + self._rates() + b"\n\n")
        self._answered = answers

    def _write_all(self, data: bytes) -> None:
        for subscriber in list(self._subscribers):
            subscriber.write(data)

    def _stop(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
            self._heartbeat.stop()
            self._ticks.stop()
        if self._call is not None:
            self._call.cancel()
            self._call = None


@implementer(IPushProducer)
class Subscriber:
    """
    One client: a snapshot at once, and one after each change, as fast as it reads.
    """

    def __init__(self, request: GatewayRequest, event: Callable[[], bytes]) -> None:
        """
        :param event: makes a snapshot of now, after changes that were not sent.
        """
        self._request = request
        self._event = event
        self._paused = self._stale = False

    def start(self) -> None:
        self._request.setHeader(b"Content-Type", b"text/event-stream")
        self._request.setHeader(b"Cache-Control", b"no-cache")
        self._request.registerProducer(self, True)
        self.update()

    def update(self, event: bytes | None = None) -> None:
        """
        :param event: the one for all; None: its own.
        """
        self._stale = self._paused
        if not self._paused:
            self.write(self._event() if event is None else event)

    def write(self, data: bytes) -> None:
        if not self._paused:
            self._request.write(data)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._stale:
            self.update()

    def stopProducing(self) -> None:
        self._paused = True
