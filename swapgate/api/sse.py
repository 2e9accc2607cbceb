"""
What stream bytes mean, and how an error or a comment is said in them.
"""

import json
from collections.abc import Mapping
from typing import Any

_LONGEST_MESSAGE = 1000


def is_event_stream(content_type: bytes | None) -> bool:
    """
    Whether a body of this Content-Type goes by lines.
    """
    if content_type is None:
        return False
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def closes_event(line: bytes) -> bool:
    """
    Whether this line, given without its newline, is the blank one that ends an event.
    """
    return line in {b"", b"\r"}


def error_event(error: Mapping[str, object]) -> bytes:
    """
    The last event of a stream that cannot be finished, in the OpenAI shape.

    :param error: `message`, `type`, `param` and `code`.
    """
    return event({"error": error})


def comment(text: str) -> bytes:
    """
    What every reader of a stream skips, in one line.
    """
    return f": {text}\n\n".encode()


def event(data: Mapping[str, Any]) -> bytes:
    """
    One event of JSON, without a name: chat clients take a named one for an error.
    """
    return b"data: " + json.dumps(data).encode("ascii") + b"\n\n"


def late_answer(status: int, body: bytes) -> bytes:
    """
    An answer that is no stream, as an event of the stream that was begun before it.
    """
    if status < 400:
        return b"".join(b"data: %b\n" % line for line in body.splitlines()) + b"\n"
    try:
        told = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        told = body.decode("utf-8", "replace")[:_LONGEST_MESSAGE]
    if isinstance(told, dict):
        return error_event(told)
    return error_event(
        {
            "message": f"the model's daemon answered {status}: {told}",
            "type": "server_error",
            "param": None,
            "code": "upstream_failed",
        }
    )


def reasoning_chunk(
    text: str, *, ident: str, model: str, created: int, first: bool
) -> bytes:
    """
    A chunk of a chat's answer that says something before the answer.

    :param created: seconds of the epoch.
    """
    delta = {"role": "assistant", "content": None} if first else {}
    choice = {
        "index": 0,
        "delta": {**delta, "reasoning_content": text},
        "finish_reason": None,
    }
    return event(
        {
            "id": ident,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": [choice],
        }
    )
