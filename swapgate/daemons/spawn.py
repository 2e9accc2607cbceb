"""
Spawn: runs a command in a session of its own, reads its pipes, reports its end.

1. The new process has descriptors 0 to 2 and no other of ours, and it leads a session
   and a group of its own: a signal to the group reaches all that it has started.
2. It is reaped here and nowhere else, so until then its pid is no other process's.
3. Of the gateway's environment it gets the few variables that it needs.
4. What it says is read all the time and kept in bounds.
5. No SIGCHLD is needed: a pidfd reports the end, and where there is none a thread.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import IO, Any

from twisted.internet import defer, fdesc
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from swapgate.daemons import processes

_OUTPUT_BYTES = 65536
_TAIL_BYTES = 4096
# For so long what the pipes still hold is read after the process has ended.
_LAST_READ_S = 0.2
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "TMPDIR")
_PASSED_ON_PREFIXES = ("LC_", "XDG_")


def child_environment(
    environ: Mapping[str, str], extra: Mapping[str, str]
) -> dict[str, str]:
    """
    The few variables that a child needs of the gateway's environment, and those that
    its configuration names.
    """
    passed_on = {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return passed_on | dict(extra)


def _pidfd(pid: int) -> int:
    return os.pidfd_open(pid)


class SessionProcess:
    """
    One process from its start until it is reaped, and what it said.
    """

    def __init__(self, reactor: Any, open_pidfd: Callable[[int], int] = _pidfd) -> None:
        #: Fires when it is reaped: its exit status, or -N where signal N ended it.
        self.exited: Deferred[int] = Deferred()
        self.running = False
        self.pid = 0
        self._reactor = reactor
        self._open_pidfd = open_pidfd
        self._pidfd: Reader | None = None
        self._pipes: list[Reader] = []
        self._closed: Deferred[None] = Deferred()
        self._output = self._tail = b""

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        *,
        stdout: bool = False,
    ) -> None:
        """
        Run `argv`, looked up on the PATH of `env`.

        :param stdout: whether that is read, too; else only stderr is.
        :raises OSError: when it cannot be run.
        """
        self._popen = subprocess.Popen(  # noqa: S603
            argv,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self.running = True
        try:
            self._watch()
        except Exception:
            # Without descriptors or threads its end would never be reported.
            self.signal(signal.SIGKILL)
            self._popen.wait()
            self.running = False
            raise

    def _watch(self) -> None:
        self._pipes = [
            Reader(self._reactor, pipe, keep, self._pipe_closed)
            for pipe, keep in (
                (self._popen.stdout, self._keep_output),
                (self._popen.stderr, self._keep_tail),
            )
            if pipe is not None
        ]
        try:
            pidfd = os.fdopen(self._open_pidfd(self.pid), "rb", 0)
        except (AttributeError, OSError):
            # On macOS, on an old kernel, or for want of descriptors. No thread of the
            # reactor's pool: a daemon lives for days.
            Thread(target=self._wait, daemon=True).start()
        else:
            # At the end it becomes readable, and as it cannot be read it is closed.
            self._pidfd = Reader(
                self._reactor, pidfd, lambda _: None, self._pidfd_closed
            )

    def _pidfd_closed(self) -> None:
        self.poll()
        if self.running:
            # A debugger that traces it reaps it first.
            Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self._popen.wait()
        self._reactor.callFromThread(self.poll)

    def poll(self) -> None:
        """
        Notice an end that has not been reported yet.
        """
        if self.running and (status := self._popen.poll()) is not None:
            self.running = False
            if self._pidfd is not None:
                # Each refers to the other.
                pidfd, self._pidfd = self._pidfd, None
                pidfd.close()
            self.exited.callback(status)

    def signal(self, number: signal.Signals) -> None:
        """
        Signal it and all of its group, unless it has been reaped.
        """
        # Where a thread waits, that has reaped it before the reactor notices.
        if self.running and self._popen.returncode is None:
            processes.signal_group(self.pid, number)

    async def read_the_rest(self) -> None:
        """
        Wait for the end of its pipes, but not for long: a process that has left the
        session may hold them open for ever.
        """
        try:
            await self._closed.addTimeout(_LAST_READ_S, self._reactor)
        except defer.TimeoutError:
            self.close_pipes()

    def close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    def output(self) -> str:
        """
        The beginning of its stdout.
        """
        return self._output.decode("utf-8", "replace")

    def last_words(self, lines: int) -> str:
        """
        The last lines of its stderr, without what a terminal would obey.
        """
        said = self._tail.decode("utf-8", "replace").splitlines()
        printable = ("".join(c for c in line if c.isprintable()) for line in said)
        return "\n".join([line for line in printable if line.strip()][-lines:])

    def _keep_output(self, data: bytes) -> None:
        self._output = (self._output + data)[:_OUTPUT_BYTES]

    def _keep_tail(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_TAIL_BYTES:]

    def _pipe_closed(self) -> None:
        if all(pipe.disconnected for pipe in self._pipes):
            self._pipes = []
            if not self._closed.called:
                self._closed.callback(None)


class Reader(FileDescriptor):
    """
    A descriptor that the reactor watches and reads until its end, or until `close()`.
    """

    def __init__(
        self,
        reactor: Any,
        file: IO[bytes],
        keep: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(reactor)
        self._file = file
        self._keep = keep
        self._report_closed = closed
        os.set_blocking(file.fileno(), False)
        self.startReading()

    def fileno(self) -> int:
        return -1 if self._file.closed else self._file.fileno()

    def doRead(self) -> Exception | None:
        end: Exception | None = fdesc.readFromFD(self.fileno(), self._keep)
        return end

    def connectionLost(self, reason: Failure) -> None:
        if not self.disconnected:
            super().connectionLost(reason)
            self._file.close()
            self._report_closed()

    def close(self) -> None:
        self.connectionLost(Failure(CONNECTION_DONE))
