"""
How does it all stand now? What `/swapgate/state` shows, as plain values.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from swapgate.fleet import Fleet
from swapgate.models import ONE_AT_A_TIME
from swapgate.place import Place

VERSION = 1
_MOST_IN_QUEUE = 100


def survey(fleet: Fleet, epoch_s: float) -> Mapping[str, Any]:
    """
    One snapshot; times are seconds of the epoch.

    :param epoch_s: now, as the wall clock has it.
    """
    # What happened when by the fleet's clock, on the wall's.
    offset_s = epoch_s - fleet.clock.seconds()
    counted = fleet.config.budget_bytes != ONE_AT_A_TIME
    places = list(fleet.places.values())
    used = sum(p.spec.memory_bytes for p in places if p.life.phase.resident)
    return {
        "version": VERSION,
        "at": _date(epoch_s),
        "budget": {
            "bytes": fleet.config.budget_bytes if counted else None,
            "used_bytes": used if counted else None,
        },
        "held": fleet.held,
        "max_held": fleet.config.max_held,
        "models": [_model(fleet, place, offset_s, counted) for place in places],
        "queue": _queue(fleet),
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
            for swap in fleet.swaps
        ],
    }


def _model(
    fleet: Fleet, place: Place, offset_s: float, counted: bool
) -> Mapping[str, Any]:
    spec, error = place.spec, place.last_error
    return {
        "name": spec.name,
        "aliases": list(spec.aliases),
        "phase": place.life.phase.value,
        "since": _date(place.since_s + offset_s),
        "memory_bytes": spec.memory_bytes if counted else None,
        "pin": spec.pin,
        "preload": spec.preload,
        "in_flight": len(place.leases),
        "answering_s": _since(place.answering_since_s, fleet),
        "waiting": len(place.line),
        "load": _load(place.line.loading_s, fleet.load_times.estimate(spec.name)),
        "stuck": place.daemon.remains() if place.stuck else None,
        "last_error": error and {"message": error[0], "at": _date(error[1] + offset_s)},
    }


def _since(since_s: float | None, fleet: Fleet) -> float | None:
    return None if since_s is None else round(fleet.clock.seconds() - since_s, 3)


def _load(elapsed_s: float | None, estimate_s: float | None) -> Mapping[str, Any]:
    """
    How far a load is: from 0 to 1, which it is only when it is over.
    """
    progress = None
    if elapsed_s is not None and estimate_s:
        progress = min(round(elapsed_s / estimate_s, 2), 0.99)
    return {
        "estimate_s": estimate_s,
        "elapsed_s": None if elapsed_s is None else round(elapsed_s, 3),
        "progress": progress,
    }


def _queue(fleet: Fleet) -> list[Mapping[str, Any]]:
    """
    The first ones of those who wait.
    """
    now_s = fleet.clock.seconds()
    tickets = sorted(
        (t for place in fleet.places.values() for t in place.line.tickets),
        key=lambda ticket: ticket.number,
    )
    first = list(islice(tickets, _MOST_IN_QUEUE))
    models = {ticket.model for ticket in first}
    behind = {
        name: found and found[0] for name in models for found in [fleet.behind(name)]
    }
    return [
        {
            "model": ticket.model,
            "age_s": round(now_s - ticket.asked_s, 3),
            "stream": ticket.streams,
            "behind": behind[ticket.model],
        }
        for ticket in first
    ]


def _date(epoch_s: float) -> float:
    return round(epoch_s, 3)
