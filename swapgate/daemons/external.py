"""
A daemon that somebody else runs for us: launched or found, watched, halted.
"""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import psutil
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons import Owner, processes
from swapgate.daemons.control import Control, Observation, State, port_answers
from swapgate.daemons.termination import Ending
from swapgate.daemons.tool import Answer, ToolFailed

# Looking what became of it: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.02, 1.0
# For its end to be noticed by whoever runs it.
_LOOKS_AFTER_IT, _LOOK_AFTER_IT_S = 5, 0.05
# For so long a look need not be made again; and before a launch, which the check before
# it has made.
_FRESH_S, _BELIEVED_S = 0.1, 5.0
# A bug that meets us again shall not keep us busy.
_AFTER_A_BUG_S = 1.0
# At our end, what is being asked is waited for so long.
_LET_GO_S = 1.0


class ExternalDaemon:
    """
    One such daemon. It stays up when the gateway stops.

    What became of a start or a stop is told by looking, never by how a tool ended.
    """

    outlives_gateway = True
    _log = Logger()

    def __init__(self, spec: ModelSpec, control: Control, reactor: Any) -> None:
        assert spec.upstream is not None, "the config sees to it"
        self._spec = spec
        self._control = control
        self._reactor = reactor
        self._upstream = spec.upstream
        self._forget()

    def _forget(self) -> None:
        """
        A new life: nothing of the one before holds.
        """
        self._up = self._halted = self._was_up = False
        self._left: Deferred[None] | None = None
        self._life: Deferred[None] | None = None
        self._late_at_s = self._reactor.seconds() + self._spec.load_timeout_s
        self._ending = Ending(self._spec, self._control, self._reactor)
        self._sleep: Deferred[None] | None = None
        self._starting: Deferred[Answer] | None = None
        self._holder: processes.PortHolder | None = None
        self._seen_absent: Observation | None = None

    @property
    def upstream(self) -> Upstream:
        return self._upstream

    def preflight(self) -> Deferred[str | None]:
        return Deferred.fromCoroutine(self._preflight())

    async def _preflight(self) -> str | None:
        observation = self._ending.observation
        if self._reactor.seconds() - self._ending.looked_at_s > _FRESH_S:
            observation = await self._ending.look()
        if observation is None:
            return self._ending.words
        if _runs(observation):
            return None
        if observation.state is State.ABSENT and await self._ending.port_is_taken():
            return self._port_in_use()
        return await self._control.preflight()

    def _port_in_use(self) -> str:
        port = self._upstream.port
        return (
            f"port {port} is in use by another process; "
            "stop that process, or give the model another port"
        )

    def launch(self, owner: Owner) -> None:
        looked_s = self._reactor.seconds() - self._ending.looked_at_s
        seen, recent = self._ending.observation, looked_s < _BELIEVED_S
        self._forget()
        if recent and seen is not None and seen.state is State.ABSENT:
            self._seen_absent = seen
        self._begin(self._live(), owner)

    def relaunch(self) -> bool:
        # Its port is its owner's choice.
        return False

    def answers(self) -> Deferred[bool]:
        return Deferred.fromCoroutine(port_answers(self._upstream, self._reactor))

    def adopt(self, owner: Owner) -> Deferred[bool]:
        self._forget()
        return Deferred.fromCoroutine(self._adopt(owner))

    def _begin(self, living: Coroutine[Deferred[Any], Any, str], owner: Owner) -> None:
        self._owner = owner
        life = Deferred.fromCoroutine(self._outlive(living))
        self._life = life.addCallback(self._bury, owner)

    async def _outlive(self, living: Coroutine[Deferred[Any], Any, str]) -> str:
        """
        The reason of its end, which no bug of ours makes known before its proof.
        """
        try:
            return await living
        except Exception as error:
            bug = error
        while self._left is None:
            self._log.failure(
                "{model}: a bug in swapgate", Failure(bug), model=self._spec.name
            )
            self._up = False
            await self._pause(_AFTER_A_BUG_S)
            try:
                await self._ending.end()
                break
            except Exception as error:
                bug = error
        return f"cannot be run: {bug}"

    def _bury(self, why: str, owner: Owner) -> None:
        self._up = False
        self._ending.disarm_kill()
        if self._left is None:
            owner.gone(why)
        else:
            self._left.callback(None)

    def detach(self) -> Deferred[None]:
        if self._life is None or self._life.called or self._left is not None:
            return succeed(None)
        self._left = Deferred()
        self._ending.detach = True
        patience = self._reactor.callLater(_LET_GO_S, self._life.cancel)
        self._left.addBoth(lambda _: patience.active() and patience.cancel())
        self._wake()
        return self._left

    async def _adopt(self, owner: Owner) -> bool:
        observation = await self._ending.look()
        # What cannot be asked cannot be stopped; a stranger may be what answers.
        if observation is None or not _runs(observation):
            return False
        self._ending.remember(observation)
        self._begin(self._live_on(observation), owner)
        return True

    async def _live(self) -> str:
        """
        From the launch until nothing of it is left: the reason of its end.
        """
        # What was seen before the eviction that made room need not be asked for again:
        # a start that is none is seen after it.
        observation = self._seen_absent or await self._ending.look()
        if observation is None:
            # Whoever cannot be asked has not been asked to start anything.
            return "could not be started"
        if observation.ended:
            # What an earlier life has left would stand in the way.
            await self._ending.end()
        elif observation.state is State.UP:
            return await self._live_on(observation)
        # What is known and never ran is started too: else nothing would.
        if await self._ending.port_is_taken():
            return self._port_in_use()
        if self._halted:
            return "stopped before its launch"
        failed = not await self._start()
        observation = await self._ending.look()
        if (
            observation is not None
            and (
                (observation.state is State.ABSENT and not self._control.slow)
                or (observation.state is not State.UP and failed)
            )
            and not self._halted
        ):
            self._up = False
            await self._ending.end()
            if observation.ended and not failed:
                return _why_ended(observation)
            return f"could not be started{_in_brackets(observation.note)}"
        return await self._live_on(observation)

    async def _live_on(self, observation: Observation | None) -> str:
        """
        The same for one that has been started, by whomever.
        """
        self._up = self._was_up or self._control.port_counts
        reason = await self._watch(observation)
        self._up = False
        if not self._halted and self._left is None:
            self._owner.died(reason)
        if self._left is None:
            await self._ending.end()
        return reason

    async def _start(self) -> bool:
        """
        Whether the tool thinks that it succeeded.
        """
        # A slow one may be up before its tool has ended.
        self._up = self._control.slow and self._control.port_counts
        self._starting = Deferred.fromCoroutine(self._control.start())
        try:
            answer = await self._starting
        except ToolFailed as error:
            self._ending.words = str(error)
            return False
        except CancelledError:
            return False
        finally:
            self._starting = None
        self._ending.words = answer.complaint
        return answer.status == 0

    async def _watch(self, observation: Observation | None) -> str:
        """
        Until it ends by itself, or is to be stopped: why.
        """
        pause_s = _LOOK_S
        while not self._halted and self._left is None:
            if observation is not None and observation.state is State.UP:
                self._was_up = self._up = True
            if self._ending.process_has_ended:
                return _why_ended(await self._look_after_it())
            if self._ending.process is None and observation is not None:
                if (
                    why := self._end_seen(observation)
                ) and not await self._shows_life():
                    return why
                self._ending.remember(observation)
            known = self._ending.process is not None
            pause_s = _LOOK_AT_MOST_S if known else min(2 * pause_s, _LOOK_AT_MOST_S)
            await self._pause(pause_s)
            # Its pid tells all, and costs nothing; so does an answer under way.
            known = known or self._owner.in_use()
            observation = None if known or self._halted else await self._ending.look()
        return "was stopped"

    async def _shows_life(self) -> bool:
        """
        Whether it answers, though no look has found it: a status may fail to ask.
        """
        observation = self._ending.observation
        if (
            observation is None
            or observation.state is not State.ABSENT
            or observation.sure
        ):
            return False
        return (
            not self._ending.surely_absent
            or self._owner.in_use()
            or await self._owner.is_healthy()
        )

    async def _look_after_it(self) -> Observation | None:
        """
        What is known of its end, which we may have seen before anybody else.
        """
        assert self._ending.process is not None
        for _ in range(_LOOKS_AFTER_IT):
            observation = await self._ending.look()
            if observation is None or observation.pid != self._ending.process.pid:
                break
            await deferLater(self._reactor, _LOOK_AFTER_IT_S)
        return observation

    def _end_seen(self, observation: Observation) -> str:
        """
        Why it has ended, if it has.
        """
        late = self._reactor.seconds() >= self._late_at_s
        if observation.state is State.ABSENT and (
            self._was_up or late or not self._control.slow
        ):
            return _why_ended(observation)
        if observation.ended and observation.pid is None:
            return _why_ended(observation)
        return ""

    async def _pause(self, seconds: float) -> None:
        """
        Sleep, unless there is something to be seen to.
        """
        self._sleep = deferLater(self._reactor, seconds)
        with suppress(CancelledError):
            await self._sleep
        self._sleep = None

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def halt(self) -> None:
        if self._halted:
            return
        self._halted = True
        self._ending.arm_kill()
        if self._starting is not None:
            self._starting.cancel()
        self._wake()

    def kill(self) -> None:
        self.halt()
        self._ending.kill()

    def remains(self) -> str:
        return self._ending.remains

    @property
    def running(self) -> bool:
        if self._up and self._ending.process_has_ended:
            self._up = False
            self._reactor.callLater(0, self._wake)
        return self._up

    @property
    def serving(self) -> bool:
        if not self.running:
            return False
        process = self._ending.process
        if process is None or not self._upstream.loopback:
            return True
        if self._holder is None:
            # Its process is known since it was found up.
            self._holder = processes.PortHolder(
                self._reactor, process.pid, self._upstream.port
            )
        return self._holder.holds()

    def port_conflict(self) -> str | None:
        if not self.running:
            return "it has ended"
        if self._ending.process is None or not self._upstream.loopback:
            return None
        stranger = processes.port_conflict(
            self._ending.process.pid, self._upstream.port
        )
        # If it has ended its listener went with it, and no other is to blame.
        if not self.running:
            return "it has ended"
        if stranger is None:
            self._holder = processes.PortHolder(
                self._reactor,
                self._ending.process.pid,
                self._upstream.port,
                self._reactor.seconds(),
            )
            with suppress(psutil.Error, OSError):
                self._ending.family = list(
                    processes.relatives(self._ending.process.pid)
                )
        return stranger

    def last_words(self) -> str:
        return self._ending.words


def _why_ended(observation: Observation | None) -> str:
    if (
        observation is not None
        and observation.state is State.ABSENT
        and not observation.ended
    ):
        return "was stopped by somebody else"
    return f"ended by itself{_in_brackets(observation.note if observation else '')}"


def _in_brackets(note: str) -> str:
    return f" ({note})" if note else ""


def _runs(observation: Observation) -> bool:
    return observation.state is State.UP or observation.pid is not None
