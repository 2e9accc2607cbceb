"""
How is an event written down? As text or as JSON, one line or more of what only shows.
"""

import json
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
)
from zope.interface import implementer

# What legacy events carry beside their text.
_LEGACY = frozenset({"format", "isError", "message", "printed", "system", "time"})


@implementer(ILogObserver)
class EventLog:
    """
    Writes what happens into the file that twistd would have written it into.

    :param form: text or json; may be changed at any time.
    """

    def __init__(self, form: str, file: FileLogObserver) -> None:
        self.form = form
        self._file = file
        file.formatEvent = self._line
        _never_wait(file)

    def __call__(self, event: LogEvent) -> None:
        # A full disk, a closed pipe, a character that this file has not: nobody can be
        # told, and nobody shall wait.
        with suppress(OSError, ValueError):
            self._file(event)

    def _line(self, event: LogEvent) -> str | None:
        return as_json(event) if self.form == "json" else as_text(event)


def _never_wait(file: FileLogObserver) -> None:
    """
    What reads our log may have stopped: a pipe that is full would hold up everybody.
    """
    with suppress(AttributeError, OSError, ValueError):
        descriptor = file._outFile.fileno()
        mode = os.fstat(descriptor).st_mode
        # A terminal is shared with a shell that does not expect it.
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)


def as_text(event: LogEvent) -> str | None:
    """
    As twistd writes it, but for control characters.
    """
    line = formatEventAsClassicLogText(event)
    return line if line is None or line[:-1].isprintable() else _showing(line)


def as_json(event: LogEvent) -> str | None:
    """
    One object on one line; a failure's traceback is in it, too.
    """
    text = formatEvent(event)
    if not text and "log_failure" not in event:
        return None
    facts: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(),
        "level": event["log_level"].name if "log_level" in event else "info",
        "from": event.get("log_namespace", ""),
        "text": text,
    }
    if "log_failure" in event:
        facts["failure"] = eventAsText(
            event, includeTimestamp=False, includeSystem=False
        )
    for name, value in event.items():
        # The text tells all; these are for machines.
        if isinstance(value, str | int | float) and not (
            name.startswith("log_") or name in _LEGACY or name in facts
        ):
            facts[name] = value
    return json.dumps(facts) + "\n"


def _showing(text: str) -> str:
    """
    Line ends and tabs stay: the lines after an event's first are indented by one.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
