"""
What does a client hear while it is held? Its wait, told in the stream it asked for.
"""

import time
from collections.abc import Callable
from itertools import count
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from swapgate.api import sse
from swapgate.config.model import ModelSpec
from swapgate.net import flush
from swapgate.server.request import GatewayRequest

# The paths whose clients know reasoning_content.
_CHATS = ("/v1/chat/completions", "/chat/completions")
_NOTICE_INTERVAL_S = 1.0
_idents = count(1)


class WaitNotifier:
    """
    Tells it every `keepalive` seconds, from `start()` to `stop()`.
    """

    def __init__(
        self,
        request: GatewayRequest,
        spec: ModelSpec,
        path: str,
        say: Callable[[], str],
        clock: IReactorTime,
    ) -> None:
        """
        :param say: what there is to be told now.
        """
        self._request = request
        self._spec = spec
        self._notices = spec.notice == "reasoning" and path in _CHATS
        self._say = say
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._ident = f"chatcmpl-swapgate-{next(_idents)}"
        self._noticed_s = -inf

    def start(self) -> None:
        if self._spec.keepalive_s > 0:
            self._call = self._clock.callLater(self._spec.keepalive_s, self._tell)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _tell(self) -> None:
        request = self._request
        if not request.startedWriting:
            request.setResponseCode(200)
            request.setHeader(b"Content-Type", b"text/event-stream")
            request.setHeader(b"Cache-Control", b"no-cache")
            request.stream_begun = True
        request.write(self._words())
        flush(request.channel.transport)
        self.start()

    def _words(self) -> bytes:
        now_s, text = self._clock.seconds(), self._say()
        if self._notices and now_s - self._noticed_s >= _NOTICE_INTERVAL_S:
            first, self._noticed_s = self._noticed_s == -inf, now_s
            return sse.reasoning_chunk(
                f"{text}\n",
                ident=self._ident,
                model=self._spec.name,
                created=int(time.time()),
                first=first,
            )
        return sse.comment(f"swapgate: {text}")
