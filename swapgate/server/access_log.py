"""
Access log: the fields of one request's line. Never a query, a header or a body.
"""

from functools import lru_cache
from typing import Any

from attrs import define

_SHOWN = 300


@define
class AccessLogEntry:
    """
    What the log says of a request beyond its method, path, status and size.

    :param key: the name of the API key that it came with.
    :param error: the code of the error response, or why there was no response.
    :param leased_s: the time at which its lease of a model began.
    """

    model: str | None = None
    key: str | None = None
    queue_s: float = 0.0
    load_s: float = 0.0
    leased_s: float | None = None
    error: str | None = None

    def waited(self, *, queue_s: float, load_s: float) -> None:
        """
        Add a wait that is over: for a load, and for all else.
        """
        self.queue_s += queue_s
        self.load_s += load_s

    def facts(self, now_s: float) -> dict[str, Any]:
        """
        The fields of the line, by their names; those without a value are left out.
        """
        known: dict[str, Any] = {}
        if self.model is not None:
            known["model"] = self.model
            known["queue_s"] = round(self.queue_s, 3)
            known["load_s"] = round(self.load_s, 3)
        if self.leased_s is not None:
            known["stream_s"] = round(now_s - self.leased_s, 3)
        if self.key is not None:
            known["key"] = self.key
        if self.error is not None:
            known["error"] = self.error
        return known


@lru_cache(64)
def shown(raw: bytes) -> str:
    """
    A client's method or path, fit to be logged: printable ASCII, 300 characters.
    """
    text = _showing(raw[:_SHOWN])
    return text if len(raw) <= _SHOWN and len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _showing(raw: bytes) -> str:
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " < c < "\x7f" else f"\\x{ord(c):02x}" for c in text)
