"""
Log streams: what a model's daemon writes, as it comes, for `/swapgate/models/NAME/log`.

1. The lines that are kept come at once; then those that come, a few together: at the
   same moments for all clients, so that one event is made for those that keep up.
2. A client that reads slowly gets what is kept still when it reads again, and how many
   lines it has missed. One that reads nothing is closed by its send_timeout.
3. Their number is bounded. A stream ends when its model's daemon is another one, as
   after a reload.
"""

import time

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from swapgate.api import sse
from swapgate.api.events import HEARTBEAT_S, Subscriber
from swapgate.errors import APIError, busy
from swapgate.fleet.log_reader import LogReader
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest

MAX_STREAMS = 64
# Lines that come closer together are sent together.
_INTERVAL_S = 0.1


@define
class LogStreams:
    """
    All that are open.
    """

    _scheduler: Scheduler
    _clock: IReactorTime
    _open: set[Subscriber] = field(factory=set, init=False)
    # What was sent last, and the event that it made.
    _news: object = field(default=None, init=False)
    _made: bytes = field(default=b"", init=False)

    async def serve(self, request: GatewayRequest, name: str) -> None:
        """
        Send what the daemon of this model writes, until its client leaves.
        """
        reader = LogReader.of(self._scheduler.states[name])
        if reader is None:
            raise APIError(
                status=404,
                code="no_log",
                message=f"swapgate does not start the daemon of {name} itself, so "
                "what it writes goes elsewhere; look where its manager keeps its log",
            )
        if len(self._open) >= MAX_STREAMS:
            raise busy(
                "too_many_listeners",
                f"{MAX_STREAMS} clients read logs already, the most that may; "
                "close some",
            )
        ended: Deferred[None] = Deferred()
        subscriber = Subscriber(request, lambda: self._event(reader))
        call: IDelayedCall | None = None

        def send() -> None:
            nonlocal call
            call = None
            subscriber.update()

        def written() -> None:
            nonlocal call
            if call is None:
                past_s = self._clock.seconds() % _INTERVAL_S
                call = self._clock.callLater(_INTERVAL_S - past_s, send)

        def look() -> None:
            if not (ended.called or reader.is_of(self._scheduler.states.get(name))):
                ended.callback(None)

        heartbeat = LoopingCall(subscriber.write, sse.comment("still here"))
        heartbeat.clock = self._clock
        ends = [reader.watch(written), self._scheduler.watch(look)]
        self._open.add(subscriber)
        try:
            heartbeat.start(HEARTBEAT_S, now=False)
            subscriber.start()
            # A client that leaves cancels it.
            await ended
            request.unregisterProducer()
            request.finish()
        finally:
            self._open.discard(subscriber)
            heartbeat.stop()
            for end in ends:
                end()
            if call is not None:
                call.cancel()

    def _event(self, reader: LogReader) -> bytes:
        """
        What is new to this reader.
        """
        news = missed, lines = reader.news()
        if news == self._news:
            return self._made
        offset_s = time.time() - self._clock.seconds()
        shown = [
            {
                "number": line.number,
                "at": round(line.at_s + offset_s, 3),
                "text": line.text,
            }
            for line in lines
        ]
        self._news = news
        self._made = sse.event({"lines": shown, "missed": missed}, "log")
        return self._made
