"""
Access log: what is said of one request. Never a query, a header or a word of a body.
"""

from typing import Any

from attrs import define

_SHOWN = 300


@define
class AccessLogEntry:
    """
    What is known of a request, and may be said, beyond its first line and its status.

    :param key: the name of the key that it came with.
    :param error: the code in the answer, or why there was none.
    :param leased_s: since when a daemon was its own.
    """

    model: str | None = None
    key: str | None = None
    queue_s: float = 0.0
    load_s: float = 0.0
    leased_s: float | None = None
    error: str | None = None

    def waited(self, *, queue_s: float, load_s: float) -> None:
        """
        A wait is over: for a load, and for all else.
        """
        self.queue_s += queue_s
        self.load_s += load_s

    def facts(self, now_s: float) -> dict[str, Any]:
        """
        What there is to say at the end, by its names.
        """
        known: dict[str, Any] = {}
        if self.model is not None:
            known = {
                "model": self.model,
                "queue_s": round(self.queue_s, 3),
                "load_s": round(self.load_s, 3),
            }
        if self.leased_s is not None:
            known["stream_s"] = round(now_s - self.leased_s, 3)
        known |= {"key": self.key, "error": self.error}
        return {name: value for name, value in known.items() if value is not None}


def shown(raw: bytes) -> str:
    """
    What a client sent as method or path, in characters that only show, and in at most
    300 of them.
    """
    text = _showing(raw[:_SHOWN])
    return text if len(raw) <= _SHOWN and len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _showing(raw: bytes) -> str:
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " < c < "\x7f" else f"\\x{ord(c):02x}" for c in text)
