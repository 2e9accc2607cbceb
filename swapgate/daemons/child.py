"""
Child: a daemon that is a process of the gateway's own and ends with it.

1. It has a session of its own, and is gone when nothing of its group is left.
2. Without a fixed port it gets a free one, and another if that is lost to another
   process before it listens there.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater

from swapgate.config.daemon_kinds import ChildSpec
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons import Daemon, Owner, processes
from swapgate.daemons.control import port_answers
from swapgate.daemons.output import Output
from swapgate.daemons.spawn import SessionProcess, cannot_run, child_environment

_LOOPBACK = "127.0.0.1"
# So many free ports are tried.
_TRIES = 3
# Looking whether a killed group is gone: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.01, 1.0
# llama.cpp says so many from the reason of a failed load to the end.
TAIL_LINES = 10


class Register(Protocol):
    """
    Where children are recorded, so that after a crash the next gateway can end them.
    """

    def note_start(self, pid: int) -> None: ...

    def note_argv(self, pid: int) -> None: ...

    def note_end(self, pid: int) -> None: ...


class Child(Daemon):
    """
    Launches a command, and stops all of its process group.

    It is never adopted: what an earlier gateway left is ended, see `state_folder`.
    """

    outlives_gateway = False

    def __init__(
        self,
        spec: ModelSpec,
        service: ChildSpec,
        reactor: Any,
        environ: Mapping[str, str],
        register: Register,
        more_arguments: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """
        :param more_arguments: what a launch adds to the command.
        """
        self._more_arguments = more_arguments
        self._spec = spec
        self._service = service
        self._reactor = reactor
        self._env = child_environment(environ, dict(service.env))
        self._register = register
        self._output = Output(reactor.seconds)
        self._process = self._new_process()
        # Since it was seen to hold its port.
        self._holder: processes.PortHolder | None = None
        self._halted = False
        self._kill_call: IDelayedCall | None = None

    async def preflight(self) -> str | None:
        fixed = self._spec.upstream
        if fixed is not None and await port_answers(fixed, self._reactor):
            return processes.port_in_use(fixed.port, processes.who_listens(fixed.port))
        argv = self._service.command.argv(0 if fixed is None else fixed.port)
        return cannot_run(argv, self._env, self._service.cwd)

    def launch(self, owner: Owner) -> None:
        self._choose_port()
        self._halted = False
        self._holder = None
        self._tries_left = 0 if self._spec.upstream else _TRIES - 1
        life = Deferred.fromCoroutine(self._live())
        life.addErrback(lambda failure: f"cannot be run: {failure.getErrorMessage()}")
        life.addCallback(owner.gone)

    def _choose_port(self) -> None:
        self.upstream = self._spec.upstream or Upstream(
            scheme="http", host=_LOOPBACK, port=processes.free_port(_LOOPBACK)
        )
        self._process = self._new_process()

    def _new_process(self) -> SessionProcess:
        return SessionProcess(self._reactor, heard=self._output.add)

    def relaunch(self) -> bool:
        if not self._tries_left or not self._process.running:
            return False
        self._lost_port = True
        self._process.signal(signal.SIGKILL)
        return True

    async def _live(self) -> str:
        """
        From the launch until nothing of it is left: the reason of its end.

        Where a free port was lost between its choice and its use, another is chosen.
        """
        while True:
            # Whether another process got the port that was chosen for it.
            self._lost_port = False
            reason = await self._run_once(self._process)
            lost = self._lost_port or not (
                self._holder is not None
                or processes.port_is_free(_LOOPBACK, self.upstream.port)
            )
            if self._halted or not (lost and self._tries_left):
                return reason
            self._tries_left -= 1
            self._choose_port()

    async def _run_once(self, process: SessionProcess) -> str:
        port = self.upstream.port
        argv = (*self._service.command.argv(port), *self._more_arguments())
        if await port_answers(self.upstream, self._reactor):
            self._lost_port = True
            return processes.port_in_use(port, processes.who_listens(port))
        if (why := cannot_run(argv, self._env, self._service.cwd)) is not None:
            return why
        if self._halted:
            return "stopped before its launch"
        process.start(argv, self._env, self._service.cwd)
        self._register.note_start(process.pid)
        self._output.say(f"started, process {process.pid}")
        reason = _describe_end(await process.exited)
        if self._kill_call is not None and self._kill_call.active():
            self._kill_call.cancel()
        await self._end_group(process.pid)
        self._register.note_end(process.pid)
        await process.read_the_rest()
        self._output.end_life(reason)
        return reason

    async def _end_group(self, group: int) -> None:
        """
        Kill what a reaped leader has left behind, and wait until it is gone.
        """
        delay_s = _LOOK_S
        processes.signal_group(group, signal.SIGKILL)
        while processes.group_lives(group):
            await deferLater(self._reactor, delay_s)
            delay_s = min(2 * delay_s, _LOOK_AT_MOST_S)
            processes.signal_group(group, signal.SIGKILL)

    def halt(self) -> None:
        if self._halted:
            return
        self._halted = True
        if self._process.running:
            self._process.signal(signal.SIGTERM)
            self._kill_call = self._reactor.callLater(
                self._spec.stop_timeout_s, self.kill
            )

    def kill(self) -> None:
        self._halted = True
        self._process.signal(signal.SIGKILL)

    def remains(self) -> str:
        pid = self._process.pid
        return f"process {pid}" if self._process.running else f"session {pid}"

    @property
    def running(self) -> bool:
        self._process.poll()
        return self._process.running

    @property
    def serving(self) -> bool:
        return self.running and self._holder is not None and self._holder.holds()

    def port_conflict(self) -> str | None:
        process = self._process
        holder = processes.PortHolder(self._reactor, process.pid, self.upstream.port)
        conflict = holder.conflict() if self.running else None
        process.poll()
        if not process.running:
            # Its listener went with it, and no other process is to blame.
            return "its process has ended"
        if conflict is None:
            self._holder = holder
            self._register.note_argv(process.pid)
        return conflict

    @property
    def output(self) -> Output:
        return self._output

    def last_words(self) -> str:
        return self._process.last_words(TAIL_LINES)


def _describe_end(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    # Most of the real-time signals have no name.
    names = {int(each): each.name for each in signal.Signals}
    return f"was ended by {names.get(-status, f'signal {-status}')}"
