"""
Response head: a daemon's status line and headers, checked strictly. Pure.

Against response smuggling (RFC 9112, 11.1 and 11.2): a daemon is not trusted, for it
runs a model from the internet. Lines end in CR LF; there is one Content-Length, or
`Transfer-Encoding: chunked`, or neither.
"""

import re
from typing import Final

_LONGEST: Final = 64 * 1024
_HEADERS: Final = 100
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BEGIN: Final = b"HTTP/1."
_HEAD: Final = re.compile(
    rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CONNECTION: Final = re.compile(rb"\r\nconnection:([^\r]*)")


class BadUpstreamResponse(Exception):
    """
    A daemon sent what is no HTTP response: the message says why.
    """


def read_head(data: bytes) -> tuple[int, int] | None:
    """
    The status and the length of the head with which `data` begins.

    None means that it has not ended yet, and may still be one.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        if not data.startswith(_BEGIN[: len(data)]):
            raise BadUpstreamResponse("it is not HTTP")
        if _BARE_LF.search(data):
            raise BadUpstreamResponse("a line of its head does not end in CR LF")
        if len(data) > _LONGEST:
            raise BadUpstreamResponse(f"its head is longer than {_LONGEST} bytes")
        return None
    if end > _LONGEST:
        raise BadUpstreamResponse(f"its head is longer than {_LONGEST} bytes")
    found = _HEAD.match(data)
    if found is None or found.end() != end:
        raise BadUpstreamResponse("its head is not HTTP")
    _check(found[2].lower().split(b"\r\n")[:-1])
    return int(found[1]), end


def keeps_open(head: bytes) -> bool:
    """
    Whether its connection takes another request after this answer (RFC 9112, 9.3).
    """
    named = b",".join(_CONNECTION.findall(head.lower())).split(b",")
    tokens = {token.strip() for token in named}
    if b"close" in tokens:
        return False
    return not head.startswith(b"HTTP/1.0") or b"keep-alive" in tokens


def _check(headers: list[bytes]) -> None:
    if len(headers) > _HEADERS:
        raise BadUpstreamResponse(f"it has more than {_HEADERS} headers")
    lengths, codings = (
        [header[len(name) :].strip() for header in headers if header.startswith(name)]
        for name in (b"content-length:", b"transfer-encoding:")
    )
    if len(lengths) + len(codings) > 1:
        raise BadUpstreamResponse("it says twice how long it is")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise BadUpstreamResponse(
            "its Content-Length is not a number that can be meant"
        )
    if codings and codings[0] != b"chunked":
        raise BadUpstreamResponse("its Transfer-Encoding is not chunked")
