"""
What was loaded and unloaded lately, why, and how long did it take?
"""

from collections import deque
from collections.abc import Iterator

from attrs import define, field

from swapgate.phases import Phase

_REMEMBERED = 50


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

    _all: deque[Swap] = field(factory=lambda: deque(maxlen=_REMEMBERED), init=False)
    _under_way: dict[str, Swap] = field(factory=dict, init=False)

    def note(
        self,
        model: str,
        before: Phase,
        after: Phase,
        reason: str,
        now_s: float,
        *,
        failed: bool = False,
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
