"""
How does a daemon that somebody else runs end, and what proves that it is gone?
"""

from contextlib import suppress
from math import inf
from typing import Any

import psutil
from attrs import define, field
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.config.model import ModelSpec
from swapgate.daemons import processes
from swapgate.daemons.control import Control, Observation, State, port_answers
from swapgate.daemons.tool import ToolFailed

# Looking whether it is gone: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.02, 0.5
# A stop that led to nothing is asked for again.
_STOP_AGAIN_S = 10.0
# So many looks, over so long, that all found nothing are believed, though each of them
# may have failed.
_LOOKS, _LOOKS_OVER_S = 3, 3.0
# Without a process to look at, a port that is still held after SIGKILL and so long
# belongs to another one.
_PORT_PATIENCE_S = 5.0


@define(eq=False)
class Ending:
    """
    Of one life: what is known of it, and its end by stop, by kill, and with proof.
    """

    _log = Logger()

    _spec: ModelSpec
    _control: Control
    _reactor: Any
    # Its main process, as it was when we last looked.
    process: psutil.Process | None = None
    # What that has started, as of when it was up.
    family: list[psutil.Process] = field(factory=list)
    # The manager's last word on it.
    observation: Observation | None = None
    looked_at_s: float = -inf
    _absent: int = 0
    _absent_since_s: float = 0.0
    # What a tool said last.
    words: str = ""
    # What was there still, at the last look after its stop.
    remains: str = "not looked for yet"
    # It stays, and nobody is told of its end.
    detach: bool = False
    _kill_call: IDelayedCall | None = None
    _began_s: float = 0.0

    async def look(self) -> Observation | None:
        """
        What is known of it; None where nobody can tell.
        """
        try:
            self.observation = await self._control.look()
        except ToolFailed as error:
            self.observation = None
            if str(error) != self.words:
                self.words = str(error)
                self._log.warn("{model}: {error}", model=self._spec.name, error=error)
        observation, self.looked_at_s = self.observation, self._reactor.seconds()
        if (
            observation is not None
            and observation.state is State.ABSENT
            and not observation.sure
        ):
            if not self._absent:
                self._absent_since_s = self.looked_at_s
            self._absent += 1
        elif observation is not None:
            self._absent = 0
        return observation

    @property
    def surely_absent(self) -> bool:
        """
        Whether the last look has shown that it does not run, or several have.
        """
        if self.observation is None or self.observation.state is not State.ABSENT:
            return False
        return self.observation.sure or (
            self._absent >= _LOOKS
            and self._reactor.seconds() - self._absent_since_s >= _LOOKS_OVER_S
        )

    def remember(self, observation: Observation | None) -> None:
        """
        Its pid must be known before the record that tells it vanishes.
        """
        if observation is not None and observation.pid is not None:
            # Too few descriptors, say: the next look may tell.
            with suppress(OSError):
                self.process = processes.find(observation.pid) or self.process

    @property
    def process_has_ended(self) -> bool:
        """
        A quick look, which knows nothing where no process is known.
        """
        return self.process is not None and not processes.seems_to_run(self.process)

    async def end(self) -> None:
        """
        Stop it, and wait until it is gone, however long that takes.
        """
        kill_call = self.arm_kill()
        self._began_s = self._reactor.seconds()
        # A pid that is known, of a process that runs, need not be asked for.
        if self.process is None or self.process_has_ended:
            self.remember(await self.look())
        pause_s, stop_at_s = _LOOK_S, self._reactor.seconds()
        while True:
            if self._reactor.seconds() >= stop_at_s:
                await self._stop()
                stop_at_s = self._reactor.seconds() + _STOP_AGAIN_S
            if self.detach or await self._is_gone():
                break
            if not kill_call.active():
                # Also one that was found, or started anew, after its time was up.
                self.kill()
            await deferLater(self._reactor, pause_s)
            pause_s = min(2 * pause_s, _LOOK_AT_MOST_S)
        self.disarm_kill()

    async def _stop(self) -> None:
        try:
            answer = await self._control.stop()
        except ToolFailed as error:
            complaint = str(error)
        else:
            complaint = answer.complaint if answer.status else ""
        if complaint:
            # No harm where nothing was to be stopped; `_is_gone` knows.
            self._log.info(
                "{model}: {complaint}", model=self._spec.name, complaint=complaint
            )

    async def _is_gone(self) -> bool:
        """
        Nothing of it runs, nothing of it answers, and nothing will start it again.
        """
        self.remains = await self._look_for_remains()
        return not self.remains

    async def _look_for_remains(self) -> str:
        known = self.process and (self.process, *self.family)
        if running := next(filter(processes.runs, known or ()), None):
            return f"process {running.pid}"
        if self.process is not None and processes.family_lives(self.process.pid):
            return f"a process that process {self.process.pid} has started"
        observation = await self.look()
        # It may have been started anew in the meantime.
        self.remember(observation)
        if observation is None:
            return self.words
        if observation.state is not State.ABSENT:
            return f"its service ({observation.note or observation.state.value})"
        if self.process is not None:
            # What holds its port now is another's: it was looked for above.
            again = processes.runs(self.process)
            return f"process {self.process.pid}" if again else ""
        return await self._look_at_port(observation)

    async def _look_at_port(self, observation: Observation) -> str:
        """
        The same where no process is known, and only a port can be looked at.
        """
        upstream = self._spec.upstream
        assert upstream is not None
        if self._control.port_counts:
            # When its manager has long said that it is gone, its port is another's.
            past_s = self._spec.stop_timeout_s + _PORT_PATIENCE_S
            late = self._reactor.seconds() >= self._began_s + past_s
            believed = self._control.tells and late
        else:
            believed = observation.sure or self.surely_absent or not upstream.loopback
        if believed or not await port_answers(upstream, self._reactor):
            return ""
        return f"a listener on port {upstream.port}"

    async def port_is_taken(self) -> bool:
        """
        Whether anybody listens where nobody must while the daemon does not run.
        """
        assert self._spec.upstream is not None
        return self._control.port_counts and await port_answers(
            self._spec.upstream, self._reactor
        )

    def arm_kill(self) -> IDelayedCall:
        """
        From now on it has its stop_timeout.
        """
        if self._kill_call is None:
            self._kill_call = self._reactor.callLater(
                self._spec.stop_timeout_s, self.kill
            )
        return self._kill_call

    def disarm_kill(self) -> None:
        if self._kill_call is not None and self._kill_call.active():
            self._kill_call.cancel()
        self._kill_call = None

    def kill(self) -> None:
        for process in (*([self.process] if self.process else ()), *self.family):
            # Another user's is left to what runs it.
            with suppress(psutil.Error):
                process.kill()
