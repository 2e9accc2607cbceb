"""
What the planner weighs between those who wait and those who are served.
"""

from collections.abc import Sequence

from attrs import evolve
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.moves import Admit, Evict, FollowUp, ModelView, Move, Start
from swapgate.fleet.planner import plan
from tests.fleet.test_planner import at, ready, snapshots, stopped


def late(name: str, memory: int = 10) -> ModelView:
    """
    A model for which somebody has waited too long.
    """
    return evolve(stopped(name, memory), overdue=True)


def lingering(name: str, memory: int = 10) -> ModelView:
    return evolve(ready(name, memory), lingers=True)


class FairnessTests(SynchronousTestCase):
    """
    One snapshot, the moves it deserves.
    """

    def check(
        self, views: Sequence[ModelView], waiting: Sequence[str], *moves: Move
    ) -> None:
        self.assertEqual(plan(views, waiting, 10), list(moves))

    def test_who_is_of_use_stays(self) -> None:
        """
        What answers, lingers or is asked for goes only for who has waited too long.
        """
        for useful in (ready("a", in_flight=1), lingering("a")):
            self.check([useful, stopped("b")], ["b"])
            self.check([useful, stopped("b")], ["b", "a"], Admit("a"))
            self.check([useful, late("b")], ["b"], Evict("a"))
            self.check([useful, late("b")], ["b", "a"], Evict("a"))
        self.check([ready("a"), stopped("b")], ["b", "a"], Admit("a"))
        self.check([ready("a"), stopped("b")], ["b"], Evict("a"))

    def test_what_follows_a_stream(self) -> None:
        """
        It is let in though the model has had its turn: before it is evicted, or while
        it drains; its other requests are not.
        """
        for up in (ready("a"), ready("a", in_flight=1)):
            self.check(
                [evolve(up, follow_ups=True), late("b")],
                ["b", "a"],
                FollowUp("a"),
                Evict("a"),
            )
        draining = evolve(at("a", Phase.DRAINING), follow_ups=True)
        self.check([draining, late("b")], ["b", "a"], FollowUp("a"))
        self.check([evolve(draining, follow_ups=False), late("b")], ["b", "a"])

    def test_what_follows_a_stream_as_all_do(self) -> None:
        """
        Where the model admits all that wait, it is one of them.
        """
        up = evolve(ready("a"), follow_ups=True)
        self.check([up, stopped("b")], ["b", "a"], Admit("a"))

    def test_what_follows_a_stream_too_late(self) -> None:
        """
        A model that may be dead, has no room, or is unloaded on request, admits none.
        """
        draining = evolve(at("a", Phase.DRAINING), follow_ups=True)
        for view in (
            evolve(draining, suspect=True),
            evolve(draining, full=True),
            evolve(draining, leaving=True),
        ):
            self.check([view, late("b")], ["b", "a"])
        for phase in (Phase.STOPPING, Phase.STOPPED, Phase.STARTING, Phase.FAILED):
            view = evolve(at("a", phase), follow_ups=True)
            self.assertNotIn(FollowUp("a"), plan([view, late("b")], ["b", "a"], 10))

    def test_whom_it_is_for(self) -> None:
        """
        An eviction says who needs the memory.
        """
        [move] = plan([ready("a"), stopped("b")], ["b"], 10)
        assert isinstance(move, Evict)
        self.assertEqual(move.wanted_by, "b")

    def test_all_or_none(self) -> None:
        """
        An idle one is not evicted while another that must go too is of use.
        """
        views = [ready("a", 5), ready("b", 5, in_flight=1)]
        self.check([*views, stopped("c")], ["c"])
        self.check([*views, late("c")], ["c"], Evict("a"), Evict("b"))

    def test_the_idle_before_the_lingering(self) -> None:
        """
        Where one of several can go, it is one that nobody just used.
        """
        views = [evolve(lingering("a", 5), last_used=0.0), ready("b", 5, used=9.0)]
        self.check([*views, stopped("c", 5)], ["c"], Evict("b"))

    def test_nobody_takes_what_the_first_waits_for(self) -> None:
        """
        Who came later does not load in the first one's way, even while that must wait.
        """
        views = [ready("a", 6, in_flight=1), stopped("b", 8), stopped("c", 4)]
        self.check(views, ["b", "c"])
        self.check(views, ["c"], Start("c"))

    def test_what_fits_beside_both_need_not_wait(self) -> None:
        """
        Nor for one that waits for its turn, until that is overdue.
        """
        both = [ready("a", 6, in_flight=1), stopped("c", 4)]
        self.check([*both, stopped("b", 6)], ["b", "c"], Start("c"))
        self.check([*both, late("b", 6)], ["b", "c"], Evict("a"), Start("c"))

    def test_nobody_takes_what_is_free_of_it(self) -> None:
        """
        Nor against the memory of a model that need not go yet: it would be missing.
        """
        views = [
            ready("a", 3, in_flight=1),
            evolve(at("b", Phase.DRAINING, 3), in_flight=1),
            late("d", 6),
            stopped("c", 4),
        ]
        self.check(views, ["d", "c"])
        # Nor for what another one begins to drain for: that comes too late.
        views[3] = late("c", 4)
        self.check(views, ["d", "c"], Evict("a"))

    def test_what_drains_goes_on_with_it(self) -> None:
        """
        Another one would have to drain from the start; only an idle one is quicker.
        """
        draining = evolve(at("a", Phase.DRAINING, 5), in_flight=1, lingers=True)
        for other in (
            ready("b", 5, in_flight=1),
            lingering("b", 5),
        ):
            self.check([draining, other, late("c", 5)], ["c", "a"])
            self.check([draining, other, late("c", 5)], ["c"])
        came_up = [draining, ready("b", 5), late("c", 5)]
        self.check(came_up, ["c", "b"], Admit("b"))
        self.check(came_up, ["c"], Evict("b"), Start("a"))

    def test_a_load_for_somebody_is_finished(self) -> None:
        """
        However late it is: its waiters came first, and are let in before it goes.
        """
        loading = at("a", Phase.STARTING)
        self.check([loading, late("b")], ["a", "b"])
        up = evolve(ready("a"), overdue=True)
        self.check([up, late("b")], ["a", "b"], Admit("a"), Evict("a"))

    def test_full(self) -> None:
        """
        Who answers as many as it may lets nobody in, and is still of use.
        """
        full = evolve(ready("a", in_flight=2), full=True)
        self.check([full], ["a"])
        self.check([full, stopped("b")], ["a", "b"])
        self.check([full, late("b")], ["a", "b"], Evict("a"))

    def test_leaving(self) -> None:
        """
        What is to be unloaded lets nobody in and is not kept; its memory is promised.
        """
        leaving = evolve(at("a", Phase.DRAINING, in_flight=1), leaving=True)
        for waiting in ([], ["a"], ["b"], ["a", "b"]):
            self.check([leaving, stopped("b")], waiting)
        self.check([evolve(stopped("a"), leaving=True)], ["a"])

    def test_full_and_draining(self) -> None:
        """
        It drains on for who has waited too long, and is kept when nobody does.
        """
        full = evolve(at("a", Phase.DRAINING, in_flight=2), full=True)
        self.check([full, late("b")], ["a", "b"])
        self.check([full, stopped("b")], ["a"], Start("a"))

    @given(snapshots())
    def test_the_first_is_sure_of_its_memory(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Once it has waited too long, whatever else is loaded fits beside it and all who
        need not leave yet.
        """
        views, waiting, budget = snapshot
        known = {s.name: s for s in views}
        if waiting:
            known[waiting[0]] = evolve(known[waiting[0]], overdue=True)
            views = list(known.values())
        if not waiting or known[waiting[0]].phase.resident:
            return
        moves = plan(views, waiting, budget)
        started = {m.name for m in moves if isinstance(m, Start)}
        evicted = {m.name for m in moves if isinstance(m, Evict)}
        leaving = {Phase.DRAINING, Phase.STOPPING}
        up = {
            s.name
            for s in views
            if s.phase.resident and s.phase not in leaving and not s.leaving
        }
        others = (known[name] for name in started - {waiting[0]})
        if any(other.memory and not other.phase.resident for other in others):
            stays = (up - evicted) | started | {waiting[0]}
            self.assertLessEqual(sum(known[n].memory for n in stays), budget)

    @given(snapshots())
    def test_it_comes_to_rest(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Moves do not call for each other for ever.
        """
        views, waiting, budget = snapshot
        by_name = {s.name: s for s in views}
        for _ in range(3 * len(views) + 1):
            moves = plan(by_name.values(), waiting, budget)
            for move in moves:
                now = by_name[move.name]
                match move:
                    case Admit(name):
                        if not now.full and now.in_flight < 3:
                            waiting = [other for other in waiting if other != name]
                        after = evolve(now, in_flight=now.in_flight + 1)
                    case Start():
                        kept = now.phase is Phase.DRAINING
                        phase = Phase.READY if kept else Phase.STARTING
                        after = evolve(now, phase=phase)
                    case Evict():
                        busy = now.phase is Phase.READY and now.in_flight
                        phase = Phase.DRAINING if busy else Phase.STOPPING
                        after = evolve(now, phase=phase)
                by_name[move.name] = after
            if all(isinstance(move, Admit) for move in moves):
                return
        self.fail(f"it goes on and on: {moves}")

    @given(snapshots())
    def test_the_useful_stay(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Without anybody overdue, nothing that answers or lingers is evicted.
        """
        views, waiting, budget = snapshot
        patient = [evolve(s, overdue=False) for s in views]
        by_name = {s.name: s for s in patient}
        for move in plan(patient, waiting, budget):
            if isinstance(move, Evict) and move.wanted_by:
                evicted = by_name[move.name]
                self.assertFalse(evicted.in_flight or evicted.lingers)
                self.assertNotIn(move.name, waiting)

    @given(snapshots())
    def test_the_overdue_are_not_kept_waiting_by_newcomers(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        When the first has waited too long, nobody is let in by what must go for it.
        """
        views, waiting, budget = snapshot
        if not waiting:
            return
        views = [evolve(s, overdue=True) if s.name == waiting[0] else s for s in views]
        moves = plan(views, waiting, budget)
        evicted = {m.name for m in moves if isinstance(m, Evict) and m.wanted_by}
        for n, move in enumerate(moves):
            if isinstance(move, Admit) and move.name in evicted:
                # Only those who came before the one it goes for.
                gone = next(
                    i
                    for i, other in enumerate(moves)
                    if isinstance(other, Evict) and other.name == move.name
                )
                self.assertLess(n, gone)
