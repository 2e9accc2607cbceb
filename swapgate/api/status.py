"""
Status: models, budget, queue and swaps as `/swapgate/state` shows them, and history.
"""

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from math import inf
from operator import attrgetter
from typing import Any

from swapgate.config.model import ONE_AT_A_TIME
from swapgate.continuity.keeper import Keeper
from swapgate.fleet.history import Swap
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.model_state import ModelState
from swapgate.fleet.scheduler import Scheduler
from swapgate.fleet.timeline import HOUR_S, Waiting

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
        "swaps": [_swap(swap, offset_s) for swap in scheduler.swaps.latest],
    }


def history(
    scheduler: Scheduler, epoch_s: float, since: float | None
) -> Mapping[str, Any]:
    """
    The last hour: phases of models, swaps, and when requests waited.

    :param since: only what had not ended then, in seconds of the epoch.
    """
    now_s = scheduler.clock.seconds()
    offset_s = epoch_s - now_s
    from_s = now_s - HOUR_S if since is None else since - offset_s
    swaps = scheduler.swaps
    return {
        "version": VERSION,
        "at": _date(epoch_s),
        "phases": [
            {
                "number": span.number,
                "model": span.model,
                "phase": span.phase.value,
                "cause": span.cause,
                "began": _date(span.began_s + offset_s),
                "ended": _end(span.ended_s, offset_s),
                "waiting": _waiting(span.waiting),
            }
            for span in swaps.timeline.since(from_s)
        ],
        "waits": [
            {
                "number": span.number,
                "model": name,
                "began": _date(span.began_s + offset_s),
                "ended": _end(span.ended_s, offset_s),
                "requests": span.requests,
                "longest_s": round(span.longest_s, 3),
            }
            for name, state in scheduler.states.items()
            for span in state.queue.spans.since(from_s)
        ],
        "swaps": [_swap(swap, offset_s) for swap in swaps.since(from_s)],
    }


def token_rates(scheduler: Scheduler, epoch_s: float) -> Mapping[str, Any]:
    """
    Tokens a second of the models that give answers.
    """
    now_s = scheduler.clock.seconds()
    return {
        "at": _date(epoch_s),
        "tokens_per_s": {
            name: _tokens_per_s(state, now_s)
            for name, state in scheduler.states.items()
            if state.leases
        },
    }


def _tokens_per_s(state: ModelState, now_s: float) -> float:
    """
    Without an answer none: nothing would tell later that the last ones are too old.
    """
    return round(state.rate.per_s(now_s), 1) if state.leases else 0.0


def _swap(swap: Swap, offset_s: float) -> Mapping[str, Any]:
    ended_s = swap.ended_s
    return {
        "model": swap.model,
        "what": swap.what,
        "cause": swap.cause,
        "began": _date(swap.began_s + offset_s),
        "duration_s": None if ended_s is None else round(ended_s - swap.began_s, 3),
        "outcome": swap.outcome,
        "waiting": _waiting(swap.waiting),
    }


def _waiting(found: Iterable[Waiting]) -> list[Mapping[str, Any]]:
    return [
        {
            "model": each.model,
            "requests": each.requests,
            "longest_s": round(each.longest_s, 3),
        }
        for each in found
    ]


def _end(ended_s: float, offset_s: float) -> float | None:
    return None if ended_s == inf else _date(ended_s + offset_s)


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
        "pin": state.pinned,
        "preload": spec.preload,
        "in_flight": len(state.leases),
        "answering_s": _since(state.answering_since_s, scheduler),
        "waiting": len(state.queue),
        "load": _load(state.queue.loading_s, scheduler.load_times.estimate(spec.name)),
        "stuck": state.daemon.remains() if state.stuck else None,
        "retry_in_s": _left(state.back_off.retry_at_s, scheduler),
        "idle_unload_in_s": _idle_unload_in_s(state, scheduler),
        "max_active": spec.max_active,
        "tokens_per_s": _tokens_per_s(state, scheduler.clock.seconds()),
        "log": state.daemon.output is not None,
        "last_error": error and {"message": error[0], "at": _date(error[1] + offset_s)},
    }


def _since(since_s: float | None, scheduler: Scheduler) -> float | None:
    return None if since_s is None else round(scheduler.clock.seconds() - since_s, 3)


def _left(at_s: float, scheduler: Scheduler) -> float | None:
    """
    How long until then; None where that is over.
    """
    left_s = at_s - scheduler.clock.seconds()
    return round(left_s, 3) if left_s > 0 else None


def _idle_unload_in_s(state: ModelState, scheduler: Scheduler) -> float | None:
    idle = state.life.phase is Phase.READY and not (state.leases or state.queue.entries)
    at_s = state.idle_at_s
    return _left(at_s, scheduler) if idle and at_s is not None else None


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
    waits_for = {name: scheduler.outlook.waits_for(name) for name in models}
    return [
        {
            "model": entry.model,
            "age_s": round(now_s - entry.asked_s, 3),
            "stream": entry.streams,
            "behind": (found := behind[entry.model]) and found[0],
            "waits_for": dict(
                zip(("what", "model"), waits_for[entry.model], strict=True)
            ),
        }
        for entry in first
    ]


def _date(epoch_s: float) -> float:
    return round(epoch_s, 3)
