"""
What stream bytes mean, and how an error or a comment is said in them.
"""

import json


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


def error_event(error: dict[str, object]) -> bytes:
    """
    The last event of a stream that cannot be finished, in the OpenAI shape.

    :param error: `message`, `type`, `param` and `code`.
    """
    return b"data: " + json.dumps({"error": error}).encode("ascii") + b"\n\n"
