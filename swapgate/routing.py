"""
What does this request want? Its path, its headers and its body's wish in; an `Ask`
or a `Refusal` out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from unicodedata import category
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

from swapgate.body import Kind, Wish
from swapgate.grammar import quoted
from swapgate.routes import normal


class Refusal(Exception):
    """
    A request we answer ourselves: `status` is the HTTP code, `code` the machine's word.

    :param param: the part of the body that is to blame.
    :param should_retry: whether the client is told to try again or not; None leaves
        it to the status.
    :param headers: what the answer must say besides.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.headers = headers

    @property
    def type(self) -> str:
        """
        Whose fault it is, in OpenAI's words.
        """
        return "invalid_request_error" if self.status < 500 else "server_error"

    @property
    def error(self) -> dict[str, object]:
        """
        The error object that OpenAI's clients know, in an answer or in a stream.
        """
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }


def error_body(refusal: Refusal) -> bytes:
    """
    The JSON of an answer that is a refusal.
    """
    return json.dumps({"error": refusal.error}).encode("ascii")


@frozen
class Target:
    """
    Where a request goes: `path` to decide by, in its normal form, and `raw`, the same
    with the query, to pass on. What was decided by is what the daemon gets.
    """

    path: str
    raw: bytes


# Visible ASCII is all that may stand in a target; a fragment is the browser's own.
_TARGET: Final = re.compile(rb"[!-\"$-~]+")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# What a path holds as it is (RFC 3986).
_PLAIN: Final = "/!$&'()*+,;=:@"


@lru_cache(64)
def read_target(raw: bytes) -> Target:
    """
    Understand a request's target as every engine would, or not at all.

    Whatever two servers might normalise differently is refused: nobody needs it to
    name an API, and it is how a forbidden path is made to look like another one.
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


def _bad_target(remedy: str) -> Refusal:
    return Refusal(
        status=400, code="bad_path", message=f"the path is not accepted: {remedy}"
    )


_UTF_8: Final = frozenset({b"utf-8", b"utf8"})
_JSON_TYPE: Final = re.compile(rb"application/(?:[!#$&^_.+\w-]+\+)?json")


def check_content_type(value: bytes | None, encoding: bytes | None = None) -> None:
    """
    Refuse what does not say that it is plain JSON in UTF-8.

    A page on a foreign site can send every other type without asking first.

    :param encoding: the Content-Encoding.
    """
    if value is None:
        raise _unsupported("there is no Content-Type")
    kind, *parameters = value.lower().split(b";")
    shown = quoted(value.decode("latin-1"))
    if not _JSON_TYPE.fullmatch(kind.strip()):
        raise _unsupported(f"the Content-Type is {shown}")
    for parameter in parameters:
        name, _, charset = parameter.partition(b"=")
        if name.strip() == b"charset" and charset.strip(b' \t"') not in _UTF_8:
            raise _unsupported(f"the Content-Type is {shown}, not UTF-8")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        shown = quoted(encoding.decode("latin-1"))
        raise _unsupported(f"the Content-Encoding is {shown}")


def _unsupported(what: str) -> Refusal:
    return Refusal(
        status=415,
        code="unsupported_media_type",
        message=f"{what}; send application/json in UTF-8, not compressed",
    )


@frozen
class Ask:
    """
    What is asked for: `model` is the configured name, also where an alias was sent.
    """

    model: str
    stream: bool


def read_ask(wish: Wish, names: Mapping[str, str]) -> Ask:
    """
    Turn what a body wishes into what we can do.

    :param names: every name and alias, and the name of the model that it means.
    """
    if wish.model is Kind.ABSENT:
        raise Refusal(
            status=400,
            code="missing_required_parameter",
            message=f"the body has no model; it must name {_one_of(names)}",
            param="model",
        )
    if isinstance(wish.model, Kind):
        raise _wrong_type("model", wish.model, f"a string, {_one_of(names)}")
    if not wish.model:
        raise Refusal(
            status=400,
            code="invalid_value",
            message=f"model is empty; it must be {_one_of(names)}",
            param="model",
        )
    if wish.model not in names:
        raise Refusal(
            status=404,
            code="model_not_found",
            message=f"no model {quoted(wish.model)} is here; send {_one_of(names)}",
            param="model",
        )
    if isinstance(wish.stream, Kind) and wish.stream not in {Kind.ABSENT, Kind.NULL}:
        raise _wrong_type("stream", wish.stream, "true or false")
    return Ask(names[wish.model], wish.stream is True)


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(map(json.dumps, names))


def _wrong_type(param: str, kind: Kind, right: str) -> Refusal:
    return Refusal(
        status=400,
        code="invalid_type",
        message=f"{param} is {kind.value}; it must be {right}",
        param=param,
    )


def models_listing(names: Iterable[str], created: int) -> dict[str, object]:
    """
    The answer to GET /v1/models: an entry of its own for each name and alias.

    :param created: in seconds of the epoch.
    """
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": created, "owned_by": "swapgate"}
            for name in names
        ],
    }
