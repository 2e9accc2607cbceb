"""
Request head: checked line by line and strictly, before anything acts on it.

Against request smuggling: a head that two servers would read differently hides one
request in another (RFC 9112, 11.2).

1. Lines end in CR LF, without control characters (RFC 9112, 2.2).
2. No header is folded, none has a space before its colon (RFC 9112, 5).
3. Either one Content-Length or `Transfer-Encoding: chunked`, not both (RFC 9112, 6).
4. HTTP/1.1 needs a Host (RFC 9112, 3.2); what may come once comes once.
"""

import re
from collections.abc import Iterable
from typing import Final

from swapgate.errors import APIError

# The limits of llama-server as well, from cpp-httplib.
TARGET_LENGTH: Final = 8192
HEADERS: Final = 100
#: How long the request line and all headers may be together.
HEAD_LENGTH: Final = 16 * 1024

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(_TOKEN + rb" ([!-~\x80-\xff]+) HTTP/([0-9]\.[0-9])")
# Tabs and obs-text (RFC 9110, 5.5) are harmless.
_HEADER: Final = re.compile(b"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_LENGTH_DIGITS: Final = 15
# The headers that frame the request, name its host and describe its body: of two, one
# server takes the first and another the last.
_ONCE: Final = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"host",
        b"content-type",
        b"content-encoding",
    }
)


def bad_request(what: str) -> APIError:
    return APIError(
        status=400,
        code="bad_request",
        message=f"this request is not accepted: {what}",
    )


def headers_too_large(what: str) -> APIError:
    return APIError(status=431, code="headers_too_large", message=what)


def target_too_long() -> APIError:
    return APIError(
        status=414,
        code="target_too_long",
        message=f"the path and query have {TARGET_LENGTH} characters at most",
    )


def check_unfinished_line(data: bytes) -> None:
    """
    Refuse a line that ends in LF alone: its client has sent all, and waits for us.
    """
    if b"\n" in data:
        raise _no_header()


class HeadChecker:
    """
    Checks one request's head as its lines arrive: a bad one raises its APIError.
    """

    def __init__(self) -> None:
        self._version = b""
        self._length = 0
        self._headers = 0
        # Those of _ONCE that have come.
        self._seen: set[bytes] = set()

    @property
    def begun(self) -> bool:
        return self._length > 0

    def add_line(self, line: bytes) -> None:
        """
        The next line, without its end; the empty one ends the head.
        """
        self._length += len(line) + 2
        if not self._version:
            self._request_line(line)
        elif line:
            self._header(line)
        else:
            self._end()
        if self._length > HEAD_LENGTH:
            raise headers_too_large(f"all the headers have {HEAD_LENGTH} bytes at most")

    def _request_line(self, line: bytes) -> None:
        found = _REQUEST_LINE.fullmatch(line)
        if found is None:
            raise bad_request("its first line must be METHOD /path HTTP/1.1")
        if len(found[1]) > TARGET_LENGTH:
            raise target_too_long()
        self._version = found[2]
        if self._version not in {b"1.1", b"1.0"}:
            raise APIError(
                status=505,
                code="version_not_supported",
                message="only HTTP/1.1 and HTTP/1.0 are spoken here",
            )

    def _header(self, line: bytes) -> None:
        self._headers += 1
        if self._headers > HEADERS:
            raise headers_too_large(f"there may be {HEADERS} headers at most")
        found = _HEADER.fullmatch(line)
        if found is None:
            raise _no_header()
        name, value = found[1].lower(), found[2]
        if name in _ONCE:
            shown = name.decode().title()
            if name in self._seen:
                raise bad_request(f"there must be one {shown}")
            self._seen.add(name)
        if name == b"content-length":
            _check_length(value)
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise bad_request("its Transfer-Encoding may be nothing but chunked")

    def _end(self) -> None:
        if b"transfer-encoding" in self._seen:
            if b"content-length" in self._seen:
                raise bad_request(
                    "its body is given a Content-Length and a Transfer-Encoding"
                )
            if self._version == b"1.0":
                raise bad_request("HTTP/1.0 has no Transfer-Encoding")
        if b"host" not in self._seen and self._version == b"1.1":
            raise bad_request("it has no Host")


def _no_header() -> APIError:
    return bad_request(
        "a header must be Name: value on one line that ends in CR LF, without "
        "control characters, nor a space before the colon"
    )


def check_trailers(lines: Iterable[bytes]) -> None:
    """
    Check the trailers of a chunked body as strictly as headers (RFC 9112, 7.1.2).
    """
    if not all(map(_HEADER.fullmatch, lines)):
        raise _no_header()


def _check_length(value: bytes) -> None:
    # bytes.isdigit, unlike that of str, knows ASCII only.
    if not value.isdigit():
        raise bad_request("its Content-Length is not a number")
    if len(value) > _LENGTH_DIGITS:
        raise APIError(
            status=413,
            code="request_too_large",
            message="no body is as large as its Content-Length says",
        )


def says_close(values: Iterable[bytes]) -> bool:
    """
    Whether these Connection headers ask to close; `close, TE` does (RFC 9110, 7.6.1).
    """
    return any(
        token.strip(b" \t").lower() == b"close"
        for value in values
        for token in value.split(b",")
    )
