"""
Reload: the models of another configuration take the place of those that are there.

What it leaves as it was goes on untouched; what it changes or leaves out is drained
first; requests that wait for it wait on, unless it can never be up any more.
"""

from collections.abc import Callable
from functools import partial

from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.fleet.lease import UnknownModel
from swapgate.fleet.lifecycle import Event, Phase
from swapgate.fleet.model_state import ModelState


def reconfigure(
    states: dict[str, ModelState],
    config: Config,
    new_state: Callable[[ModelSpec, list[ModelState]], ModelState],
    tell: Callable[[ModelState, Event, str], None],
    refuse_what_never_fits: Callable[[], None],
) -> None:
    """
    :param refuse_what_never_fits: is called once the new models are in their places.
    :param new_state: of a model, given those that go with an address that it has now.
    :param tell: the scheduler's inbox.
    """
    specs = {spec.name: spec for spec in config.models}
    old = [
        state
        for name, state in states.items()
        if state.retired or state.spec != specs.get(name)
    ]
    kept = states.keys() - {state.spec.name for state in old}
    new = {
        name: new_state(spec, [state for state in old if _is_in_the_way(state, spec)])
        for name, spec in specs.items()
        if name not in kept
    }
    for state in old:
        state.retire(new.pop(state.spec.name, None))
    states.update(new)
    # Only now: what is refused may ask for another model at once.
    for state in [each for each in old if not each.life.phase.resident]:
        replace(state, states)
    refuse_what_never_fits()
    for state in old:
        if state.life.phase in {Phase.STARTING, Phase.READY}:
            tell(state, Event.EVICTED, "its configuration changed")


def _is_in_the_way(state: ModelState, spec: ModelSpec) -> bool:
    """
    Whether it has the address or the service of another model to come. Its own
    successor comes when it is gone.
    """
    return state.spec.name != spec.name and bool(state.spec.claims & spec.claims)


def replace(retired: ModelState, states: dict[str, ModelState]) -> None:
    """
    Put in a retired model's place what the configuration has there now.
    """
    name = retired.spec.name
    if retired.successor is None:
        # First: a request that hangs up meanwhile is still looked for there.
        retired.queue.refuse(partial(UnknownModel, name))
        del states[name]
    else:
        states[name] = retired.successor
        states[name].inherit(retired)
