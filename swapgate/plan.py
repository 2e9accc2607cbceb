"""
What must change so that the waiting are served fairly within the budget?
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from attrs import define, field, frozen

from swapgate.phases import Phase

# Up to this many candidates the smallest set is found by trying all of them.
_EXHAUSTIVE = 10


@frozen
class Standing:
    """
    How one model stands at this moment.

    `memory` and the budget share a unit; `last_used` is any clock's seconds. A
    doubtful daemon may be dead: it is asked nothing until that is known.
    """

    name: str
    phase: Phase
    memory: int
    last_used: float
    in_flight: int = 0
    doubtful: bool = False


@frozen
class Admit:
    """
    Let everybody who waits for this model in.
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
    """

    name: str


Move = Admit | Start | Evict


def plan(
    standings: Iterable[Standing], waiting: Sequence[str], budget: int
) -> list[Move]:
    """
    The moves to make now, in order.

    :param waiting: the models that somebody waits for, the longest wait first.
    """
    board = _Board({s.name: s for s in standings}, frozenset(waiting), budget)
    for name in waiting:
        board.serve(name)
    board.keep_what_nobody_needs()
    return board.moves


@define
class _Board:
    """
    The snapshot while a plan is made on it.

    Memory is counted twice: `free` is what nobody holds now, `promised` what will be
    free once all who leave are gone, less what those served earlier will take of it.
    A load begins only when it fits into both: now, and in nobody's way.
    """

    standings: dict[str, Standing]
    wanted: frozenset[str]
    budget: int
    moves: list[Move] = field(factory=list, init=False)
    free: int = field(init=False)
    promised: int = field(init=False)
    staying: set[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        resident = [s for s in self.standings.values() if s.phase.resident]
        self.free = self.budget - sum(s.memory for s in resident)
        self.staying = {s.name for s in resident if s.phase is not Phase.STOPPING}
        self.promised = self.budget - sum(
            self.standings[name].memory for name in self.staying
        )

    def serve(self, name: str) -> None:
        standing = self.standings[name]
        if name in self.staying:
            self._serve_resident(standing)
        else:
            self._make_room(standing)

    def _serve_resident(self, standing: Standing) -> None:
        if standing.doubtful or standing.phase is Phase.STARTING:
            return
        if standing.phase is Phase.DRAINING:
            self.moves.append(Start(standing.name))
        self.moves.append(Admit(standing.name))

    def _make_room(self, standing: Standing) -> None:
        victims = self._victims(standing.memory - self.promised)
        # Nothing is evicted before it helps: not while a load among them is wanted.
        now = not any(map(self._loading_for_somebody, victims))
        for victim in victims:
            self.staying.remove(victim.name)
            self.promised += victim.memory
            if now and victim.phase is not Phase.DRAINING:
                self.moves.append(Evict(victim.name))
        startable = standing.phase in {Phase.STOPPED, Phase.FAILED}
        if startable and standing.memory <= min(self.free, self.promised):
            self.moves.append(Start(standing.name))
            self.free -= standing.memory
        self.promised -= standing.memory

    def _loading_for_somebody(self, standing: Standing) -> bool:
        return standing.phase is Phase.STARTING and standing.name in self.wanted

    def _victims(self, need: int) -> Sequence[Standing]:
        """
        The best set of residents whose leaving frees `need`, or none if none can.
        """
        candidates = sorted(
            map(self.standings.__getitem__, self.staying), key=self._reluctance
        )
        if need <= 0 or sum(s.memory for s in candidates) < need:
            return ()
        if len(candidates) > _EXHAUSTIVE:
            return _first_sufficient(candidates, need)
        return min(
            (
                chosen
                for size in range(1, len(candidates) + 1)
                for chosen in combinations(candidates, size)
                if sum(s.memory for s in chosen) >= need
            ),
            key=self._cost,
        )

    def _reluctance(self, standing: Standing) -> tuple[bool, bool, bool, bool, float]:
        """
        Sorts first what is best evicted first.
        """
        return (
            self._loading_for_somebody(standing),
            standing.in_flight > 0,
            standing.name in self.wanted,
            standing.phase is not Phase.DRAINING,
            standing.last_used,
        )

    def _cost(
        self, chosen: Sequence[Standing]
    ) -> tuple[bool, bool, bool, int, list[float]]:
        """
        No load or answer to wait for, none loaded in vain, then the fewest bytes moved,
        then the least recent use.
        """
        return (
            any(map(self._loading_for_somebody, chosen)),
            any(s.in_flight for s in chosen),
            any(s.name in self.wanted for s in chosen),
            sum(s.memory for s in chosen if s.phase is not Phase.DRAINING),
            sorted((s.last_used for s in chosen), reverse=True),
        )

    def keep_what_nobody_needs(self) -> None:
        """
        Give a draining model back to service once nobody wants its memory any more.
        """
        for name in sorted(self.staying - self.wanted):
            standing = self.standings[name]
            if standing.phase is Phase.DRAINING and not standing.doubtful:
                self.moves.append(Start(name))


def _first_sufficient(candidates: Sequence[Standing], need: int) -> list[Standing]:
    """
    The best candidates until they suffice, less those that the last ones made needless.
    """
    chosen: list[Standing] = []
    for candidate in candidates:
        if sum(s.memory for s in chosen) >= need:
            break
        chosen.append(candidate)
    for candidate in list(chosen):
        if sum(s.memory for s in chosen) - candidate.memory >= need:
            chosen.remove(candidate)
    return chosen
