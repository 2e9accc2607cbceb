"""
Finder: which daemons are up without our doing, and what keeps one from being started.

1. At the start and before each load, what runs daemons is asked: launchd, systemd, a
   status. Between them a port that answers is enough, and costs next to nothing.
2. Looks run side by side; one that hangs delays the others by a second, and ends when
   the gateway does.
"""

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.fleet.model_state import ModelState
from swapgate.fleet.supervisor import Supervisor

_T = TypeVar("_T")
# So long the others' managers are waited for at the start, and before each load.
_AT_START_S, _BEFORE_LOAD_S = 2.0, 1.0


class Finder:
    """
    Looks at the daemons of all models.
    """

    _log = Logger()

    def __init__(
        self,
        states: Mapping[str, ModelState],
        supervisor: Supervisor,
        clock: IReactorTime,
    ) -> None:
        self._states, self._supervisor, self._clock = states, supervisor, clock
        # In the order in which they began.
        self._looks: dict[Deferred[Any], None] = {}

    async def find_all(self, *, ask: bool) -> None:
        """
        Take over the daemons that are up; what takes longer than two seconds goes on.

        :param ask: ask what runs them; else only look whether a port answers.
        """
        found = Deferred.fromCoroutine(self._find_others(None, ask=ask))
        await within(_AT_START_S, found, self._clock)

    async def _find_others(self, but: ModelState | None, *, ask: bool) -> None:
        await gatherResults(
            [
                self._find(state, ask=ask)
                for state in self._states.values()
                if state is not but and not state.claimed
            ]
        )

    def _find(self, state: ModelState, *, ask: bool) -> Deferred[None]:
        found = self._look(self._supervisor.find(state, ask=ask))
        return found.addErrback(self._note_bug, state)

    def _note_bug(self, failure: Failure, state: ModelState) -> None:
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=state.spec.name
            )

    def _look(self, looking: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        look = Deferred.fromCoroutine(looking)
        self._looks[look] = None

        def note_end(result: _T | Failure) -> _T | Failure:
            self._looks.pop(look, None)
            return result

        return look.addBoth(note_end)

    def check(self, state: ModelState) -> Deferred[str | None]:
        """
        Before a model is evicted for this one, or this one is loaded: why it cannot be
        started, or None, also where it turns out to be up already.
        """
        checked = self._look(self._check(state))
        return checked.addErrback(lambda failure: f"cannot be run: {failure.value}")

    async def _check(self, state: ModelState) -> str | None:
        around = Deferred.fromCoroutine(self._find_others(state, ask=True))
        await self._supervisor.find(state)
        await within(_BEFORE_LOAD_S, around, self._clock)
        return None if state.life.phase.resident else await state.daemon.preflight()

    def stop(self) -> None:
        """
        End all looks: tools may hang in them.
        """
        # The latest first: what waits for another look would go on after that.
        for look in reversed(list(self._looks)):
            look.cancel()


async def within(seconds: float, done: Deferred[None], clock: IReactorTime) -> None:
    """
    Wait for `done`, though not longer; what is not done by then goes on.
    """
    waiting: Deferred[None] = Deferred()
    # After the time-out it is called for nothing, which a Deferred allows once.
    done.addBoth(lambda _: waiting.callback(None))
    await waiting.addTimeout(seconds, clock, lambda *_: None)
