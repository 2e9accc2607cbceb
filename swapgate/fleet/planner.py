"""
Planner: what must change so that requests are served fairly within the budget.

A pure function of a view of each model: it returns moves and does nothing itself.

1. The request that has waited the longest is served first; all that wait for one model
   share its load.
2. Evicted is the smallest sufficient set of models: idle before busy, the fewest bytes,
   the least recently used.
3. A model in use stays, until a request for another one is overdue.
4. What counts never passes the budget: a start waits until what was evicted is gone.
5. Nothing is evicted for a model of which it is not known that it can be started.
6. What follows a stream that has just ended is admitted before the model goes.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from operator import le

from attrs import define, field

from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.moves import Admit, Check, Evict, FollowUp, ModelView, Move, Start

# Up to this many candidates the smallest set is found by trying all of them.
_EXHAUSTIVE = 8


def plan(views: Iterable[ModelView], waiting: Sequence[str], budget: int) -> list[Move]:
    """
    The moves to make now, in order.

    :param waiting: the models that are waited for, the longest wait first.
    """
    board = _Board({s.name: s for s in views}, frozenset(waiting), budget)
    board.keep_the_budget()
    for name in waiting:
        board.serve(name)
    board.keep_what_is_not_needed()
    if not waiting:
        board.preload()
    board.admit_follow_ups()
    return board.moves


def stuck_before(name: str, views: Iterable[ModelView], budget: int) -> list[ModelView]:
    """
    The models that must end before this one can be loaded, where their stop does not:
    itself, or all of them if it does not fit beside them.
    """
    known = {s.name: s for s in views}
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

    Memory is counted thrice: `free` is what no model holds now, less what those served
    earlier need of it; `promised` what will be free once all that are to leave are
    gone, less all that those will take; `sure` the same, but that no overdue model
    counts on one that need not leave yet. A load begins only when it fits into what
    is free and sure: in no other's way. The memory of a model whose stop does not end
    is promised to no other; what cannot be loaded before that is in no other's way.
    """

    views: dict[str, ModelView]
    wanted: frozenset[str]
    budget: int
    moves: list[Move] = field(factory=list, init=False)
    free: int = field(init=False)
    promised: int = field(init=False)
    sure: int = field(init=False)
    # Residents whose memory is not promised yet.
    staying: set[str] = field(init=False)
    # Residents that admit, or will once they are up.
    serving: set[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        resident = [s for s in self.views.values() if s.phase.resident]
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
        view = self.views[name]
        if name in self.serving:
            self._serve_resident(view)
        elif not stuck_before(name, self.views.values(), self.budget):
            self._make_room(view)

    def _serve_resident(self, view: ModelView) -> None:
        if view.suspect or view.full or view.phase is Phase.STARTING:
            return
        if view.phase is Phase.DRAINING:
            self.moves.append(Start(view.name))
        self.moves.append(Admit(view.name))

    def _make_room(self, view: ModelView) -> None:
        later = 0
        if view.unchecked and not (view.leaving or view.phase.resident):
            self.moves.append(Check(view.name))
        if view.memory:
            victims = self._victims(view.memory - self.promised)
            later = self._promise(victims, view.name)
        if self._may_start(view) and not view.unchecked:
            self._start(view)
        self.promised -= view.memory
        self.sure += later - view.memory
        # What will not come from those that leave for it, it takes of what is free.
        self.free = min(self.free, self.sure)

    def _promise(self, victims: Sequence[ModelView], wanted_by: str) -> int:
        """
        Count on the memory of these, and evict them if it is time for that.

        Those that need not go yet go on serving.

        :return: what those after it may count on, as they would be in no other's way.
        """
        # Nothing is evicted before it helps: not while a load among them is wanted.
        now = not any(map(self._load_is_wanted, victims))
        patient = bool(wanted_by) and not self.views[wanted_by].overdue
        checked = not (wanted_by and self.views[wanted_by].unchecked)
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

    def _is_of_use(self, view: ModelView) -> bool:
        """
        Whether only an overdue model may have it evicted.
        """
        if view.phase is Phase.DRAINING:
            return view.name in self.wanted
        return any(self._harm(view))

    def _may_start(self, view: ModelView) -> bool:
        # What takes no memory waits for none, even where too much is promised.
        fits = not view.memory or view.memory <= min(self.free, self.sure)
        return fits and not (view.phase.resident or view.suspect or view.leaving)

    def _start(self, view: ModelView) -> None:
        self.moves.append(Start(view.name))
        self.free -= view.memory

    def _load_is_wanted(self, view: ModelView) -> bool:
        return view.phase is Phase.STARTING and view.name in self.wanted

    def _victims(self, need: int) -> Sequence[ModelView]:
        """
        The best set of residents whose leaving frees `need`, or none if none can.

        No load and no answer to wait for, and none loaded in vain, if that suffices;
        then the fewest bytes moved; then the least recent use.
        """
        if need <= 0:
            return ()
        candidates = [
            view
            for name in self.staying
            if (view := self.views[name]).memory and not view.pinned
        ]
        for most in product((False, True), repeat=4):
            good = [s for s in candidates if all(map(le, self._harm(s), most))]
            if sum(s.memory for s in good) >= need:
                return _cheapest(sorted(good, key=_first_to_go), need)
        return ()

    def _harm(self, view: ModelView) -> tuple[bool, ...]:
        """
        What evicting it would do, the worst first.

        What drains already goes on with that: its requests would begin anew
        with another model, and never come to its end while there is traffic for both.
        """
        if view.phase is Phase.DRAINING:
            return (False, False, False, True)
        return (
            self._load_is_wanted(view),
            view.in_flight > 0,
            view.lingers,
            view.name in self.wanted,
        )

    def admit_follow_ups(self) -> None:
        """
        Before anything is evicted: a model without an answer to give is gone at once.
        """
        self.moves[:0] = [
            FollowUp(view.name)
            for view in self.views.values()
            if view.follow_ups
            and view.phase in {Phase.READY, Phase.DRAINING}
            and not (view.suspect or view.full or view.leaving)
            and Admit(view.name) not in self.moves
        ]

    def keep_what_is_not_needed(self) -> None:
        """
        Give a draining model back to service once its memory is not wanted any more.
        """
        for name in sorted(self.staying & self.serving):
            view = self.views[name]
            if view.phase is not Phase.DRAINING or view.suspect:
                continue
            if name not in self.wanted or view.full:
                self.moves.append(Start(name))

    def preload(self) -> None:
        """
        Load what is to be up whenever there is room for it.
        """
        for view in self.views.values():
            if not view.preload or not self._may_start(view):
                continue
            if view.unchecked:
                self.moves.append(Check(view.name))
            else:
                self._start(view)
                self.sure -= view.memory


def _first_to_go(view: ModelView) -> tuple[bool, float, str]:
    return view.phase is not Phase.DRAINING, view.last_used, view.name


def _cheapest(candidates: Sequence[ModelView], need: int) -> Sequence[ModelView]:
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


def _bytes_and_recency(chosen: Sequence[ModelView]) -> tuple[int, list[float]]:
    return (
        sum(s.memory for s in chosen if s.phase is not Phase.DRAINING),
        sorted((s.last_used for s in chosen), reverse=True),
    )


def _first_sufficient(candidates: Sequence[ModelView], need: int) -> list[ModelView]:
    """
    The first ones until they suffice, less those that the last ones made needless.
    """
    chosen: list[ModelView] = []
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
