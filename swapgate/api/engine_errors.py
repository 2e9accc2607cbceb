"""
Engine errors: which of an engine's own 5xx are the request's fault. Pure.

Clients retry a 5xx, some for minutes and without a word. llama-server answers 500 where
it throws while it reads a request, and 501 for what it was not started for: that fails
however often it is sent, and is told as 400.

1. Only what llama-server is known to say before it generates anything is believed.
2. Everything else stays as it is: too little memory, say, may pass.
"""

import json
import re
from typing import Any, Final

# A longer one is not looked into.
MAX_BODY: Final = 8 * 1024
LOOKED_AT: Final = frozenset({500, 501})
# How the message begins; what a chat's template raises comes after its trace.
_FAILS_AGAIN: Final = re.compile(
    r"(?:image|audio|video) input is not supported\b"
    r"|Failed to load image or audio file\b"
    r"|Failed to parse (?:messages|tools|tool call arguments)\b"
    r"|'messages' is required\b"
    r"|Cannot use both json_schema and grammar\b"
    r"|(?:tools|tool_choice) param requires --jinja\b"
    r"|Unknown reasoning format\b"
    r"|[\s\S]*\bJinja Exception: "
)


def told_status(status: int, body: bytes) -> int:
    """
    The status that the client is told; the body stays the engine's.
    """
    if status not in LOOKED_AT or len(body) > MAX_BODY:
        return status
    error = _error_of(body)
    kind, message = error.get("type"), error.get("message")
    if not isinstance(message, str):
        return status
    fails_again = kind == "not_supported_error" or (
        kind == "server_error" and _FAILS_AGAIN.match(message)
    )
    return 400 if fails_again else status


def _error_of(body: bytes) -> dict[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}
