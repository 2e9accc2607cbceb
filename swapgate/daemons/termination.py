"""
Termination: stops a daemon that a service manager runs, and proves that it is gone.

Gone means that nothing of it runs, that nothing of it answers, and that the service
manager will not start it again. The record of a service vanishes before its memory is
free, so the processes that were known are looked for, too.
"""

from attrs import define
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.daemons import processes
from swapgate.daemons.control import port_answers
from swapgate.daemons.observer import Observer
from swapgate.daemons.tool import ToolFailed

# Looking whether it is gone: at first, and at most.
_LOOK_S, _LOOK_AT_MOST_S = 0.02, 0.5
# A stop that led to nothing is asked for again.
_STOP_AGAIN_S = 10.0
# Without a process to look at, a port that is still held after SIGKILL and so long
# belongs to another one.
_PORT_PATIENCE_S = 5.0


@define(eq=False)
class Termination:
    """
    The end of one life: by stop, after its stop_timeout by kill, and with proof.
    """

    _log = Logger()

    _observer: Observer
    #: What was there still, at the last look after its stop.
    remains: str = "not looked for yet"
    #: The daemon stays up, and its end is not waited for.
    detached: bool = False
    _kill_call: IDelayedCall | None = None
    _began_s: float = 0.0

    async def end(self) -> None:
        """
        Stop it, and wait until it is gone, however long that takes.
        """
        kill_call = self.arm_kill()
        self._began_s = self._observer.reactor.seconds()
        # A pid that is known, of a process that runs, need not be asked for.
        if self._observer.process is None or self._observer.process_has_ended:
            self._observer.remember(await self._observer.look())
        pause_s, stop_at_s = _LOOK_S, self._observer.reactor.seconds()
        while True:
            if self._observer.reactor.seconds() >= stop_at_s:
                await self._stop()
                stop_at_s = self._observer.reactor.seconds() + _STOP_AGAIN_S
            if self.detached:
                break
            self.remains = await self._look_for_remains()
            if not self.remains:
                break
            if not kill_call.active():
                # Also one that was found, or started anew, after its time was up.
                self._observer.kill()
            await deferLater(self._observer.reactor, pause_s)
            pause_s = min(2 * pause_s, _LOOK_AT_MOST_S)
        self.disarm_kill()

    async def _stop(self) -> None:
        try:
            answer = await self._observer.control.stop()
        except ToolFailed as error:
            complaint = str(error)
        else:
            complaint = answer.complaint if answer.status else ""
        if complaint:
            # No harm where nothing was to be stopped; a look will show it.
            name = self._observer.spec.name
            self._log.info("{model}: {complaint}", model=name, complaint=complaint)

    async def _look_for_remains(self) -> str:
        if running := next(filter(processes.runs, self._observer.known), None):
            return f"process {running.pid}"
        process = self._observer.process
        if process is not None and processes.group_or_session_lives(process.pid):
            return f"a process that process {process.pid} has started"
        observation = await self._observer.look()
        # It may have been started anew in the meantime.
        self._observer.remember(observation)
        if observation is None:
            return self._observer.last_words
        if not observation.absent:
            return f"its service ({observation.note or observation.state.value})"
        process = self._observer.process
        if process is not None:
            # A listener on its port is another process: its own was looked for above.
            return f"process {process.pid}" if processes.runs(process) else ""
        return await self._look_at_port()

    async def _look_at_port(self) -> str:
        """
        The same where no process is known, and only a port can be looked at.
        """
        upstream = self._observer.upstream
        if self._observer.control.port_counts:
            # When its manager has long said that it is gone, its port is another's.
            past_s = self._observer.spec.stop_timeout_s + _PORT_PATIENCE_S
            late = self._observer.reactor.seconds() >= self._began_s + past_s
            believed = self._observer.control.has_status and late
        else:
            believed = self._observer.surely_absent or not upstream.loopback
        if believed or not await port_answers(upstream, self._observer.reactor):
            return ""
        return f"a listener on port {upstream.port}"

    def arm_kill(self) -> IDelayedCall:
        """
        From now on it has its stop_timeout.
        """
        if self._kill_call is None:
            self._kill_call = self._observer.reactor.callLater(
                self._observer.spec.stop_timeout_s, self._observer.kill
            )
        return self._kill_call

    def disarm_kill(self) -> None:
        if self._kill_call is not None and self._kill_call.active():
            self._kill_call.cancel()
        self._kill_call = None
