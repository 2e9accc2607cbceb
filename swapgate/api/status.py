"""
Status: models, budget, queue and swaps as `/swapgate/state` shows them.
"""

from collections.abc import Mapping
from heapq import nsmallest
from operator import attrgetter
from typing import Any

from swapgate.config.model import ONE_AT_A_TIME
from swapgate.continuity.keeper import Keeper
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.scheduler import Scheduler

VERSION = 1
_QUEUE_SHOWN = 100


def status(scheduler: Scheduler, keeper: Keeper, epoch_s: float) -> Mapping[str, Any]:
    """
    A snapshot; times are seconds of the epoch.

    :param epoch_s: now, as the wall clock has it.
    """
    # From the scheduler's clock to the wall's.
    offset_s = epoch_s - scheduler.clock.seconds()
    counted = scheduler.config.budget_bytes != ONE_AT_A_TIME
    states = list(scheduler.states.values())
    used = sum(each.spec.memory_bytes for each in states if each.life.phase.resident)
    return {
        "version": VERSION,
        "at": _date(epoch_s),
        "budget": {
            "bytes": scheduler.config.budget_bytes if counted else None,
            "used_bytes": used if counted else None,
        },
        "held": scheduler.held,
        "max_held": scheduler.config.max_held,
        "snapshots": keeper.totals,
        "models": [
            {
                **_model(scheduler, state, offset_s, counted),
                "continuity": keeper.status(state.spec, state.client),
            }
            for state in states
        ],
        "queue": _queue(scheduler),
        "swaps": [
            {
                "model": swap.model,
                "what": swap.what,
                "cause": swap.cause,
                "began": _date(swap.began_s + offset_s),
                "duration_s": (
                    None
                    if swap.ended_s is None
                    else round(swap.ended_s - swap.began_s, 3)
                ),
                "outcome": swap.outcome,
            }
            for swap in scheduler.swaps
        ],
    }


def _model(
    scheduler: Scheduler, state: ModelState, offset_s: float, counted: bool
) -> Mapping[str, Any]:
    spec, error = state.spec, state.last_error
    return {
        "name": spec.name,
        "aliases": list(spec.aliases),
        "phase": state.life.phase.value,
        "since": _date(state.since_s + offset_s),
        "memory_bytes": spec.memory_bytes if counted else None,
        "pin": spec.pin,
        "preload": spec.preload,
        "in_flight": len(state.leases),
        "answering_s": _since(state.answering_since_s, scheduler),
        "waiting": len(state.queue),
        "load": _load(state.queue.loading_s, scheduler.load_times.estimate(spec.name)),
        "stuck": state.daemon.remains() if state.stuck else None,
        "last_error": error and {"message": error[0], "at": _date(error[1] + offset_s)},
    }


def _since(since_s: float | None, scheduler: Scheduler) -> float | None:
    return None if since_s is None else round(scheduler.clock.seconds() - since_s, 3)


def _load(elapsed_s: float | None, estimate_s: float | None) -> Mapping[str, Any]:
    """
    How far a load is, from 0 to 1; less than 1 until it is over.
    """
    progress = None
    if elapsed_s is not None and estimate_s:
        progress = min(round(elapsed_s / estimate_s, 2), 0.99)
    return {
        "estimate_s": estimate_s,
        "elapsed_s": None if elapsed_s is None else round(elapsed_s, 3),
        "progress": progress,
    }


def _queue(scheduler: Scheduler) -> list[Mapping[str, Any]]:
    """
    The queued requests that came first.
    """
    now_s = scheduler.clock.seconds()
    entries = (e for state in scheduler.states.values() for e in state.queue.entries)
    first = nsmallest(_QUEUE_SHOWN, entries, key=attrgetter("number"))
    models = {entry.model for entry in first}
    behind = {name: scheduler.outlook.behind(name) for name in models}
    return [
        {
            "model": entry.model,
            "age_s": round(now_s - entry.asked_s, 3),
            "stream": entry.streams,
            "behind": (found := behind[entry.model]) and found[0],
        }
        for entry in first
    ]


def _date(epoch_s: float) -> float:
    return round(epoch_s, 3)
