"""
How does a daemon that somebody else runs end, and what proves that it is gone?
"""

import os
import signal
from contextlib import suppress
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.config import ModelSpec
from swapgate.daemons import lives
from swapgate.daemons.commands import ToolFailed
from swapgate.daemons.control import Control, Sight, State, port_answers

# Looking whether it is gone: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.02, 0.5
# A stop that led to nothing is asked for again.
_STOP_AGAIN_S = 10.0


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
    process: lives.Process | None = None
    # What a tool said last.
    words: str = ""
    # What was there still, at the last look after its stop.
    remains: str = "not looked for yet"
    # It stays, and nobody is told of its end.
    let_go: bool = False
    _kill_call: IDelayedCall | None = None

    async def look(self) -> Sight | None:
        """
        What is known of it; None where nobody can tell.
        """
        try:
            return await self._control.look()
        except ToolFailed as error:
            self.words = str(error)
            self._log.warn("{model}: {error}", model=self._spec.name, error=str(error))
            return None

    async def remember(self, sight: Sight | None) -> None:
        """
        Its pid must be known before the record that tells it vanishes.
        """
        if sight is not None and sight.pid is not None:
            self.process = await lives.find(self._reactor, sight.pid)

    @property
    def process_has_ended(self) -> bool:
        """
        A quick look, which knows nothing where no process is known.
        """
        return self.process is not None and not lives.seems_to_run(self.process.pid)

    async def end(self) -> None:
        """
        Stop it, and wait until it is gone, however long that takes.
        """
        kill_call = self.arm_kill()
        await self.remember(await self.look())
        pause_s, stop_at_s = _LOOK_S, self._reactor.seconds()
        while True:
            if self._reactor.seconds() >= stop_at_s:
                await self._stop()
                stop_at_s = self._reactor.seconds() + _STOP_AGAIN_S
            if self.let_go or await self._is_gone():
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
        Nothing runs, nothing answers, and nobody will start it again.
        """
        self.remains = await self._look_for_remains()
        return not self.remains

    async def _look_for_remains(self) -> str:
        if self.process and await lives.runs(self._reactor, self.process):
            return f"process {self.process.pid}"
        if await self.port_is_taken():
            assert self._spec.upstream is not None
            return f"a listener on port {self._spec.upstream.port}"
        sight = await self.look()
        # It may have been started anew in the meantime.
        await self.remember(sight)
        if sight is None:
            return self.words
        if sight.state is not State.ABSENT:
            return f"its service ({sight.note or sight.state.value})"
        return ""

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
        killed = Deferred.fromCoroutine(self._kill(self.process))
        killed.addErrback(
            lambda failure: self._log.failure(
                "{model}: could not be killed", failure, model=self._spec.name
            )
        )

    async def _kill(self, process: lives.Process | None) -> None:
        if process is not None and await lives.runs(self._reactor, process):
            # Another user's is left to whoever runs it.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
