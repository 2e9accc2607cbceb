"""
Response parser: a daemon's HTTP/1.1 responses, one after another, checked strictly.

llhttp reads them. A daemon is not trusted, for it runs a model from the internet: what
llhttp lets through, and another client would read differently, is refused here.

1. A status line is HTTP/1's, its status one that can be meant (RFC 9112, 4).
2. There is one Content-Length, or `Transfer-Encoding: chunked`, or neither (6.3).
3. What is no content ends: heads, interim responses, chunk extensions, trailers.
"""

import re
from typing import Final

from httptools import HttpParserError, HttpResponseParser

_LONGEST: Final = 64 * 1024
_HEADERS: Final = 100
# An engine sends none, or a few; an endless series would keep us busy.
_INTERIM_RESPONSES: Final = 16
# What says how long a body is.
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}[\t ]*")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?\r\n"
)


class BadUpstreamResponse(Exception):
    """
    A daemon sent what is no HTTP response: the message says why.
    """


class ResponseParser:
    """
    Reads the responses of one connection. llhttp calls what begins with `on_`.

    :ivar status: of the final response; 0 until all of its head is here.
    :ivar headers: names in lower case, in the order in which they came.
    :ivar length: of the body, if the head says so.
    :ivar pieces: of the body, since they were taken last.
    :ivar is_complete: whether the response has ended.
    :ivar ends_by_close: whether only the connection's end can end it.
    :ivar keeps_open: whether another request may follow on this connection (9.3).
    """

    def __init__(self) -> None:
        self._llhttp = HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """
        The next response is that of another request.
        """
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.pieces: list[bytes] = []
        self.is_complete = self.ends_by_close = self.keeps_open = False
        # A head, as far as it has arrived.
        self._head = b""
        self._interim = 0
        # How much was read since there was content in it.
        self._idle_length = 0

    def feed(self, data: bytes) -> None:
        """
        Read what has arrived.

        :raises BadUpstreamResponse: and what was read before it stands.
        """
        if not self.status:
            data = self._read_heads(self._head + data)
        if data:
            pieces = len(self.pieces)
            self._run(data)
            self._idle_length += len(data)
            if len(self.pieces) > pieces or self.is_complete:
                self._idle_length = 0
            elif self._idle_length > _LONGEST:
                raise BadUpstreamResponse("its chunks have endless heads or trailers")

    def _run(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except HttpParserError as error:
            if not self.is_complete:
                raise BadUpstreamResponse(f"it is not HTTP: {error}") from None
            # It said more than the response.
            self.keeps_open = False

    def _read_heads(self, data: bytes) -> bytes:
        """
        Read the head, and interim ones before it; what follows is left.
        """
        while not self.status:
            end = data.find(b"\r\n\r\n")
            head = data if end < 0 else data[: end + 4]
            if len(head) > _LONGEST:
                raise BadUpstreamResponse(f"its head is longer than {_LONGEST} bytes")
            if end < 0:
                self._check_unfinished(data)
                self._head = data
                return b""
            self._read_head(head)
            data = data[end + 4 :]
        self._head = b""
        return data

    def _check_unfinished(self, data: bytes) -> None:
        """
        Refuse at once what can never become a head.
        """
        if not data.startswith(b"HTTP/1."[: len(data)]):
            raise BadUpstreamResponse("it is not HTTP")
        if _BARE_LF.search(data):
            raise BadUpstreamResponse("a line of its head does not end in CR LF")

    def _read_head(self, head: bytes) -> None:
        line = _STATUS_LINE.match(head)
        if line is None:
            raise BadUpstreamResponse("its status line is not HTTP")
        status = int(line[1])
        if status == 101:
            raise BadUpstreamResponse("it switches to another protocol")
        self._run(head)
        if status < 200:
            self._interim += 1
            if self._interim > _INTERIM_RESPONSES:
                raise BadUpstreamResponse(
                    f"it sent {self._interim} heads, and no answer"
                )
            self.headers, self.is_complete = [], False
            # It would read no more after one that is to be the last.
            self._llhttp = HttpResponseParser(self)
        else:
            self._check_framing()
            self.status = status

    def _check_framing(self) -> None:
        if len(self.headers) > _HEADERS:
            raise BadUpstreamResponse(f"it has more than {_HEADERS} headers")
        said = [(n, value.lower()) for n, value in self.headers if n in _FRAMING]
        match said:
            case []:
                self.ends_by_close = not self.is_complete
            case [(b"content-length", length)] if _LENGTH.fullmatch(length):
                self.length = int(length)
            # With a blank after it, llhttp would read to the connection's end.
            case [(b"transfer-encoding", b"chunked")]:
                pass
            case _:
                raise BadUpstreamResponse("it does not say plainly how long it is")

    def on_message_begin(self) -> None:
        if self.is_complete:
            raise HttpParserError("more than the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are read and dropped.
        if not self.status:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.keeps_open = self._llhttp.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.is_complete = True
        # A trailer may say that it is the last.
        self.keeps_open &= self._llhttp.should_keep_alive()
