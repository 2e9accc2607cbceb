"""
Ollama's API: its paths, its errors, and what its clients may leave out. Pure.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec

from swapgate.api.openai import check_content_type
from swapgate.errors import APIError
from swapgate.server.json_grammar import quoted

CHAT: Final = "/api/chat"
GENERATE: Final = "/api/generate"
EMBED: Final = "/api/embed"
EMBEDDINGS: Final = "/api/embeddings"
_TRANSLATED: Final = frozenset({CHAT, GENERATE, EMBED, EMBEDDINGS})
_OWN: Final = frozenset({"/api/tags", "/api/ps", "/api/version", "/api/show"})
_NEVER: Final = re.compile(
    r"/api/(pull|push|create|copy|delete|blobs)(/.*)?", re.DOTALL
)

# What ends a line in Unicode besides; in JSON it stands in strings only.
_LINE_ENDS: Final = tuple(
    (character.encode(), b"\\u%04x" % ord(character))
    for character in ("\u0085", "\u2028", "\u2029")
)
# The form that curl sends unasked.
_FORM: Final = b"application/x-www-form-urlencoded"


class Answerer(Enum):
    """
    What answers a path below /api/: the gateway itself, or a daemon, translated.
    """

    GATEWAY = "gateway"
    DAEMON = "daemon"


def answerer_of(path: str) -> Answerer:
    """
    What answers this path, in its normal form.

    :raises APIError: 501 for what makes no sense here, 404 for what is unknown.
    """
    if path in _TRANSLATED:
        return Answerer.DAEMON
    if path in _OWN:
        return Answerer.GATEWAY
    if match := _NEVER.fullmatch(path):
        raise APIError(
            status=501,
            code="not_supported",
            message=f"there is no {match[1]} here: the models are those of the "
            "gateway's configuration; add or remove them there",
        )
    raise APIError(
        status=404,
        code="not_found",
        message=f"{quoted(path)} is no path of Ollama's API that is known here; "
        f"there are {', '.join(sorted(_TRANSLATED | _OWN))}",
    )


def check_type(
    value: bytes | None,
    encoding: bytes | None = None,
    *,
    site: bytes | None,
    origin: bytes | None,
) -> None:
    """
    Refuse what is not declared as JSON, but where no page can have sent it.

    Many of Ollama's clients declare nothing, or a form.

    :param site: the header Sec-Fetch-Site.
    """
    bare = (value or _FORM).partition(b";")[0].strip().lower() == _FORM
    no_page = origin is None if site is None else site in {b"none", b"same-origin"}
    check_content_type(b"application/json" if bare and no_page else value, encoding)


def error_line(error: APIError) -> bytes:
    """
    An error in Ollama's shape: a body, or the last line of a stream.
    """
    return json_line({"error": error.message})


def json_line(fields: Mapping[str, Any]) -> bytes:
    """
    One line of JSON, for every reader: some end lines at other characters, too.
    """
    line = msgspec.json.encode(fields)
    for character, escape in _LINE_ENDS:
        line = line.replace(character, escape)
    return line + b"\n"


def find_model(asked: str, names: Mapping[str, str]) -> str:
    """
    The name in the configuration of the model that a client names.

    :param names: the name of the model for every name and alias.
    """
    bare = asked.removesuffix(":latest")
    for name in (asked, bare, f"{bare}:latest"):
        if name in names:
            return names[name]
    raise APIError(
        status=404,
        code="model_not_found",
        message=f"model {quoted(asked)} not found; there are {', '.join(names)}",
        param="model",
    )


def wrong(param: str, fault: str) -> APIError:
    """
    The error of a field that is not as Ollama's API has it.
    """
    return APIError(
        status=400, code="invalid_type", message=f"{param} {fault}", param=param
    )


def rfc3339(epoch_s: float) -> str:
    """
    A time as Ollama writes it, in UTC.
    """
    time = datetime.fromtimestamp(epoch_s, UTC)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
