"""
Request parser: one connection's bytes to heads, pieces of bodies, and ends. Pure.

llhttp, the parser of Node and uvicorn, splits them, strictly: lines end in CR LF and
are not folded (RFC 9112, 2.2 and 5.2), a header has no space before its colon (5.1), a
body has one length, or chunks (6.3 and 7.1). A head that two servers would read
differently hides one request in another (11.2), so this is refused besides:

1. Versions but 1.1 and 1.0; Transfer-Encoding in 1.0 (6.1).
2. Any other transfer coding before `chunked` (6.1).
3. HTTP/1.1 without Host (3.2); a second one of what may come once.
4. A head, a chunk's first line or trailers longer than any client needs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, field
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from swapgate.errors import APIError

# The limits of llama-server as well, from cpp-httplib.
TARGET_LENGTH: Final = 8192
HEADERS: Final = 100
#: How long the request line and all headers may be together.
HEAD_LENGTH: Final = 16 * 1024

# The headers that frame the request, name its host and describe its body: of two, one
# server takes the first and another the last.
_ONCE: Final = (b"transfer-encoding", b"host", b"content-type", b"content-encoding")
_VERSIONS: Final = {"1.1": b"HTTP/1.1", "1.0": b"HTTP/1.0"}
_LARGE_HEAD: Final = 431, "headers_too_large"
_BAD_VERSION: Final = (
    505,
    "version_not_supported",
    "only HTTP/1.1 and HTTP/1.0 are spoken here",
)
_BAD_REQUEST_LINE: Final = "its first line must be METHOD /path HTTP/1.1"
_BAD_HEADER: Final = (
    "a header must be Name: value on one line that ends in CR LF, without control "
    "characters, nor a space before the colon"
)
_BAD_LENGTH: Final = (
    "a body needs one Content-Length, which is a number, or Transfer-Encoding: "
    "chunked, not both"
)
_BAD_CHUNK: Final = (
    "a chunk must be its size in hexadecimal digits, CR LF, its bytes and CR LF"
)


# The values of headers by name, in lower case.
Fields = Mapping[bytes, Sequence[bytes]]


def _by_name(headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return fields


@define
class RequestHead:
    """
    A request's head, accepted as HTTP.

    :param headers: as they were sent, but for Content-Length.
    :param length: of the body that follows; None where it comes in chunks.
    :param persistent: whether another request may follow on this connection.
    :param fields: the same object as that of the head before on its connection, where
        all but the length is the same.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: Sequence[tuple[bytes, bytes]]
    length: int | None = 0
    persistent: bool = True
    fields: Fields = field(
        default=Factory(lambda head: _by_name(head.headers), takes_self=True)
    )

    def first(self, name: bytes) -> bytes | None:
        """
        A header's value, the first one where there are several; `name` in lower case.
        """
        values = self.fields.get(name)
        return values[0] if values else None


# None is a request's end. A fault is the last event of a connection.
Event = RequestHead | bytes | APIError | None


class RequestParser:
    """
    The parser of one connection. Its public methods but `feed` are llhttp's to call.

    :ivar begun: whether a request's first byte has come, and not yet its end.
    """

    def __init__(self) -> None:
        self._llhttp = HttpRequestParser(self)
        self._events: list[Event] = []
        # A fault, or a request after which the connection closes, has come.
        self._over = False
        # What the head before this one said.
        self._said: tuple[Any, ...] = ()
        self._fields: Fields = {}
        # llhttp is told of a head that we know already.
        self._resuming = False
        # How many bytes have come since the last event.
        self._unfinished = 0
        self.on_message_begin()
        self.begun = False

    def feed(self, data: bytes) -> list[Event]:
        """
        What these bytes complete, in their order.
        """
        self._events = []
        while data and not self._over:
            self._unfinished += len(data)
            data = self._feed(data)
        return self._events

    def method_and_target(self) -> tuple[bytes, bytes]:
        """
        What is known of a request whose head is not complete, for the log.
        """
        if not self._target:
            return b"-", b"-"
        return self._llhttp.get_method(), self._target

    def _feed(self, data: bytes) -> bytes:
        """
        Feed llhttp; what it has not read is returned.
        """
        try:
            self._llhttp.feed_data(data)
            if self._unfinished > HEAD_LENGTH and self.begun:
                raise self._too_long()
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            return data[upgrade.args[0] :]
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, APIError):
                raise
            self._add(cause)
        except HttpParserError as error:
            self._add(self._fault(error))
        except APIError as error:
            self._add(error)
        return b""

    def _ignore_upgrade(self) -> None:
        """
        Go on in HTTP/1.1 (RFC 9110, 7.8): llhttp awaits another protocol after the
        head, and a body would be read as the next request.
        """
        head = self._head
        assert head is not None
        self._llhttp = HttpRequestParser(self)
        if head.length == 0:
            return
        framing = b"Transfer-Encoding: chunked"
        if head.length is not None:
            framing = b"Content-Length: %d" % head.length
        self._resuming = True
        self._llhttp.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._resuming = False

    def _add(self, event: Event) -> None:
        self._unfinished = 0
        # What comes after the last request is not read.
        if not self._over:
            self._events.append(event)
        self._over |= isinstance(event, APIError)

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        self.begun = True
        self._unfinished = self._size = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._lengths: list[bytes] = []
        self._head: RequestHead | None = None

    def on_url(self, part: bytes) -> None:
        if self._resuming:
            return
        self._target += part
        if len(self._target) > TARGET_LENGTH:
            what = f"the path and query have {TARGET_LENGTH} characters at most"
            raise _error(414, "target_too_long", what)

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        Also of a trailer, which is read and dropped.
        """
        self._size += len(name) + len(value) + 4
        if name.lower() == b"content-length":
            self._lengths.append(value)
        else:
            # Blanks at its end are not of it (RFC 9112, 5.1), but llhttp leaves them.
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        if len(self._headers) + len(self._lengths) > HEADERS:
            raise _error(*_LARGE_HEAD, f"there may be {HEADERS} headers at most")
        if self._size + len(self._target) > HEAD_LENGTH:
            raise self._too_long()
        version = _VERSIONS.get(self._llhttp.get_http_version())
        if version is None:
            raise _error(*_BAD_VERSION)
        said = (self._llhttp.get_method(), self._target, version, self._headers)
        # Most requests of a connection differ in their bodies only.
        if said != self._said:
            fields = _by_name(self._headers)
            _check(version, fields)
            self._said, self._fields = said, fields
        keeps_alive = version == b"HTTP/1.1" and self._llhttp.should_keep_alive()
        self._head = RequestHead(*said, self._length(), keeps_alive, self._fields)
        # A trailer's are dropped.
        self._headers = []
        self._add(self._head)

    def _length(self) -> int | None:
        if len(self._lengths) > 1:
            raise _bad_request("there must be one Content-Length")
        if b"transfer-encoding" in self._fields:
            return None
        # Python reads no number of over 4,300 digits, and llhttp any number of zeros.
        return int(b"".join(self._lengths).strip(b" \t").lstrip(b"0") or b"0")

    def on_chunk_header(self) -> None:
        self._unfinished = 0

    def on_body(self, data: bytes) -> None:
        self._add(data)

    def on_message_complete(self) -> None:
        assert self._head is not None
        if self._llhttp.should_upgrade() and self._head.length != 0:
            # Of the head only.
            return
        self._add(None)
        self.begun = False
        self._target = b""
        if not self._llhttp.should_keep_alive():
            # A trailer may have said so.
            self._head.persistent = False
        self._over |= not self._head.persistent

    def _too_long(self) -> APIError:
        if self._head is not None:
            return _bad_request(_BAD_CHUNK)
        what = f"all the headers have {HEAD_LENGTH} bytes at most"
        return _error(*_LARGE_HEAD, what)

    def _fault(self, error: HttpParserError) -> APIError:
        """
        The error response to what llhttp has refused.
        """
        why = str(error)
        if why == "Content-Length overflow":
            what = "no body is as large as its Content-Length says"
            return _error(413, "request_too_large", what)
        if why in {"Invalid HTTP version", "Pause on PRI/Upgrade"}:
            return _error(*_BAD_VERSION)
        if self._head is not None and not why.startswith("Request has"):
            return _bad_request(_BAD_CHUNK)
        if "Content-Length" in why or "Transfer-Encoding" in why:
            return _bad_request(_BAD_LENGTH)
        request_line = (HttpParserInvalidMethodError, HttpParserInvalidURLError)
        if isinstance(error, request_line) or "HTTP/" in why or "version" in why:
            return _bad_request(_BAD_REQUEST_LINE)
        return _bad_request(_BAD_HEADER)


def _check(version: bytes, fields: Fields) -> None:
    """
    Refuse what two servers would read differently.
    """
    for name in _ONCE:
        if len(fields.get(name, ())) > 1:
            raise _bad_request(f"there must be one {name.decode().title()}")
    if version == b"HTTP/1.1" and b"host" not in fields:
        raise _bad_request("it has no Host")
    for coding in fields.get(b"transfer-encoding", ()):
        if coding.lower() != b"chunked":
            raise _bad_request("its Transfer-Encoding may be nothing but chunked")
        if version == b"HTTP/1.0":
            raise _bad_request("HTTP/1.0 has no Transfer-Encoding")


def _error(status: int, code: str, message: str) -> APIError:
    return APIError(status=status, code=code, message=message)


def _bad_request(what: str) -> APIError:
    return _error(400, "bad_request", f"this request is not accepted: {what}")
