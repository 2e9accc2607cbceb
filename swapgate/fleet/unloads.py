"""
Unloads on request: those that count now, and those that wait for their turn.

1. An unload lets answers end first; with `now` they are cut.
2. Requests that an unload has made wait are *owed*: the next one counts when they are
   served. A loop of unloads would keep the model from all others.
3. What was unloaded on request is not preloaded again until it is asked for.
"""

from attrs import define, field
from twisted.internet.defer import Deferred


@define
class Unloads:
    """
    The unloads of one model; each is a Deferred that is told when it is gone.

    :param put_away: it is not to be preloaded.
    :param owing: it was unloaded on request, and has admitted nothing since.
    """

    put_away: bool = False
    owing: bool = False
    # With whether they cut answers.
    _counting: dict[Deferred[None], bool] = field(factory=dict)
    _later: dict[Deferred[None], bool] = field(factory=dict)

    def __bool__(self) -> bool:
        """
        Whether there are any whose turn has not come.
        """
        return bool(self._later)

    def add(self, *, now: bool) -> Deferred[None]:
        """
        One more. Cancelling it forgets it.
        """
        told: Deferred[None] = Deferred(self._forget)
        self._later[told] = now
        return told

    def _forget(self, told: Deferred[None]) -> None:
        self._counting.pop(told, None)
        self._later.pop(told, None)

    def begin(self) -> bool:
        """
        From now on all of them count: whether any cuts answers.
        """
        later, self._later = self._later, {}
        self._counting |= later
        self.put_away = self.owing = True
        return any(later.values())

    def take(self) -> list[Deferred[None]]:
        """
        All of them, which are told of their end now.
        """
        taken = [*self._counting, *self._later]
        self._counting, self._later = {}, {}
        return taken
