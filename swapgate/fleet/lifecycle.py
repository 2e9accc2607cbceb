"""
Lifecycle: the state machine of one daemon, a table (phase, event) -> phase, actions.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen


class Phase(Enum):
    """
    Where a daemon stands.
    """

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    FAILED = "failed"

    @property
    def resident(self) -> bool:
        """
        Whether a daemon in this phase counts against the memory budget.
        """
        return self not in {Phase.STOPPED, Phase.FAILED}


class Event(Enum):
    """
    What can happen to a daemon.
    """

    # The planner's Start, not a request.
    WANTED = "wanted"
    HEALTHY = "healthy"
    # The load took too long, or a stranger answered in the daemon's place.
    TIMED_OUT = "timed out"
    EVICTED = "evicted"
    # Its last answer has been given.
    IDLE = "idle"
    # It ended by itself; its memory is not proven free yet.
    DIED = "died"
    # It is known to be gone, memory and all.
    EXITED = "exited"
    # It was up before we asked for it.
    FOUND = "found"


class Action(Enum):
    """
    What the supervisor must do on entering a phase.
    """

    LAUNCH = "launch"
    POLL = "poll"
    UNPOLL = "unpoll"
    HALT = "halt"


@frozen
class Life:
    """
    A daemon's phase, and whether the load that is being undone has failed.
    """

    phase: Phase = Phase.STOPPED
    failing: bool = False


class ImpossibleEvent(Exception):
    """
    This event has no place in this phase: a bug of ours.
    """

    def __init__(self, phase: Phase, event: Event) -> None:
        super().__init__(f"{event.name} cannot happen to a daemon in {phase.name}")


_STAYS: tuple[Action, ...] = ()
_Cell = tuple[Life, tuple[Action, ...]]


def _row(phase: Phase, **cells: _Cell | None) -> Mapping[tuple[Phase, Event], _Cell]:
    """
    One row of the table; None stays in the phase, an event left out is a bug.
    """
    return {
        (phase, Event[name]): (Life(phase), _STAYS) if cell is None else cell
        for name, cell in cells.items()
    }


_LOAD: _Cell = (Life(Phase.STARTING), (Action.LAUNCH, Action.POLL))
_GONE: _Cell = (Life(Phase.STOPPED), ())

_TABLE: Mapping[tuple[Phase, Event], _Cell] = {
    # What is looked for may die before it is found.
    **_row(
        Phase.STOPPED,
        WANTED=_LOAD,
        DIED=None,
        EXITED=None,
        FOUND=(Life(Phase.READY), ()),
    ),
    **_row(
        Phase.STARTING,
        WANTED=None,
        HEALTHY=(Life(Phase.READY), (Action.UNPOLL,)),
        TIMED_OUT=(
            Life(Phase.STOPPING, failing=True),
            (Action.UNPOLL, Action.HALT),
        ),
        EVICTED=(Life(Phase.STOPPING), (Action.UNPOLL, Action.HALT)),
        DIED=(Life(Phase.STOPPING, failing=True), (Action.UNPOLL, Action.HALT)),
        EXITED=(Life(Phase.FAILED), (Action.UNPOLL,)),
        FOUND=None,
    ),
    **_row(
        Phase.READY,
        WANTED=None,
        EVICTED=(Life(Phase.DRAINING), ()),
        IDLE=None,
        DIED=(Life(Phase.STOPPING), (Action.HALT,)),
        EXITED=_GONE,
        FOUND=None,
    ),
    **_row(
        Phase.DRAINING,
        WANTED=(Life(Phase.READY), ()),
        EVICTED=None,
        IDLE=(Life(Phase.STOPPING), (Action.HALT,)),
        DIED=(Life(Phase.STOPPING), (Action.HALT,)),
        EXITED=_GONE,
        FOUND=None,
    ),
    **_row(
        Phase.STOPPING,
        WANTED=None,
        HEALTHY=None,
        EVICTED=None,
        IDLE=None,
        DIED=None,
        EXITED=_GONE,
        FOUND=None,
    ),
    **_row(
        Phase.FAILED,
        WANTED=_LOAD,
        DIED=None,
        EXITED=None,
        FOUND=(Life(Phase.READY), ()),
    ),
}


def step(life: Life, event: Event) -> tuple[Life, tuple[Action, ...]]:
    """
    The life after `event`, and what must be done now.

    :raises ImpossibleEvent: for an empty cell of the table.
    """
    cell = _TABLE.get((life.phase, event))
    if cell is None:
        raise ImpossibleEvent(life.phase, event)
    after, actions = cell
    if after.phase is life.phase:
        return life, actions
    if life.failing and after.phase is Phase.STOPPED:
        return Life(Phase.FAILED), actions
    return after, actions
