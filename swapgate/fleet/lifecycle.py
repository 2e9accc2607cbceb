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


_Cell = tuple[Life, tuple[Action, ...]]


def _row(
    phase: Phase, stays: str, **cells: _Cell
) -> Mapping[tuple[Phase, Event], _Cell]:
    """
    One row of the table; an event that is neither a cell nor in `stays` is a bug.
    """
    all_cells = dict.fromkeys(stays.split(), (Life(phase), ())) | cells
    return {(phase, Event[name]): cell for name, cell in all_cells.items()}


_LOAD = (Life(Phase.STARTING), (Action.LAUNCH, Action.POLL))
_LOADED = (Life(Phase.READY), (Action.UNPOLL,))
_UNLOAD = (Life(Phase.STOPPING), (Action.UNPOLL, Action.HALT))
_UNDO = (Life(Phase.STOPPING, failing=True), (Action.UNPOLL, Action.HALT))
_FAIL = (Life(Phase.FAILED), (Action.UNPOLL,))
_SERVE = (Life(Phase.READY), ())
_DRAIN = (Life(Phase.DRAINING), ())
_HALT = (Life(Phase.STOPPING), (Action.HALT,))
_GONE = (Life(Phase.STOPPED), ())

_TABLE: Mapping[tuple[Phase, Event], _Cell] = {
    # What is looked for may die before it is found.
    **_row(Phase.STOPPED, "DIED EXITED", WANTED=_LOAD, FOUND=_SERVE),
    **_row(
        Phase.STARTING,
        "WANTED FOUND",
        HEALTHY=_LOADED,
        TIMED_OUT=_UNDO,
        EVICTED=_UNLOAD,
        DIED=_UNDO,
        EXITED=_FAIL,
    ),
    **_row(Phase.READY, "WANTED IDLE FOUND", EVICTED=_DRAIN, DIED=_HALT, EXITED=_GONE),
    **_row(
        Phase.DRAINING,
        "EVICTED FOUND",
        WANTED=_SERVE,
        IDLE=_HALT,
        DIED=_HALT,
        EXITED=_GONE,
    ),
    **_row(Phase.STOPPING, "WANTED HEALTHY EVICTED IDLE DIED FOUND", EXITED=_GONE),
    **_row(Phase.FAILED, "DIED EXITED", WANTED=_LOAD, FOUND=_SERVE),
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
