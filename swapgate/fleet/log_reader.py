"""
Log reader: what of a daemon's output one reader has not had yet.
"""

from collections.abc import Callable, Sequence

from attrs import define

from swapgate.daemons.output import Line, Output
from swapgate.fleet.model_state import ModelState


@define
class LogReader:
    """
    One reader of one daemon's output.
    """

    _output: Output
    _had: int = 0

    @classmethod
    def of(cls, state: ModelState) -> "LogReader | None":
        """
        None where what the daemon writes goes elsewhere.
        """
        output = state.daemon.output
        return None if output is None else cls(output)

    def is_of(self, state: ModelState | None) -> bool:
        """
        Whether this is the model's daemon still.
        """
        return state is not None and state.daemon.output is self._output

    def news(self) -> tuple[int, Sequence[Line]]:
        """
        How many lines were lost since the last time, and those after them.
        """
        lines = self._output.after(self._had)
        if not lines:
            return 0, ()
        lost = lines[0].number - self._had - 1
        self._had = lines[-1].number
        return lost, lines

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """
        Have `changed` called whenever there is more, until what is returned is called.
        """
        return self._output.watch(changed)
