"""
Logs: writes events to twistd's log file, as text or as JSON.

1. Control characters are escaped: no event can forge a line or drive a terminal.
2. Logging never blocks and never fails: what a full disk or pipe cannot take is lost.
"""

import json
import os
import signal
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from twisted.logger import (
    ILogObserver,
    LogEvent,
    eventAsText,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

# The fields of legacy events beside their text.
_LEGACY = frozenset({"format", "isError", "message", "printed", "system", "time"})


@implementer(ILogObserver)
class EventLog:
    """
    A log observer that writes to a file.

    :param logformat: text or json; may be changed at any time.
    """

    def __init__(self, logformat: str, file: Any) -> None:
        self.logformat = logformat
        self._file = file
        _set_nonblocking(file)

    def __call__(self, event: LogEvent) -> None:
        line = as_json(event) if self.logformat == "json" else as_text(event)
        # A full disk, a closed pipe, a character that the file's encoding lacks.
        with suppress(OSError, ValueError):
            if line is not None:
                self._file.write(line)
                self._file.flush()


def open_log_file(twistd: Mapping[str, Any], reactor: Any) -> Any:
    """
    What twistd's options say it logs to, rotated at SIGUSR1 as by twistd itself.

    twistd's own observer can neither be given another format nor asked for its file.

    :return: None where it is no file: twistd logs to syslog, to an observer of the
        user's, or refuses to start.
    """
    foreground = twistd["nodaemon"]
    name = twistd["logfile"] or ("-" if foreground else "twistd.log")
    if twistd["logger"] or twistd["syslog"]:
        return None
    if name == "-":
        return sys.stdout if foreground else None
    file = LogFile.fromFullPath(name)
    if not signal.getsignal(signal.SIGUSR1):
        rotate = file.rotate
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(rotate))
    return file


def _set_nonblocking(file: Any) -> None:
    """
    The reader of a pipe may have stopped: a write to a full one would block us.
    """
    # Files that are no descriptor have no fileno, or one that raises.
    with suppress(AttributeError, OSError, ValueError):
        descriptor = file.fileno()
        mode = os.fstat(descriptor).st_mode
        # A terminal is shared with a shell that does not expect it.
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(descriptor, False)


def as_text(event: LogEvent) -> str | None:
    """
    As twistd formats it, but for control characters.
    """
    line: str | None
    if "log_line" in event:
        # Twisted's way to the same takes as long as parsing the request.
        system = f"{event['log_namespace']}#{event['log_level'].name}"
        line = f"{_time(event['log_time'])} [{system}] {event['log_line']}\n"
    else:
        line = formatEventAsClassicLogText(event, _time)
    return line if line is None or line[:-1].isprintable() else _escaped(line)


def _time(when_s: float | None) -> str:
    return _formatted_time(None if when_s is None else int(when_s))


_formatted_time = lru_cache(1)(formatTime)


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
        # Fields of the text, for machines.
        if isinstance(value, str | int | float) and not (
            name.startswith("log_") or name in _LEGACY or name in facts
        ):
            facts[name] = value
    return json.dumps(facts) + "\n"


def _escaped(text: str) -> str:
    """
    Line ends and tabs stay: the lines after an event's first are indented by one.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
