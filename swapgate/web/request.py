"""
What is one request? What was read of it, and its body, which stays in memory.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from attrs import define
from twisted.python.failure import Failure
from twisted.web.http import NO_CONTENT
from twisted.web.server import Request

from swapgate.body import BadJSON, BodyReader, Wish
from swapgate.guard import Pass
from swapgate.web.account import Account

# Bodies are kept in pieces of about this size, however small they came.
_PIECE = 64 * 1024
# Chunks of one byte each are no reason to begin reading so often.
_READ_AT_LEAST = 4 * 1024
# A request's head, and the objects that are made of it, take no more.
_HEAD_COST = 16 * 1024


@define(eq=False)
class Memory:
    """
    What all requests take that are being read or waited for, in bytes.
    """

    taken: int = 0


class Body:
    """
    A request's body: its bytes as they came, read for its wish on the way.

    It counts in `memory` until it is dropped. That is done by hand, at the end of its
    request: in the many references between a request, its connection, its Deferreds and
    their failures it would stay until the garbage collector comes by.
    """

    def __init__(self, memory: Memory) -> None:
        self.length = 0
        self._memory = memory
        self._taken = 0
        self._dropped = False
        self._pieces: list[bytearray] = []
        self._reader = BodyReader()
        self._unread = bytearray()
        self._fault: BadJSON | None = None

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if self._dropped or self._fault is not None:
            return
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))
        self._unread += data
        if len(self._unread) >= _READ_AT_LEAST:
            self._read()
        self._take(self._cost)

    @property
    def _cost(self) -> int:
        kept = self.length if self._fault is None else 0
        return _HEAD_COST + kept + self._reader.key_memory

    def _take(self, cost: int) -> None:
        self._memory.taken += cost - self._taken
        self._taken = cost

    def drop(self) -> None:
        """
        Forget all of it: nobody will ask for it any more.
        """
        self._dropped = True
        self._pieces.clear()
        self._unread.clear()
        self._reader = BodyReader()
        self._take(0)

    def _read(self) -> None:
        unread, self._unread = self._unread, bytearray()
        try:
            self._reader.feed(bytes(unread))
        except BadJSON as fault:
            # Nobody will want these bytes.
            self._fault = fault
            self._pieces.clear()

    def wish(self) -> Wish:
        """
        What the whole body asks for.

        :raises BadJSON: for the first fault in it.
        """
        self._read()
        if self._fault is not None:
            raise self._fault
        wish = self._reader.close()
        self._take(self._cost)
        return wish

    def pieces(self) -> Sequence[bytearray]:
        return self._pieces


class GatewayRequest(Request):
    """
    A request whose body stays in memory, unparsed by Twisted.
    """

    # Twisted takes it away when the request is over.
    channel: Any
    # What the guard said; nobody is here whom it did not let in.
    passed = Pass()
    # An answer without a Content-Type stays without one.
    defaultContentType = None
    # A stream was begun while its model was waited for: its status is gone.
    promised = False
    # Whether its body is kept; what comes of another one is only counted.
    body_is_wanted = False
    _received = 0

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.body = Body(self.channel.site.memory)
        self.account = Account()

    def gotLength(self, length: int | None) -> None:
        # Twisted would write a large body to a file.
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self.body_is_wanted:
            self.body.add(data)
        self.channel.body_grew(self._received, len(data))

    def finish(self) -> None:
        super().finish()
        self.body.drop()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self.body.drop()

    def process(self) -> None:
        self.site = self.channel.site
        self.setHeader(b"Server", b"swapgate")
        self.setHeader(b"Date", self.channel.site.date())
        for name, value in self.passed.headers:
            self.setHeader(name, value)
        if self.passed.preflight:
            self.setResponseCode(NO_CONTENT)
            self.finish()
        else:
            self.site.resource.render(self)
