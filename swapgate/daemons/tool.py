"""
Tool: runs a short-lived command and returns its answer, within bounds of time and size.
"""

import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred

from swapgate.daemons.spawn import SessionProcess

# Service managers answer in milliseconds, or are ill.
TOOL_TIMEOUT_S = 10.0
_TAIL_LINES = 6


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

    def too_late(_: object, timeout_s: float) -> Answer:
        raise ToolFailed(f"{shlex.join(argv)!r} did not end within {timeout_s:g} s")

    running = Deferred.fromCoroutine(_run(reactor, argv, env, cwd))
    return running.addTimeout(timeout_s, reactor, too_late)


async def _run(
    reactor: Any, argv: Sequence[str], env: Mapping[str, str], cwd: str
) -> Answer:
    if shutil.which(argv[0], path=env.get("PATH", os.defpath)) is None:
        raise ToolFailed(f"{argv[0]!r} is not an executable on PATH")
    process = SessionProcess(reactor)
    try:
        process.start(argv, env, cwd, stdout=True)
    except (OSError, RuntimeError) as error:
        # RuntimeError: no thread can be started.
        raise ToolFailed(f"{shlex.join(argv)!r} cannot be run: {error}") from error
    try:
        status = await process.exited
        await process.read_the_rest()
    except CancelledError:
        process.signal(signal.SIGKILL)
        process.close_pipes()
        raise
    return Answer(status, process.output(), process.last_words(_TAIL_LINES))
