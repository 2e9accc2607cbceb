"""
What is one request? What was read of it, and its body, which stays in memory.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from twisted.web.http import NO_CONTENT
from twisted.web.server import Request

from swapgate.body import BadJSON, BodyReader, Wish
from swapgate.guard import Pass
from swapgate.web.account import Account

# Bodies are kept in pieces of about this size, however small they came.
_PIECE = 64 * 1024
# Chunks of one byte each are no reason to begin reading so often.
_READ_AT_LEAST = 4 * 1024


class Body:
    """
    A request's body: its bytes as they came, read for its wish on the way.
    """

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[bytearray] = []
        self._reader = BodyReader()
        self._unread = bytearray()
        self._fault: BadJSON | None = None

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if self._fault is not None:
            return
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))
        self._unread += data
        if len(self._unread) >= _READ_AT_LEAST:
            self._read()

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
        return self._reader.close()

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

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.body = Body()
        self.account = Account()

    def gotLength(self, length: int | None) -> None:
        # Twisted would write a large body to a file.
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self.body.add(data)
        self.channel.body_grew(self.body.length, len(data))

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
