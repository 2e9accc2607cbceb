"""
Keepalive: a held stream's client is told of its wait, in the stream itself.

The first notice sends the status, 200; from then on an error can only be an event, and
how long the wait was, which headers tell else, only a last comment.
"""

import time
from collections.abc import Callable
from itertools import count
from math import inf

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from swapgate.api import sse
from swapgate.api.surfaces import Surface
from swapgate.config.model import ModelSpec
from swapgate.server.request import GatewayRequest

# The paths whose clients show reasoning_content.
_CHATS = ("/v1/chat/completions", "/chat/completions")
_NOTICE_INTERVAL_S = 1.0
_chunk_ids = count(1)


@define(eq=False)
class WaitNotifier:
    """
    Writes how the wait stands every `keepalive` seconds, from `start()` to `stop()`.
    """

    _request: GatewayRequest
    _spec: ModelSpec
    _path: str
    _surface: Surface
    _describe_wait: Callable[[], str]
    _clock: IReactorTime
    _call: IDelayedCall | None = None
    _chunk_id: str = field(factory=lambda: f"chatcmpl-swapgate-{next(_chunk_ids)}")
    _last_notice_s: float = -inf

    def start(self) -> None:
        if self._spec.keepalive_s > 0:
            self._call = self._clock.callLater(self._spec.keepalive_s, self._notify)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def served(self, *, queue_s: float, load_s: float) -> None:
        """
        Tell a client whose headers are gone what it has waited for.
        """
        if self._request.startedWriting and not self._surface.translates:
            text = f"waited {queue_s:.3f} s, loaded {load_s:.3f} s"
            self._request.write(self._surface.wait(text))

    def _notify(self) -> None:
        request = self._request
        if not request.startedWriting:
            request.setResponseCode(200)
            request.setHeader(b"Content-Type", self._surface.stream_type)
            request.setHeader(b"Cache-Control", b"no-cache")
            request.promised_by = self._surface
        request.write(self._message())
        self.start()

    def _message(self) -> bytes:
        now_s, text = self._clock.seconds(), self._describe_wait()
        as_reasoning = (
            (
                self._spec.notice == "reasoning"
                or (self._spec.notice == "extensions" and _is_extension(self._request))
            )
            and self._path in _CHATS
            and not self._surface.translates
        )
        if as_reasoning and now_s - self._last_notice_s >= _NOTICE_INTERVAL_S:
            first, self._last_notice_s = self._last_notice_s == -inf, now_s
            return sse.reasoning_chunk(
                f"{text}\n",
                ident=self._chunk_id,
                model=self._spec.name,
                created=int(time.time()),
                first=first,
            )
        return self._surface.wait(text)


def _is_extension(request: GatewayRequest) -> bool:
    """
    Whether a browser's extension has sent this: only what no page has sent is of no
    site, and no tab opens a stream by POST (Fetch Metadata, 2.2 and 2.4).
    """
    fields = request.head.fields
    return fields.get(b"sec-fetch-site") == [b"none"] and fields.get(
        b"sec-fetch-dest"
    ) == [b"empty"]
