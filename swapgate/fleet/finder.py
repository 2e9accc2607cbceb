"""
Finder: which daemons are up without our doing, and what keeps one from being started.

1. At the start and before each load, what runs daemons is asked: launchd, systemd, a
   status. Between them a port that answers is enough, and costs next to nothing.
2. Looks run side by side; one that hangs delays the others by a second, and ends when
   the gateway does.
"""

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.fleet.model_state import Look, ModelState
from swapgate.fleet.supervisor import Supervisor

_T = TypeVar("_T")
# So long the others' managers are waited for at the start, and before each load.
_AT_START_S, _BEFORE_LOAD_S = 2.0, 1.0
# A look that takes longer hangs: no other check waits for it.
_LOOK_HANGS_S = 1.0


@define
class Finder:
    """
    Looks at the daemons of all models.
    """

    _states: Mapping[str, ModelState]
    _supervisor: Supervisor
    _clock: IReactorTime
    # In the order in which they began.
    _looks: list[Deferred[Any]] = field(factory=list, init=False)
    _log = Logger()

    async def find_all(self, *, ask: bool) -> None:
        """
        Take over the daemons that are up; what takes longer than two seconds goes on.

        :param ask: ask what runs them; else only look whether a port answers.
        """
        await _within(_AT_START_S, self._find_others(None, ask=ask), self._clock)

    def _find_others(self, but: ModelState | None, *, ask: bool) -> Deferred[Any]:
        return gatherResults(
            [
                self._look(self._find(state, ask=ask)).addErrback(self._note_bug, state)
                for state in self._states.values()
                if state is not but and not state.claimed
            ]
        )

    def _note_bug(self, failure: Failure, state: ModelState) -> None:
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=state.spec.name
            )

    def _look(self, looking: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        look = Deferred.fromCoroutine(looking)
        self._looks = [*(each for each in self._looks if not each.called), look]
        return look

    async def _find(self, state: ModelState, *, ask: bool) -> None:
        """
        Take it over if it is up. A look that is under way is waited for instead, and
        made again where it has asked less.
        """
        while state.may_be_found and (look := state.look) is not None:
            hangs = self._clock.seconds() - look.since_s >= _LOOK_HANGS_S
            if not ask or hangs:
                return
            await _end_of(look.over)
            if look.asks:
                return
        if state.may_be_found:
            look = Look(self._clock.seconds(), ask)
            state.look_begins(look)
            try:
                await self._supervisor.find(state, ask=ask)
            finally:
                look.over.callback(None)

    def check(self, state: ModelState) -> Deferred[str | None]:
        """
        Before a model is evicted for this one, or this one is loaded: why it cannot be
        started, or None, also where it turns out to be up already.
        """
        checked = self._look(self._check(state))
        return checked.addErrback(lambda failure: f"cannot be run: {failure.value}")

    async def _check(self, state: ModelState) -> str | None:
        around = self._find_others(state, ask=True)
        await self._find(state, ask=True)
        await _within(_BEFORE_LOAD_S, around, self._clock)
        return None if state.life.phase.resident else await state.daemon.preflight()

    def stop(self) -> None:
        """
        End all looks: tools may hang in them.
        """
        # The latest first: what waits for another look would go on after that.
        for look in reversed(self._looks):
            look.cancel()


def _end_of(done: Deferred[None]) -> Deferred[None]:
    """
    Fires when `done` has; to cancel it cancels the wait alone.
    """
    waiting: Deferred[None] = Deferred()
    # Where it was cancelled this is for nothing, which a Deferred allows once.
    done.addBoth(lambda _: waiting.callback(None))
    return waiting


async def _within(seconds: float, done: Deferred[None], clock: IReactorTime) -> None:
    """
    Wait for `done`, though not longer; what is not done by then goes on.
    """
    await _end_of(done).addTimeout(seconds, clock, lambda *_: None)
