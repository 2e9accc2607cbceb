"""
Pins: the models that stay up whatever waits, by the configuration or by request.

1. What is pinned must fit into the budget together; what can never be served beside it
   is refused, not held for ever.
2. A request's word counts until the gateway ends, or a reload changes the model.
"""

from collections.abc import Mapping, Set
from functools import partial

from attrs import define
from twisted.logger import Logger

from swapgate.config.loader import Config
from swapgate.fleet.lease import TooLarge
from swapgate.fleet.model_state import ModelState


@define
class Pins:
    """
    Of all models; the configuration is that of the moment.
    """

    _states: Mapping[str, ModelState]
    _log = Logger()

    def never_fits(self, config: Config, name: str) -> str | None:
        """
        The sum that shows why a model cannot be up beside what is pinned.
        """
        return config.never_fits(name, self._names())

    def _names(self) -> Set[str]:
        # Of what a reload has changed the successor counts.
        states = ((name, s.successor or s) for name, s in self._states.items())
        return frozenset(name for name, state in states if state.pinned)

    def set(self, config: Config, name: str, *, pinned: bool) -> None:
        """
        :raises TooLarge: where not all that is pinned would fit.
        """
        if pinned and (sum_said := self.never_fits(config, name)) is not None:
            raise TooLarge(sum_said)
        self._states[name].pin(pinned)
        self.refuse_others(config)

    def refuse_others(self, config: Config) -> None:
        """
        Fail the requests for what does not fit beside them.
        """
        sums = (self.never_fits(config, name) for name in sorted(self._names()))
        if (sum_said := next(filter(None, sums), None)) is not None:
            # The configuration's own do: the loader has seen to that.
            self._log.warn("not pinned any more: {sum}", sum=sum_said)
            for state in self._states.values():
                state.pin(None)
        for spec in config.models:
            if (sum_said := self.never_fits(config, spec.name)) is not None:
                self._states[spec.name].queue.refuse(partial(TooLarge, sum_said))
