"""
Timeline: the phases of all models in the last hour, and who waited meanwhile.

Bounded in time and in number; what goes first is the oldest. Times are seconds of the
fleet's clock.
"""

from collections import deque
from collections.abc import Iterator
from itertools import count
from math import inf

from attrs import define, field, frozen

from swapgate.fleet.lifecycle import Phase

HOUR_S = 3600.0
# Of phases for all models together, of waits for each: all of it is told in one answer,
# which must not hold up streams. A swap is five phases.
_PHASES, _WAITS = 2000, 50
# Waits that come closer together are shown as one.
_GAP_S = 1.0


@frozen
class Waiting:
    """
    The requests that wait for one model at some moment.

    :param longest_s: how long the first of them has waited.
    """

    model: str
    requests: int
    longest_s: float


def more(
    before: tuple[Waiting, ...], after: tuple[Waiting, ...]
) -> tuple[Waiting, ...]:
    """
    Of two moments the one when more waited, or had waited for longer.
    """
    return max(after, before, key=lambda each: sum(w.requests for w in each))


@define
class PhaseSpan:
    """
    For how long a model was in a phase.

    :param cause: why it came to it, or to the phases before that led here.
    :param waiting: who waited when it began or ended, whichever were more.
    :param ended_s: inf while it goes on.
    :param number: no other one's, as long as the gateway runs.
    """

    model: str
    phase: Phase
    cause: str
    began_s: float
    waiting: tuple[Waiting, ...] = ()
    ended_s: float = inf
    number: int = field(default=0, eq=False)


@define
class Timeline:
    """
    The phases of all models, in the order in which they began.
    """

    _spans: deque[PhaseSpan] = field(factory=lambda: deque(maxlen=_PHASES))
    _present: dict[str, PhaseSpan] = field(factory=dict)
    _numbers: Iterator[int] = field(factory=count)

    def note(
        self,
        model: str,
        phase: Phase,
        cause: str,
        now_s: float,
        waiting: tuple[Waiting, ...] = (),
    ) -> None:
        """
        This model has come to this phase.

        :param cause: empty where it is the next step of what was begun before.
        """
        before = self._present.get(model)
        if before is not None:
            before.ended_s = now_s
            before.waiting = more(before.waiting, waiting)
            cause = cause or before.cause
        number = next(self._numbers)
        span = PhaseSpan(model, phase, cause, now_s, waiting, number=number)
        self._spans.append(span)
        if phase is Phase.STOPPED:
            # Until it is wanted again, if ever: nothing is to be seen of it.
            self._present.pop(model, None)
            span.ended_s = now_s
        else:
            self._present[model] = span
        while self._spans and self._spans[0].ended_s < now_s - HOUR_S:
            self._spans.popleft()

    def since(self, from_s: float) -> Iterator[PhaseSpan]:
        """
        Those that had not ended by then.
        """
        # What is up for longer than all that was forgotten since is still there.
        kept = set(map(id, self._spans))
        older = [each for each in self._present.values() if id(each) not in kept]
        return (each for each in (*older, *self._spans) if each.ended_s >= from_s)


@define
class WaitSpan:
    """
    A time in which requests waited for a model.

    :param requests: how many came to wait in it.
    :param longest_s: the longest wait of those that have ended.
    :param ended_s: inf while some wait.
    :param number: no other one's of this model.
    """

    began_s: float
    ended_s: float = inf
    requests: int = 0
    longest_s: float = 0.0
    number: int = field(default=0, eq=False)


@define
class WaitSpans:
    """
    Those of one model.
    """

    _spans: deque[WaitSpan] = field(factory=lambda: deque(maxlen=_WAITS))
    _numbers: Iterator[int] = field(factory=count)

    def begin(self, now_s: float) -> None:
        """
        One more request waits.
        """
        last = self._spans[-1] if self._spans else None
        if last is None or last.ended_s < now_s - _GAP_S:
            last = WaitSpan(now_s, number=next(self._numbers))
            self._spans.append(last)
        last.ended_s = inf
        last.requests += 1
        while self._spans[0].ended_s < now_s - HOUR_S:
            self._spans.popleft()

    def end(self, now_s: float, waited_s: float, *, left: bool) -> None:
        """
        One waits no longer.

        :param left: whether others do.
        """
        if not self._spans:
            return
        last = self._spans[-1]
        last.longest_s = max(last.longest_s, waited_s)
        if not left:
            last.ended_s = now_s

    def since(self, from_s: float) -> Iterator[WaitSpan]:
        return (each for each in self._spans if each.ended_s >= from_s)
