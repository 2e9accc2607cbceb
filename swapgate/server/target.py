"""
Request target: path and query, checked and in the path's normal form. Pure.

A path that servers might normalise differently is refused, or one of them could take
a forbidden path for another one (RFC 3986, 6.2).
"""

import re
from functools import lru_cache
from typing import Final
from unicodedata import category
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

from swapgate.config.url_paths import normal
from swapgate.errors import APIError


@frozen
class Target:
    """
    `path` to decide by, in its normal form, and `raw`, the same with the query, for the
    daemon: it gets what was decided by.
    """

    path: str
    raw: bytes


# Visible ASCII but `#`: a fragment is never sent.
_TARGET: Final = re.compile(rb"[!-\"$-~]+")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MODEL: Final = re.compile(rb"(?:/v1){0,2}/models/([^?]+)(?:\?.*)?")
# What needs no escape in a path (RFC 3986, 3.3).
_PLAIN: Final = "/!$&'()*+,;=:@"


@lru_cache(64)
def read_target(raw: bytes) -> Target:
    """
    Parse a request's target in the one way in which all servers do.

    :raises APIError: where they might differ; no API needs such a path.
    """
    if not raw.startswith(b"/"):
        raise _bad_target("it must begin with /, as in /v1/chat/completions")
    if not _TARGET.fullmatch(raw):
        raise _bad_target("it may hold visible ASCII only, without #; escape the rest")
    escaped = raw.partition(b"?")[0]
    if _BROKEN_ESCAPE.search(escaped):
        raise _bad_target("two hexadecimal digits must follow each % in its path")
    try:
        path = unquote_to_bytes(escaped).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_target("the escapes in its path must be UTF-8") from None
    if any(category(character) == "Cc" for character in path):
        raise _bad_target("its path must not hold control characters")
    if "\\" in path or "%" in path or path.count("/") != escaped.count(b"/"):
        raise _bad_target("its path must not hold \\, nor / or % in escaped form")
    _, *segments = path.removesuffix("/").split("/")
    if "" in segments:
        raise _bad_target("there must be no // in its path; send a single /")
    if "." in segments or ".." in segments:
        raise _bad_target("there must be no . or .. in its path; send what is meant")
    path = normal("/" + "/".join(segments))
    return Target(path, quote(path, safe=_PLAIN).encode() + raw[len(escaped) :])


def read_model_id(raw: bytes) -> str | None:
    """
    ID in /v1/models/ID or /models/ID, decoded; None for any other target.

    It is looked up and goes nowhere else, so that it may hold what a path may not: a
    slash, escaped or not, and whatever else stands in a model's name.
    """
    found = _MODEL.fullmatch(raw)
    if not found or not _TARGET.fullmatch(raw) or _BROKEN_ESCAPE.search(found[1]):
        return None
    try:
        return unquote_to_bytes(found[1]).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _bad_target(remedy: str) -> APIError:
    return APIError(
        status=400, code="bad_path", message=f"the path is not accepted: {remedy}"
    )
