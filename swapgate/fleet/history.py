"""
History: how long loads take here, and what was swapped lately.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import inf
from statistics import median
from typing import Any

from attrs import define, field

from swapgate.fleet.lifecycle import Phase

# So many are remembered.
_LOADS, _SWAPS = 5, 50


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
    :param outcome: None while it is under way.
    """

    model: str
    what: str
    cause: str
    began_s: float
    ended_s: float | None = None
    outcome: str | None = None


@define
class Swaps:
    """
    The last ones, the latest last.
    """

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
        swap = self._under_way.get(model)
        match after:
            case Phase.STARTING:
                self._begin(model, "load", reason, now_s)
            case Phase.READY if swap is not None:
                outcome = "ready" if before is Phase.STARTING else "called off"
                self._end(swap, outcome, now_s)
            case Phase.DRAINING:
                self._begin(model, "unload", reason, now_s)
            case Phase.STOPPING if before is Phase.READY:
                self._begin(model, "unload", reason, now_s)
            case Phase.STOPPING if before is Phase.STARTING and swap is not None:
                self._end(swap, "failed" if failed else "given up", now_s)
                self._begin(model, "unload", reason, now_s)
            case Phase.STOPPED | Phase.FAILED if swap is not None:
                self._end(swap, "failed" if swap.what == "load" else "gone", now_s)
            case Phase.STOPPED if before is Phase.READY:
                self._end(self._begin(model, "unload", reason, now_s), "gone", now_s)

    def _begin(self, model: str, what: str, cause: str, now_s: float) -> Swap:
        swap = self._under_way[model] = Swap(model, what, cause, now_s)
        self._all.append(swap)
        return swap

    def _end(self, swap: Swap, outcome: str, now_s: float) -> None:
        del self._under_way[swap.model]
        swap.ended_s, swap.outcome = now_s, outcome

    def __iter__(self) -> Iterator[Swap]:
        return iter(self._all)
