"""
Outlook: what a request that waits is told, and behind what it waits.
"""

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from operator import attrgetter, itemgetter

from attrs import define
from twisted.internet.interfaces import IReactorTime

from swapgate.fleet.history import LoadTimes
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.moves import ModelView
from swapgate.fleet.timeline import Waiting

# So many models are named with a change for which requests waited.
_NAMED = 5
# From here on minutes will do.
_LONG_S = 120.0


@define
class Outlook:
    """
    Reads the states of all models; changes none.

    :param stuck_before: of a model, the views of those whose endless stop it waits for.
    """

    _states: Mapping[str, ModelState]
    _load_times: LoadTimes
    _clock: IReactorTime
    _stuck_before: Callable[[str], Sequence[ModelView]]

    def of(self, entry: QueuedRequest) -> str:
        """
        The text of a waiting comment.
        """
        name, state = entry.model, self._states[entry.model]
        loading_s, estimate_s = state.queue.loading_s, self._load_times.estimate(name)
        if (stop := self.stopping(name)) is not None:
            words = f"waiting for {stop[0]} to stop, {stop[1]:.0f} s so far"
        elif loading_s is None:
            words = f"waiting for {name}, {self._clock.seconds() - entry.asked_s:.0f} s"
        elif estimate_s is None:
            words = f"loading {name}, {loading_s:.0f} s"
        else:
            words = f"loading {name}, {loading_s:.0f} s of about {estimate_s:.0f} s"
        if (answer := self.behind(name)) is not None:
            words += f", behind an answer of {answer[0]}, {_time(answer[1])} so far"
        ahead = sum(
            len(other.queue)
            for other in self._states.values()
            if other.queue_number < state.queue_number
        )
        if state.spec.max_active is not None:
            # Else all that wait for one model are served together.
            ahead += state.queue.before(entry)
        return f"{words}, {ahead} ahead" if ahead else words

    def who_waits(self) -> tuple[Waiting, ...]:
        """
        For which models requests wait now: those that have waited for the longest.
        """
        now_s = self._clock.seconds()
        waiting = (
            Waiting(name, len(state.queue), now_s - first.asked_s)
            for name, state in self._states.items()
            if (first := next(iter(state.queue.entries), None)) is not None
        )
        return tuple(nlargest(_NAMED, waiting, key=attrgetter("longest_s")))

    def stopping(self, name: str) -> tuple[str, float] | None:
        """
        The oldest stop without end that this model waits for: of which model, and its
        seconds so far.
        """
        if not any(state.stuck for state in self._states.values()):
            return None
        now_s = self._clock.seconds()
        found = (
            (view.name, now_s - self._states[view.name].since_s)
            for view in self._stuck_before(name)
        )
        return max(found, key=itemgetter(1), default=None)

    def waits_for(self, name: str) -> tuple[str, str | None]:
        """
        What the first request of this model waits for, and of which model: a "load",
        a "stop" that does not end, an "answer", an "unload", or its "turn" after one.
        """
        if self._states[name].life.phase is Phase.STARTING:
            return "load", name
        if (stop := self.stopping(name)) is not None:
            return "stop", stop[0]
        if (answer := self.behind(name)) is not None:
            return "answer", answer[0]
        stopping = (
            (state.since_s, other)
            for other, state in self._states.items()
            if state.life.phase is Phase.STOPPING
        )
        if (oldest := min(stopping, default=None)) is not None:
            return "unload", oldest[1]
        answering = [n for n, state in self._states.items() if state.leases]
        # Of several it is not known here which one will go.
        return "turn", answering[0] if len(answering) == 1 else None

    def behind(self, name: str) -> tuple[str, float] | None:
        """
        The oldest answer that has to end before this model is served: of which model,
        and its seconds so far.
        """
        wanted, now_s = self._states[name], self._clock.seconds()
        if wanted.life.phase is Phase.STARTING:
            return None
        found = (
            (state.spec.name, now_s - since_s)
            for state in self._states.values()
            if (
                state.life.phase is Phase.DRAINING
                or (state is wanted and state.room == 0)
            )
            and (since_s := state.answering_since_s) is not None
        )
        return max(found, key=itemgetter(1), default=None)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _LONG_S else f"{seconds // 60:.0f} min"
