"""
Shutdown: how the fleet ends. Answers first, then our children, all within a bound.
"""

from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.fleet.lease import STOPPING, ShuttingDown
from swapgate.fleet.lifecycle import Event, Phase
from swapgate.fleet.model_state import ModelState

# Of shutdown_timeout, what may be spent on letting answers end.
_DRAIN_SHARE = 2 / 3
# And how long before its end what still runs is killed, as a share and at most.
_KILL_SHARE, _KILL_BEFORE_END_S = 1 / 6, 1.0


@define
class Shutdown:
    """
    The last seconds of a fleet. Daemons that are not ours stay as they are.

    :param tell: the scheduler's inbox.
    """

    _states: Mapping[str, ModelState]
    _tell: Callable[[ModelState, Event, str], None]
    _timeout_s: float
    _clock: IReactorTime
    _over: Deferred[None] = field(factory=Deferred, init=False)
    _log = Logger()

    def begin(self) -> Deferred[None]:
        """
        Refuse the requests that wait, and let the others end.
        """
        all_s, later = self._timeout_s, self._clock.callLater
        end_s = self._clock.seconds() + all_s
        calls = [
            later(all_s * _DRAIN_SHARE, self._halt_all),
            later(all_s - min(all_s * _KILL_SHARE, _KILL_BEFORE_END_S), self._kill_all),
            later(all_s, self._stop_waiting),
        ]
        for state in self._states.values():
            state.queue.refuse(ShuttingDown)
            for lease in state.leases:
                # What stops us may end our children at the same moment.
                lease.ended = STOPPING
        for state in self._children():
            if state.life.phase in {Phase.STARTING, Phase.READY}:
                self._tell(state, Event.EVICTED, "the gateway stops")
        stopped = self._over.addBoth(lambda _: self._let_go(calls, end_s))
        self.check()
        return stopped

    def _let_go(self, calls: list[IDelayedCall], end_s: float) -> Deferred[None]:
        """
        Leave the daemons that stay to themselves, all at once, in the time left.
        """
        for call in calls:
            if call.active():
                call.cancel()
        left_s = max(end_s - self._clock.seconds(), 0.0)
        gone = []
        for state in self._states.values():
            if not state.daemon.outlives_gateway:
                continue
            for told in state.unloads.take():
                told.errback(ShuttingDown())
            state.end_life()
            detached = maybeDeferred(state.daemon.detach)
            detached.addTimeout(left_s, self._clock).addErrback(self._note, state)
            gone.append(detached)
        return gatherResults(gone).addCallback(lambda _: None)

    def _note(self, failure: Failure, state: ModelState) -> None:
        self._log.warn(
            "{model}: not let go in time: {why}",
            model=state.spec.name,
            why=failure.getErrorMessage(),
        )

    def _children(self) -> list[ModelState]:
        """
        The daemons that are up and end with us.
        """
        return [
            state
            for state in self._states.values()
            if state.life.phase.resident and not state.daemon.outlives_gateway
        ]

    def _halt_all(self) -> None:
        """
        Cut the answers that have not ended, of whatever daemon; ours end after them.
        """
        for state in self._states.values():
            state.cut_answers(STOPPING)
        for state in self._children():
            if state.life.phase is Phase.DRAINING:
                self._tell(state, Event.IDLE, "")

    def _kill_all(self) -> None:
        for state in self._children():
            state.daemon.kill()

    def _stop_waiting(self) -> None:
        self._log.error("something is still under way after shutdown_timeout")
        self._over.callback(None)

    def check(self) -> None:
        """
        Is it over?
        """
        if self._over.called or self._children():
            return
        if not any(state.leases for state in self._states.values()):
            self._over.callback(None)
