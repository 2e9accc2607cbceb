"""
Spawn: checks a command, runs it in a session of its own, and reports its end.

1. The new process has descriptors 0 to 2 and no other of ours, and it leads a session
   and a group of its own: a signal to the group reaches all that it has started.
2. It is reaped here and nowhere else, so until then its pid is no other process's.
3. Of the gateway's environment it gets the few variables that it needs.
4. What it says is read all the time and kept in bounds.
5. No SIGCHLD is needed: a pidfd reports the end, and where there is none a thread.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import IO, Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.process import ProcessReader
from twisted.python.failure import Failure

from swapgate.daemons import processes

_OUTPUT_BYTES = 65536
_TAIL_BYTES = 4096
# For so long what the pipes still hold is read after the process has ended.
_LAST_READ_S = 0.2
_PIDFD = "pidfd"
# A model that serves is evicted for another one only after its file was looked for.
_MODEL_OPTIONS = ("-m", "--model")
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


def cannot_run(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> str | None:
    """
    Why this command would not run; None where all is found.

    :param env: the environment it would have; its PATH is searched.
    """
    if not Path(cwd).is_dir():
        return f"the folder {cwd} is not there"
    if shutil.which(argv[0], path=env.get("PATH", os.defpath)) is None:
        return f"{argv[0]!r} is not an executable on PATH"
    model = _model_file(argv)
    if model is not None:
        path = Path(cwd, model)
        if not path.is_file():
            return f"the model file {path} is not there"
        if not os.access(path, os.R_OK):
            return f"the model file {path} may not be read"
    return None


def _model_file(argv: Sequence[str]) -> str | None:
    """
    The file that llama-server and its kin are told to load.

    Elsewhere the same options name a module, or a model in a hub: no GGUF file.
    """
    pairs = [*pairwise(argv), *(word.partition("=")[::2] for word in argv)]
    given = (value for option, value in pairs if option in _MODEL_OPTIONS)
    return next((value for value in given if value.endswith(".gguf")), None)


class SessionProcess:
    """
    One process from its start until it is reaped, and what it said.
    """

    def __init__(
        self,
        reactor: Any,
        open_pidfd: Callable[[int], int] = _pidfd,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        """
        :param heard: is handed what comes of its stderr.
        """
        #: Fires when it is reaped: its exit status, or -N where signal N ended it.
        self.exited: Deferred[int] = Deferred()
        self.running = False
        self.pid = 0
        self._reactor = reactor
        self._open_pidfd = open_pidfd
        self._heard = heard
        #: What is read of it, by name. Each refers back to this.
        self._readers: dict[str, ProcessReader] = {}
        self._files: dict[str, IO[bytes]] = {}
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
        for name in ("stdout", "stderr"):
            if (pipe := getattr(self._popen, name)) is not None:
                self._read(name, pipe)
        try:
            pidfd = os.fdopen(self._open_pidfd(self.pid), "rb", 0)
        except (AttributeError, OSError):
            # On macOS, on an old kernel, or for want of descriptors. No thread of the
            # reactor's pool: a daemon lives for days.
            Thread(target=self._wait, daemon=True).start()
        else:
            # At the end it becomes readable, and as it cannot be read it is lost.
            self._read(_PIDFD, pidfd)

    def _read(self, name: str, file: IO[bytes]) -> None:
        self._files[name] = file
        self._readers[name] = ProcessReader(self._reactor, self, name, file.fileno())

    def childDataReceived(self, name: str, data: bytes) -> None:
        if name == "stdout":
            self._output = (self._output + data)[:_OUTPUT_BYTES]
        else:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            if self._heard is not None:
                self._heard(data)

    def childConnectionLost(self, name: str, reason: Failure) -> None:
        del self._readers[name]
        self._files.pop(name).close()
        if name == _PIDFD:
            self.poll()
            if self.running:
                # A debugger that traces it reaps it first.
                Thread(target=self._wait, daemon=True).start()
        elif not self._readers.keys() - {_PIDFD} and not self._closed.called:
            self._closed.callback(None)

    def _close(self, *names: str) -> None:
        for name in names:
            if name in self._readers:
                self._readers[name].connectionLost(Failure(CONNECTION_DONE))

    def _wait(self) -> None:
        self._popen.wait()
        self._reactor.callFromThread(self.poll)

    def poll(self) -> None:
        """
        Notice an end that has not been reported yet.
        """
        if self.running and (status := self._popen.poll()) is not None:
            self.running = False
            self._close(_PIDFD)
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
        self._close("stdout", "stderr")

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
