"""
ExternalDaemon: a daemon that launchd, systemd or the user's commands start and stop.

It stays up when the gateway stops; one that is only talked to is `remote`'s. `observer`
holds what is known of its present life, `termination` proves its end.

1. What became of a start or a stop is told by looking, never by how a tool ended.
2. Its end is reported after the proof that it is gone, whatever bug is met on the way.
"""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon, Owner
from swapgate.daemons.control import Control, Observation, ServiceState, port_answers
from swapgate.daemons.observer import Observer
from swapgate.daemons.processes import port_in_use
from swapgate.daemons.termination import Termination
from swapgate.daemons.tool import Answer, ToolFailed

# Looking what became of it: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.02, 1.0
# For so long a look need not be made again; and before a launch, which the check before
# it has made.
_FRESH_S, _BELIEVED_S = 0.1, 5.0
# A bug that is met again and again must not keep the reactor busy.
_AFTER_A_BUG_S = 1.0
# When the gateway stops, a tool that runs is waited for so long.
_DETACH_S = 1.0


class ExternalDaemon(Daemon):
    """
    One such daemon, during one life after the other.
    """

    outlives_gateway = True
    _log = Logger()

    def __init__(self, spec: ModelSpec, control: Control, reactor: Any) -> None:
        assert spec.upstream is not None, "the config sees to it"
        self._spec = spec
        self._control = control
        self._reactor = reactor
        self.upstream = spec.upstream
        self._reset()

    def _reset(self) -> None:
        """
        A new life: nothing of the one before holds.
        """
        self._up = self._halted = self._was_up = False
        self._detached: Deferred[None] | None = None
        self._life: Deferred[None] | None = None
        spec, reactor = self._spec, self._reactor
        self._late_at_s = reactor.seconds() + spec.load_timeout_s
        self._observer = Observer(spec, self.upstream, self._control, reactor)
        self._termination = Termination(self._observer)
        self._sleep: Deferred[None] | None = None
        self._starting: Deferred[Answer] | None = None
        self._seen_absent: Observation | None = None

    async def preflight(self) -> str | None:
        observation = self._observer.observation
        if self._reactor.seconds() - self._observer.looked_at_s > _FRESH_S:
            observation = await self._observer.look()
        if observation is None:
            return self._observer.last_words
        if observation.runs:
            return None
        if observation.absent and await self._observer.port_is_taken():
            return port_in_use(self.upstream.port, "another process")
        return await self._control.preflight()

    def launch(self, owner: Owner) -> None:
        looked_s = self._reactor.seconds() - self._observer.looked_at_s
        seen = self._observer.observation
        self._reset()
        if looked_s < _BELIEVED_S and seen is not None and seen.absent:
            self._seen_absent = seen
        self._begin(self._live(), owner)

    async def answers(self) -> bool:
        return await port_answers(self.upstream, self._reactor)

    async def adopt(self, owner: Owner) -> bool:
        self._reset()
        observation = await self._observer.look()
        # What cannot be looked at cannot be stopped; its port may be another process's.
        if observation is None or not observation.runs:
            return False
        self._observer.remember(observation)
        self._begin(self._live_on(observation), owner)
        return True

    def _begin(self, living: Coroutine[Deferred[Any], Any, str], owner: Owner) -> None:
        self._owner = owner
        life = Deferred.fromCoroutine(self._survive_bugs(living))
        self._life = life.addCallback(self._report_gone, owner)

    async def _survive_bugs(self, living: Coroutine[Deferred[Any], Any, str]) -> str:
        """
        The reason of its end; after a bug too it is stopped, and its end proven.
        """
        try:
            return await living
        except Exception as error:
            bug = error
        while self._detached is None:
            self._log.failure(
                "{model}: a bug in swapgate", Failure(bug), model=self._spec.name
            )
            self._up = False
            await self._pause(_AFTER_A_BUG_S)
            try:
                await self._termination.end()
                break
            except Exception as error:
                bug = error
        return f"cannot be run: {bug}"

    def _report_gone(self, why: str, owner: Owner) -> None:
        self._up = False
        self._termination.disarm_kill()
        if self._detached is None:
            owner.gone(why)
        else:
            self._detached.callback(None)

    def detach(self) -> Deferred[None]:
        if self._life is None or self._life.called or self._detached is not None:
            return succeed(None)
        self._detached = Deferred()
        self._termination.detached = True
        patience = self._reactor.callLater(_DETACH_S, self._life.cancel)
        self._detached.addBoth(lambda _: patience.active() and patience.cancel())
        self._wake()
        return self._detached

    async def _live(self) -> str:
        """
        From the launch until nothing of it is left: the reason of its end.
        """
        # What was seen before the eviction that made room need not be asked for again:
        # a start that is none is seen after it.
        observation = self._seen_absent or await self._observer.look()
        if observation is None:
            # Without an answer to a look nothing was started.
            return "could not be started"
        if observation.ended:
            # What an earlier life has left would stand in the way.
            await self._termination.end()
        elif observation.state is ServiceState.UP:
            return await self._live_on(observation)
        # What is known and never ran is started too: else nothing would.
        if await self._observer.port_is_taken():
            return port_in_use(self.upstream.port, "another process")
        if self._halted:
            return "stopped before its launch"
        failed = not await self._start()
        observation = await self._observer.look()
        if (
            observation is not None
            and (
                (observation.absent and not self._control.slow)
                or (observation.state is not ServiceState.UP and failed)
            )
            and not self._halted
        ):
            self._up = False
            await self._termination.end()
            if observation.ended and not failed:
                return observation.reason
            return f"could not be started{observation.note_in_brackets}"
        return await self._live_on(observation)

    async def _live_on(self, observation: Observation | None) -> str:
        """
        The same once it has been started, by the gateway or otherwise.
        """
        self._up = self._was_up or self._control.port_counts
        reason = await self._watch(observation)
        self._up = False
        if self._detached is None:
            if not self._halted:
                self._owner.died(reason)
            await self._termination.end()
        return reason

    async def _start(self) -> bool:
        """
        Whether the tool claims to have succeeded.
        """
        # A slow one may be up before its tool has ended.
        self._up = self._control.slow and self._control.port_counts
        self._starting = Deferred.fromCoroutine(self._control.start())
        try:
            answer = await self._starting
        except ToolFailed as error:
            self._observer.last_words = str(error)
            return False
        except CancelledError:
            return False
        finally:
            self._starting = None
        self._observer.last_words = answer.complaint
        return answer.status == 0

    async def _watch(self, observation: Observation | None) -> str:
        """
        Until it ends by itself, or is to be stopped: why.
        """
        pause_s = _LOOK_S
        while not self._halted and self._detached is None:
            if observation is not None and observation.state is ServiceState.UP:
                self._was_up = self._up = True
            if self._observer.process_has_ended:
                return await self._observer.reason_of_end()
            if self._observer.process is None and observation is not None:
                if self._shows_end(observation) and not await self._shows_life():
                    return observation.reason
                self._observer.remember(observation)
            known = self._observer.process is not None
            pause_s = _LOOK_AT_MOST_S if known else min(2 * pause_s, _LOOK_AT_MOST_S)
            await self._pause(pause_s)
            # Its pid tells all, and costs nothing; so does an answer under way.
            known = known or self._owner.in_use()
            observation = None if known or self._halted else await self._observer.look()
        return "was stopped"

    async def _shows_life(self) -> bool:
        """
        Whether it answers, though no look has found it: a status may fail to ask.
        """
        return self._observer.unsurely_absent and (
            not self._observer.surely_absent
            or self._owner.in_use()
            or await self._owner.is_healthy()
        )

    def _shows_end(self, observation: Observation) -> bool:
        late = self._reactor.seconds() >= self._late_at_s
        absent = observation.absent and (self._was_up or late or not self._control.slow)
        return absent or (observation.ended and observation.pid is None)

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
        self._termination.arm_kill()
        if self._starting is not None:
            self._starting.cancel()
        self._wake()

    def kill(self) -> None:
        self.halt()
        self._observer.kill()

    def remains(self) -> str:
        return self._termination.remains

    @property
    def running(self) -> bool:
        if self._up and self._observer.process_has_ended:
            self._up = False
            self._reactor.callLater(0, self._wake)
        return self._up

    @property
    def serving(self) -> bool:
        return self.running and self._observer.holds_port()

    def port_conflict(self) -> str | None:
        conflict = self._observer.port_conflict() if self.running else None
        # If it has ended its listener went with it, and no other process is to blame.
        return conflict if self.running else "it has ended"

    def last_words(self) -> str:
        return self._observer.last_words
