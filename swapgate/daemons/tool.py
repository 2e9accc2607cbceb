"""
How does a tool answer? One argv, run within a bound of time and of memory.
"""

import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from swapgate.daemons import processes

# Service managers answer in milliseconds, or are ill.
TOOL_TIMEOUT_S = 10.0
# Tools say little; of one that does not, this much is enough.
_OUTPUT_BYTES = 65536
_TAIL_BYTES = 4096
_TAIL_LINES = 6
# For so long what the pipes still hold is read after the process has ended.
_LAST_READ_S = 0.2


class ToolFailed(Exception):
    """
    A tool is not there, cannot be run, or did not end in time: it told us nothing.
    """


@frozen
class Answer:
    """
    How a tool ended, and what it said: the beginning of stdout, the end of stderr.

    :param status: its exit status, or -N where signal N ended it.
    """

    status: int
    output: str = ""
    complaint: str = ""


def tail(text: str) -> str:
    """
    The last lines of `text`, without what a terminal would obey.
    """
    printable = ("".join(c for c in s if c.isprintable()) for s in text.splitlines())
    return "\n".join([line for line in printable if line.strip()][-_TAIL_LINES:])


def run(
    reactor: Any,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: str = "/",
    timeout_s: float = TOOL_TIMEOUT_S,
) -> Deferred[Answer]:
    """
    Run `argv`, looked up on the PATH of `env`; fails with `ToolFailed`.

    It has a session of its own, which is killed at the bound, or on cancelling. What
    it leaves behind when it ends by itself is left alone.
    """
    said = shlex.join(argv)
    program = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if program is None:
        return defer.fail(ToolFailed(f"{argv[0]!r} is not an executable on PATH"))
    tool = _Tool(reactor)
    null = -1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        processes.SessionProcess(
            reactor,
            program,
            list(argv),
            dict(env),
            cwd,
            tool,
            childFDs={0: null, 1: "r", 2: "r"},
        )
    except OSError as error:
        return defer.fail(ToolFailed(f"{said!r} cannot be run: {error.strerror}"))
    finally:
        if null >= 0:
            os.close(null)

    def too_late(_: object, timeout_s: float) -> Answer:
        raise ToolFailed(f"{said!r} did not end within {timeout_s:g} s")

    return tool.answer.addTimeout(timeout_s, reactor, too_late)


class _Tool(ProcessProtocol):
    """
    One run: what it says is kept in bounds, and its answer fires once.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.answer: Deferred[Answer] = Deferred(self._kill)
        self._clock = clock
        self._status = 0
        self._output = self._tail = b""
        self._pid = 0
        self._closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._pid = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        self._output = (self._output + data)[:_OUTPUT_BYTES]

    def errReceived(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]

    def processExited(self, reason: Failure) -> None:
        error = reason.value
        if isinstance(error, ProcessTerminated) and error.signal is not None:
            self._status = -error.signal
        else:
            self._status = getattr(error, "exitCode", 0) or 0
        self._pid = 0
        if self.answer.called:
            return
        # What it has left behind may hold its pipes open for ever.
        waiting = self._closed.addTimeout(_LAST_READ_S, self._clock)
        waiting.addErrback(lambda _: self._hang_up())
        waiting.addCallback(lambda _: self._tell())

    def processEnded(self, reason: Failure) -> None:
        if not self._closed.called:
            self._closed.callback(None)

    def _hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    def _tell(self) -> None:
        if not self.answer.called:
            output, complaint = (
                data.decode("utf-8", "replace") for data in (self._output, self._tail)
            )
            self.answer.callback(Answer(self._status, output, tail(complaint)))

    def _kill(self, _: Deferred[Answer]) -> None:
        if self._pid:
            processes.signal_group(self._pid, signal.SIGKILL)
            self._hang_up()
