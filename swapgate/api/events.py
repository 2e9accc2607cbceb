"""
Stream of state snapshots: one snapshot for all listeners of `/swapgate/events`.

1. Changes that come close together make one snapshot, which every listener gets.
2. A listener that has no room gets the latest one when it has; one that takes nothing
   is closed by its connection's send_timeout.
3. There is a bound on them, for each costs a write at every change.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from swapgate.api import sse
from swapgate.errors import APIError
from swapgate.fleet.scheduler import Scheduler
from swapgate.net import flush
from swapgate.server.request import GatewayRequest

LISTENERS = 256
# Changes that come closer together make one snapshot.
_INTERVAL_S = 0.05
_HEARTBEAT_S = 15.0
_RETRY_AFTER_S = 5


class Events:
    """
    All listeners, and the one snapshot that they get.
    """

    def __init__(
        self, snapshot: Callable[[], bytes], scheduler: Scheduler, clock: IReactorTime
    ) -> None:
        self._snapshot = snapshot
        self._scheduler = scheduler
        self._clock = clock
        self._listeners: set[Listener] = set()
        self._unwatch: Callable[[], None] | None = None
        self._call: IDelayedCall | None = None
        self._heartbeat = LoopingCall(self._tell, sse.comment("still here"))
        self._heartbeat.clock = clock

    async def serve(self, request: GatewayRequest) -> None:
        """
        Tell one more listener, until it leaves.
        """
        if len(self._listeners) >= LISTENERS:
            raise APIError(
                status=503,
                code="too_many_listeners",
                message=f"{LISTENERS} listen already, as many as may; close some, or "
                "ask for /swapgate/state now and then",
                retry_after_s=_RETRY_AFTER_S,
            )
        listener = Listener(request, self.event)
        self._listeners.add(listener)
        if self._unwatch is None:
            self._unwatch = self._scheduler.watch(self._changed)
            self._heartbeat.start(_HEARTBEAT_S, now=False)
        try:
            listener.start()
            # Nothing fires it: a client that goes cancels it.
            await Deferred()
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._stop()

    def event(self) -> bytes:
        """
        How it all stands now.
        """
        return b"event: state\ndata: " + self._snapshot() + b"\n\n"

    def _changed(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(_INTERVAL_S, self._send)

    def _send(self) -> None:
        self._call = None
        event = self.event()
        for listener in list(self._listeners):
            listener.update(event)

    def _tell(self, comment: bytes) -> None:
        for listener in list(self._listeners):
            listener.write(comment)

    def _stop(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
            self._heartbeat.stop()
        if self._call is not None:
            self._call.cancel()
            self._call = None


@implementer(IPushProducer)
class Listener:
    """
    One listener: a snapshot at once, and one after each change that it has room for.
    """

    def __init__(self, request: GatewayRequest, event: Callable[[], bytes]) -> None:
        """
        :param event: the snapshot of now, for one that has missed some.
        """
        self._request = request
        self._event = event
        self._paused = self._stale = False

    def start(self) -> None:
        self._request.setHeader(b"Content-Type", b"text/event-stream")
        self._request.setHeader(b"Cache-Control", b"no-cache")
        self._request.registerProducer(self, True)
        self.update(self._event())

    def update(self, event: bytes) -> None:
        self._stale = self._paused
        self.write(event)

    def write(self, data: bytes) -> None:
        if not self._paused:
            self._request.write(data)
            flush(self._request.channel.transport)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._stale:
            self.update(self._event())

    def stopProducing(self) -> None:
        self._paused = True
