"""
Moves: what the planner can have done, and the view of each model that it decides on.
"""

from attrs import field, frozen

from swapgate.fleet.lifecycle import Phase


@frozen(kw_only=True)
class ModelView:
    """
    How one model stands at this moment.

    `memory` and the budget share a unit. A doubtful daemon may be dead: it is asked
    nothing until that is known. A pinned one is never evicted; one to be preloaded is
    loaded whenever there is room.

    :param last_used: any clock's seconds; of one that drains, when that began.
    :param lingers: it has answered so lately that only the overdue may evict it.
    :param full: it answers as many at a time as it may.
    :param leaving: it is to be unloaded, whatever waits for it.
    :param overdue: a request has waited for it so long that others must make way.
    :param unchecked: whether it can be started at all is yet to be looked at; nothing
        is evicted for it before, and it is not started.
    :param follow_ups: requests wait for it that follow a stream which has just ended
        here; they are admitted even if its turn is over.
    :param stuck: its stop does not end: its memory counts, and nothing waits for it
        that could be had otherwise.
    """

    name: str
    phase: Phase
    memory: int
    last_used: float
    in_flight: int
    suspect: bool
    pinned: bool
    preload: bool
    lingers: bool
    full: bool
    leaving: bool
    overdue: bool
    unchecked: bool
    follow_ups: bool
    stuck: bool


@frozen
class Admit:
    """
    Admit the requests that wait for this model, as many as it takes at a time.
    """

    name: str


@frozen
class FollowUp:
    """
    Admit only the requests that follow a stream which has just ended here.
    """

    name: str


@frozen
class Start:
    """
    Load this model, or keep it if it is only draining.
    """

    name: str


@frozen
class Evict:
    """
    Drain this model and unload it.

    :param wanted_by: the model that needs its memory, or "" where it is too much.
    """

    name: str
    wanted_by: str = field(default="", eq=False)


@frozen
class Check:
    """
    Look whether this model can be started, before anything is changed for it.
    """

    name: str


Move = Admit | FollowUp | Start | Evict | Check
