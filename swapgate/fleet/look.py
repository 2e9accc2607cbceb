"""
Look: one look at a model's daemon that is under way: is it up without our doing?
"""

from attrs import define, field
from twisted.internet.defer import Deferred


@define(eq=False)
class Look:
    """
    What others that want to know the same wait for.

    :param asks: its manager is asked, not only its port.
    """

    since_s: float
    asks: bool
    _waiting: list[Deferred[None]] = field(factory=list)

    def over(self) -> Deferred[None]:
        """
        Fires at its end, whatever it has shown.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def end(self) -> None:
        for waiting in self._waiting:
            waiting.callback(None)
