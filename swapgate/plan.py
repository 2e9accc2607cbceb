"""
What must change so that the waiting are served fairly within the budget?
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from operator import le

from attrs import define, field, frozen

from swapgate.phases import Phase

# Up to this many candidates the smallest set is found by trying all of them.
_EXHAUSTIVE = 8


@frozen
class Standing:
    """
    How one model stands at this moment.

    `memory` and the budget share a unit. A doubtful daemon may be dead: it is asked
    nothing until that is known. A pinned one is never evicted; one to be preloaded is
    loaded whenever there is room.

    :param last_used: any clock's seconds; of one that drains, when that began.
    :param lingers: it has answered so lately that only the overdue may evict it.
    :param full: it answers as many at a time as it may.
    :param leaving: it is to be unloaded, whoever waits for it.
    :param overdue: somebody has waited for it so long that others must make way.
    :param unchecked: whether it can be started at all is yet to be looked at; nothing
        is evicted for it before, and it is not started.
    :param stuck: its stop does not end: its memory counts, and nothing waits for it
        that could be had otherwise.
    """

    name: str
    phase: Phase
    memory: int
    last_used: float
    in_flight: int = 0
    doubtful: bool = False
    pinned: bool = False
    preload: bool = False
    lingers: bool = False
    full: bool = False
    leaving: bool = False
    overdue: bool = False
    unchecked: bool = False
    stuck: bool = False


@frozen
class Admit:
    """
    Let whoever waits for this model in, as many as it takes at a time.
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


Move = Admit | Start | Evict | Check


def plan(
    standings: Iterable[Standing], waiting: Sequence[str], budget: int
) -> list[Move]:
    """
    The moves to make now, in order.

    :param waiting: the models that somebody waits for, the longest wait first.
    """
    board = _Board({s.name: s for s in standings}, frozenset(waiting), budget)
    board.keep_the_budget()
    for name in waiting:
        board.serve(name)
    board.keep_what_nobody_needs()
    if not waiting:
        board.preload()
    return board.moves


def stuck_before(
    name: str, standings: Iterable[Standing], budget: int
) -> list[Standing]:
    """
    The models that must end before this one can be loaded, where their stop does not:
    itself, or all of them if it does not fit beside them.
    """
    known = {s.name: s for s in standings}
    wanted = known[name]
    stuck = [s for s in known.values() if s.stuck]
    if wanted.stuck:
        return [wanted]
    if wanted.phase in {Phase.STARTING, Phase.READY, Phase.DRAINING}:
        return []
    pinned = [s for s in known.values() if s.pinned and s.phase.resident]
    kept = {s.name: s.memory for s in (*stuck, *pinned)}
    fits = wanted.memory <= budget - sum(kept.values())
    return [] if fits or not wanted.memory else stuck


@define
class _Board:
    """
    The snapshot while a plan is made on it.

    Memory is counted thrice: `free` is what nobody holds now, less what those served
    earlier need of it; `promised` what will be free once all who are to leave are gone,
    less all that those will take; `sure` the same, but that nobody who has waited too
    long counts on one who need not leave yet. A load begins only when it fits into what
    is free and sure: in nobody's way. The memory of a model whose stop does not end is
    promised to no other, and what cannot be loaded before that is in no other's way.
    """

    standings: dict[str, Standing]
    wanted: frozenset[str]
    budget: int
    moves: list[Move] = field(factory=list, init=False)
    free: int = field(init=False)
    promised: int = field(init=False)
    sure: int = field(init=False)
    # Residents whose memory is promised to nobody yet.
    staying: set[str] = field(init=False)
    # Residents that admit, or will once they are up.
    serving: set[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        resident = [s for s in self.standings.values() if s.phase.resident]
        self.free = self.budget - sum(s.memory for s in resident)
        self.staying = {
            s.name for s in resident if s.phase is not Phase.STOPPING and not s.leaving
        }
        self.serving = set(self.staying)
        self.promised = self.sure = self.budget - sum(
            s.memory for s in resident if s.stuck or s.name in self.staying
        )

    def keep_the_budget(self) -> None:
        """
        Evict what is too much, if daemons are up that we did not start.
        """
        self._promise(self._victims(-self.promised), "")

    def serve(self, name: str) -> None:
        standing = self.standings[name]
        if name in self.serving:
            self._serve_resident(standing)
        elif not stuck_before(name, self.standings.values(), self.budget):
            self._make_room(standing)

    def _serve_resident(self, standing: Standing) -> None:
        if standing.doubtful or standing.full or standing.phase is Phase.STARTING:
            return
        if standing.phase is Phase.DRAINING:
            self.moves.append(Start(standing.name))
        self.moves.append(Admit(standing.name))

    def _make_room(self, standing: Standing) -> None:
        later = 0
        if standing.unchecked and not (standing.leaving or standing.phase.resident):
            self._check(standing)
        if standing.memory:
            victims = self._victims(standing.memory - self.promised)
            later = self._promise(victims, standing.name)
        self._start_if_it_fits(standing)
        self.promised -= standing.memory
        self.sure += later - standing.memory
        # What will not come from those who leave for it, it takes of what is free.
        self.free = min(self.free, self.sure)

    def _promise(self, victims: Sequence[Standing], wanted_by: str) -> int:
        """
        Count on the memory of these, and evict them if it is time for that.

        Those who need not go yet go on serving.

        :return: what those after it may count on, as they would be in nobody's way.
        """
        # Nothing is evicted before it helps: not while a load among them is wanted.
        now = not any(map(self._loading_for_somebody, victims))
        patient = bool(wanted_by) and not self.standings[wanted_by].overdue
        checked = not (wanted_by and self.standings[wanted_by].unchecked)
        if patient:
            now = now and checked and not any(map(self._is_of_use, victims))
        later = 0
        for victim in victims:
            self.staying.remove(victim.name)
            self.promised += victim.memory
            # A check may take as long as a tool that hangs: what works serves on.
            if now and (checked or victim.phase is Phase.DRAINING):
                self.sure += victim.memory
                self.serving.discard(victim.name)
                if victim.phase is not Phase.DRAINING:
                    self.moves.append(Evict(victim.name, wanted_by))
            elif patient or not checked:
                later += victim.memory
        return later

    def _is_of_use(self, standing: Standing) -> bool:
        """
        Whether only somebody who has waited too long may have it evicted.
        """
        if standing.phase is Phase.DRAINING:
            return standing.name in self.wanted
        return any(self._harm(standing))

    def _start_if_it_fits(self, standing: Standing) -> bool:
        # What takes no memory waits for nobody's, even where too much is promised.
        fits = not standing.memory or standing.memory <= min(self.free, self.sure)
        stopped = standing.phase in {Phase.STOPPED, Phase.FAILED}
        if fits and stopped and not (standing.doubtful or standing.leaving):
            if standing.unchecked:
                self._check(standing)
                return False
            self.moves.append(Start(standing.name))
            self.free -= standing.memory
            return True
        return False

    def _check(self, standing: Standing) -> None:
        if (move := Check(standing.name)) not in self.moves:
            self.moves.append(move)

    def _loading_for_somebody(self, standing: Standing) -> bool:
        return standing.phase is Phase.STARTING and standing.name in self.wanted

    def _victims(self, need: int) -> Sequence[Standing]:
        """
        The best set of residents whose leaving frees `need`, or none if none can.

        No load and no answer to wait for, and none loaded in vain, if that suffices;
        then the fewest bytes moved; then the least recent use.
        """
        if need <= 0:
            return ()
        candidates = [
            standing
            for name in self.staying
            if (standing := self.standings[name]).memory and not standing.pinned
        ]
        for most in product((False, True), repeat=4):
            good = [s for s in candidates if all(map(le, self._harm(s), most))]
            if sum(s.memory for s in good) >= need:
                return _cheapest(sorted(good, key=_first_to_go), need)
        return ()

    def _harm(self, standing: Standing) -> tuple[bool, ...]:
        """
        What evicting it would do, the worst first.

        What drains already goes on with that: whoever waits for it would begin anew
        with another model, and never come to its end while there is traffic for both.
        """
        if standing.phase is Phase.DRAINING:
            return (False, False, False, True)
        return (
            self._loading_for_somebody(standing),
            standing.in_flight > 0,
            standing.lingers,
            standing.name in self.wanted,
        )

    def keep_what_nobody_needs(self) -> None:
        """
        Give a draining model back to service once nobody wants its memory any more.
        """
        for name in sorted(self.staying & self.serving):
            standing = self.standings[name]
            if standing.phase is not Phase.DRAINING or standing.doubtful:
                continue
            if name not in self.wanted or standing.full:
                self.moves.append(Start(name))

    def preload(self) -> None:
        """
        Load what is to be up whenever there is room for it.
        """
        for standing in self.standings.values():
            if standing.preload and self._start_if_it_fits(standing):
                self.sure -= standing.memory


def _first_to_go(standing: Standing) -> tuple[bool, float, str]:
    return (
        standing.phase is not Phase.DRAINING,
        standing.last_used,
        standing.name,
    )


def _cheapest(candidates: Sequence[Standing], need: int) -> Sequence[Standing]:
    """
    Of candidates that suffice, in the order in which they should go, the best set.
    """
    if len(candidates) > _EXHAUSTIVE:
        return _first_sufficient(candidates, need)
    return min(
        (
            chosen
            for size in range(1, len(candidates) + 1)
            for chosen in combinations(candidates, size)
            if sum(s.memory for s in chosen) >= need
        ),
        key=_bytes_and_recency,
    )


def _bytes_and_recency(chosen: Sequence[Standing]) -> tuple[int, list[float]]:
    return (
        sum(s.memory for s in chosen if s.phase is not Phase.DRAINING),
        sorted((s.last_used for s in chosen), reverse=True),
    )


def _first_sufficient(candidates: Sequence[Standing], need: int) -> list[Standing]:
    """
    The first ones until they suffice, less those that the last ones made needless.
    """
    chosen: list[Standing] = []
    freed = 0
    for candidate in candidates:
        if freed >= need:
            break
        chosen.append(candidate)
        freed += candidate.memory
    for candidate in list(chosen):
        if freed - candidate.memory >= need:
            chosen.remove(candidate)
            freed -= candidate.memory
    return chosen
