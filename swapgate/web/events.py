"""
How is somebody kept told of the gateway's state? By a stream of snapshots.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from swapgate import sse
from swapgate.fleet import Fleet
from swapgate.web.request import GatewayRequest
from swapgate.wire import flush

# Changes that come closer together make one snapshot.
_INTERVAL_S = 0.05
_HEARTBEAT_S = 15.0


@implementer(IPushProducer)
class EventStream:
    """
    One listener: a snapshot at once, and one after each change that it has room for.
    """

    def __init__(
        self,
        request: GatewayRequest,
        snapshot: Callable[[], bytes],
        fleet: Fleet,
        clock: IReactorTime,
    ) -> None:
        self._request = request
        self._snapshot = snapshot
        self._fleet = fleet
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._paused = self._stale = False

    async def run(self) -> None:
        """
        Go on until the listener leaves.
        """
        self._request.setHeader(b"Content-Type", b"text/event-stream")
        self._request.setHeader(b"Cache-Control", b"no-cache")
        self._request.registerProducer(self, True)
        unwatch = self._fleet.watch(self._changed)
        heartbeat = LoopingCall(self._write, sse.comment("still here"))
        heartbeat.clock = self._clock
        heartbeat.start(_HEARTBEAT_S, now=False)
        self._send()
        try:
            # Nothing fires it: whoever leaves cancels it.
            await Deferred()
        finally:
            unwatch()
            heartbeat.stop()
            if self._call is not None:
                self._call.cancel()

    def _changed(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(_INTERVAL_S, self._send)

    def _send(self) -> None:
        self._call = None
        self._stale = self._paused
        if not self._paused:
            self._write(b"event: state\ndata: " + self._snapshot() + b"\n\n")

    def _write(self, data: bytes) -> None:
        if not self._paused:
            self._request.write(data)
            flush(self._request.channel.transport)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._stale:
            self._send()

    def stopProducing(self) -> None:
        self._paused = True
