"""
Outlook: what a request that waits is told, and behind what it waits.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from attrs import define
from twisted.internet.interfaces import IReactorTime

from swapgate.fleet.history import LoadTimes, say_wait
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.planner import ModelView


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
        state = self._states[entry.model]
        # Of one model all are served together, unless it takes only so many.
        same = 0 if state.spec.max_active is None else state.queue.before(entry)
        return say_wait(
            entry.model,
            waited_s=self._clock.seconds() - entry.asked_s,
            loading_s=state.queue.loading_s,
            estimate_s=self._load_times.estimate(entry.model),
            ahead=same
            + sum(
                len(other.queue)
                for other in self._states.values()
                if other.queue_number < state.queue_number
            ),
            stopping=self.stopping(entry.model),
            behind=self.behind(entry.model),
        )

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
