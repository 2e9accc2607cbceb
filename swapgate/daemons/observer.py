"""
Observer: what is known of one life of a daemon that a service manager runs.

1. Its pid is remembered before the record that tells it vanishes.
2. A look that failed proves nothing, and an unsure one only together with others.
"""

from contextlib import suppress
from math import inf
from typing import Any

import psutil
from attrs import define, field
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons import processes
from swapgate.daemons.control import Control, Observation, port_answers
from swapgate.daemons.tool import ToolFailed

# So many looks, over so long, that all found nothing are believed, though each of them
# may have failed.
_LOOKS, _LOOKS_OVER_S = 3, 3.0
# For the service manager to notice its end.
_LOOKS_AFTER_END, _LOOK_AFTER_END_S = 5, 0.05


@define(eq=False)
class Observer:
    """
    Looks through the control, and remembers the processes that the looks have shown.
    """

    _log = Logger()

    spec: ModelSpec
    upstream: Upstream
    control: Control
    reactor: Any
    #: Its main process, as it was at the last look.
    process: psutil.Process | None = None
    #: What that has started, as of when it was seen to hold its port.
    relatives: list[psutil.Process] = field(factory=list)
    #: What the last look has shown; None if it failed.
    observation: Observation | None = None
    looked_at_s: float = -inf
    #: What a tool said last.
    last_words: str = ""
    _absent: int = 0
    _absent_since_s: float = 0.0
    _holder: processes.PortHolder | None = None

    async def look(self) -> Observation | None:
        """
        Look once; None where that fails.
        """
        try:
            self.observation = await self.control.look()
        except ToolFailed as error:
            self.observation = None
            if str(error) != self.last_words:
                self.last_words = str(error)
                self._log.warn("{model}: {error}", model=self.spec.name, error=error)
        self.looked_at_s = self.reactor.seconds()
        if self.unsurely_absent:
            if not self._absent:
                self._absent_since_s = self.looked_at_s
            self._absent += 1
        elif self.observation is not None:
            self._absent = 0
        return self.observation

    @property
    def unsurely_absent(self) -> bool:
        """
        Whether the last look has not found it, and may be wrong.
        """
        observation = self.observation
        return observation is not None and observation.absent and not observation.sure

    @property
    def surely_absent(self) -> bool:
        """
        Whether the last look has shown that it does not run, or several have.
        """
        if self.observation is None or not self.observation.absent:
            return False
        return self.observation.sure or (
            self._absent >= _LOOKS
            and self.reactor.seconds() - self._absent_since_s >= _LOOKS_OVER_S
        )

    def remember(self, observation: Observation | None) -> None:
        """
        Note its process, if the look has shown one.
        """
        if observation is not None and observation.pid is not None:
            # Too few descriptors, say: the next look may tell.
            with suppress(OSError):
                self.process = processes.find(observation.pid) or self.process

    @property
    def known(self) -> list[psutil.Process]:
        """
        Its main process, if that is known, and what it has started.
        """
        return [*([self.process] if self.process else ()), *self.relatives]

    @property
    def process_has_ended(self) -> bool:
        """
        A quick look, which knows nothing where no process is known.
        """
        return self.process is not None and not processes.runs(self.process)

    async def reason_of_end(self) -> str:
        """
        What the service manager knows of an end that was seen before it saw it.
        """
        assert self.process is not None
        for _ in range(_LOOKS_AFTER_END):
            observation = await self.look()
            if observation is None or observation.pid != self.process.pid:
                break
            await deferLater(self.reactor, _LOOK_AFTER_END_S)
        return observation.reason if observation is not None else "ended by itself"

    async def port_is_taken(self) -> bool:
        """
        Whether something listens where nothing may while the daemon does not run.
        """
        return self.control.port_counts and await port_answers(
            self.upstream, self.reactor
        )

    def holds_port(self) -> bool:
        """
        Whether the process still listens there, as far as the system shows it.
        """
        if self.process is None or not self.upstream.loopback:
            return True
        if self._holder is None:
            self._holder = processes.PortHolder(
                self.reactor, self.process.pid, self.upstream.port
            )
        return self._holder.holds()

    def port_conflict(self) -> str | None:
        """
        Why what listens there may not be the process; what that has started is noted.
        """
        if self.process is None or not self.upstream.loopback:
            return None
        pid = self.process.pid
        self._holder = processes.PortHolder(self.reactor, pid, self.upstream.port)
        conflict = self._holder.conflict()
        if conflict is None:
            with suppress(psutil.Error, OSError):
                self.relatives = list(processes.relatives(pid))
        return conflict

    def kill(self) -> None:
        for process in self.known:
            # Another user's is left to the service manager.
            with suppress(psutil.Error):
                process.kill()
