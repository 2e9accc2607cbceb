"""
Server-sent events (SSE): how a stream is recognised; events and comments in it.

1. A blank line ends an event; a reader drops one that has none (HTML standard, 9.2.6).
2. A line that begins with a colon is a comment, which every reader skips.
"""

import json
from collections.abc import Mapping
from typing import Any


def is_event_stream(content_type: bytes | None) -> bool:
    """
    Whether a body of this Content-Type is a stream of events.
    """
    if content_type is None:
        return False
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def closes_event(line: bytes) -> bool:
    """
    Whether this line, given without its newline, is the blank one that ends an event.
    """
    return line in {b"", b"\r"}


def comment(text: str) -> bytes:
    """
    A comment of one line.
    """
    return f": {text}\n\n".encode()


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """
    One event of JSON. Chat clients take a named one for an error.
    """
    head = b"" if name is None else b"event: %b\n" % name.encode()
    return head + b"data: " + json.dumps(data).encode("ascii") + b"\n\n"


def reasoning_chunk(
    text: str, *, ident: str, model: str, created: int, first: bool
) -> bytes:
    """
    A chunk of a chat completion that carries `text` as the model's reasoning.

    :param created: seconds of the epoch.
    :param first: the chat's first chunk, which names the role.
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
