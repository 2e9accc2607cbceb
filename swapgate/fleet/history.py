"""
History: how long loads take here, and what was swapped lately.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from statistics import median
from typing import Any

from attrs import define, field

from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.timeline import Timeline, Waiting, more

# So many are remembered; of the swaps, so many are shown with the state.
_LOADS, _SWAPS, _LATEST = 5, 400, 50


@define
class LoadTimes:
    """
    The durations of each model's last loads, in seconds.

    :param keep: is handed all of them whenever there is a new one.
    """

    _keep: Callable[[Mapping[str, list[float]]], None]
    _times: dict[str, list[float]] = field(factory=dict, init=False)

    def recall(self, kept: Any) -> None:
        """
        Take over what was kept, as far as it makes sense.
        """
        if not isinstance(kept, dict):
            return
        for model, times in kept.items():
            if isinstance(times, list):
                good = [t for t in times if isinstance(t, int | float) and 0 <= t < inf]
                self._times[model] = good[-_LOADS:]

    def note(self, model: str, seconds: float) -> None:
        """
        One more load went well, and took so long.
        """
        times = [*self._times.get(model, ()), round(seconds, 3)]
        self._times[model] = times[-_LOADS:]
        self._keep(self._times)

    def estimate(self, model: str) -> float | None:
        """
        How long the next one may take; None where there was none yet.
        """
        times = self._times.get(model)
        return median(times) if times else None


@define
class Swap:
    """
    One load or unload of one model; times are the fleet's clock's seconds.

    :param what: "load" or "unload".
    :param waiting: who waited when it began or ended, whichever were more.
    :param outcome: None while it is under way.
    """

    model: str
    what: str
    cause: str
    began_s: float
    ended_s: float | None = None
    outcome: str | None = None
    waiting: tuple[Waiting, ...] = ()


@define
class Swaps:
    """
    The last ones, the latest last.

    :param who_waits: at this moment.
    """

    _who_waits: Callable[[], tuple[Waiting, ...]] = tuple
    timeline: Timeline = field(factory=Timeline, init=False)
    _all: deque[Swap] = field(factory=lambda: deque(maxlen=_SWAPS), init=False)
    _under_way: dict[str, Swap] = field(factory=dict, init=False)

    def note(
        self,
        model: str,
        before: Phase,
        after: Phase,
        reason: str,
        now_s: float,
        *,
        failed: bool,
    ) -> None:
        """
        This model has gone from one phase to another, for this reason.
        """
        waiting = self._who_waits()
        self.timeline.note(model, after, reason, now_s, waiting)
        begin = partial(self._begin, model, reason, now_s, waiting)
        end = partial(self._end, now_s, waiting)
        swap = self._under_way.get(model)
        match after:
            case Phase.STARTING:
                begin("load")
            case Phase.READY if swap is not None:
                outcome = "ready" if before is Phase.STARTING else "called off"
                end(swap, outcome)
            case Phase.DRAINING:
                begin("unload")
            case Phase.STOPPING if before is Phase.READY:
                begin("unload")
            case Phase.STOPPING if before is Phase.STARTING and swap is not None:
                end(swap, "failed" if failed else "given up")
                begin("unload")
            case Phase.STOPPED | Phase.FAILED if swap is not None:
                end(swap, "failed" if swap.what == "load" else "gone")
            case Phase.STOPPED if before is Phase.READY:
                end(begin("unload"), "gone")

    def _begin(
        self,
        model: str,
        cause: str,
        now_s: float,
        waiting: tuple[Waiting, ...],
        what: str,
    ) -> Swap:
        swap = Swap(model, what, cause, now_s, waiting=waiting)
        self._under_way[model] = swap
        self._all.append(swap)
        return swap

    def _end(
        self, now_s: float, waiting: tuple[Waiting, ...], swap: Swap, outcome: str
    ) -> None:
        del self._under_way[swap.model]
        swap.waiting = more(swap.waiting, waiting)
        swap.ended_s, swap.outcome = now_s, outcome

    def __iter__(self) -> Iterator[Swap]:
        return iter(self._all)

    @property
    def latest(self) -> list[Swap]:
        return list(self._all)[-_LATEST:]

    def since(self, from_s: float) -> Iterator[Swap]:
        """
        Those that had not ended by then.
        """
        return (
            each for each in self._all if each.ended_s is None or each.ended_s >= from_s
        )
