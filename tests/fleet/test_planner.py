"""
What the planner does with a snapshot: by value, and through random histories.
"""

from collections.abc import Sequence

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.moves import Admit, Check, Evict, ModelView, Move, Start
from swapgate.fleet.planner import plan, stuck_before
from tests.doubles import view_of


def stopped(name: str, memory: int = 10) -> ModelView:
    return view_of(name, Phase.STOPPED, memory, 0.0)


def ready(
    name: str, memory: int = 10, *, used: float = 0.0, in_flight: int = 0
) -> ModelView:
    return view_of(name, Phase.READY, memory, used, in_flight)


def at(name: str, phase: Phase, memory: int = 10, in_flight: int = 0) -> ModelView:
    return view_of(name, phase, memory, 0.0, in_flight)


class PlanTests(SynchronousTestCase):
    """
    One snapshot, the moves it deserves.
    """

    def check(
        self,
        views: Sequence[ModelView],
        waiting: Sequence[str],
        moves: Sequence[Move],
        *,
        budget: int = 10,
    ) -> None:
        self.assertEqual(plan(views, waiting, budget), list(moves))

    def test_nobody_waits(self) -> None:
        """
        Without a wish nothing is moved, loaded or evicted.
        """
        self.check([stopped("a"), ready("b")], [], [])

    def test_a_free_budget(self) -> None:
        """
        What fits is loaded at once.
        """
        self.check([stopped("a")], ["a"], [Start("a")])

    def test_up_already(self) -> None:
        """
        A ready model serves whoever waits for it.
        """
        self.check([ready("a", in_flight=3)], ["a"], [Admit("a")])

    def test_in_the_way(self) -> None:
        """
        The model in the way is evicted; nothing starts before it is gone.
        """
        self.check([ready("a"), stopped("b")], ["b"], [Evict("a")])
        for phase in (Phase.DRAINING, Phase.STOPPING):
            self.check([at("a", phase), stopped("b")], ["b"], [])

    def test_what_takes_no_memory(self) -> None:
        """
        A remote waits for nobody's memory, even where too much of it is promised.
        """
        busy = [at("a", Phase.STARTING), stopped("b"), stopped("far", 0)]
        self.check(busy, ["a", "b", "far"], [Start("far")])
        over = [at("a", Phase.READY, 10, 1), at("b", Phase.READY, 10, 1)]
        moves = plan([*over, stopped("far", 0)], ["far"], 10)
        self.assertIn(Start("far"), moves)

    def test_after_a_failure(self) -> None:
        """
        A failed model that somebody waits for is tried again.
        """
        self.check([at("a", Phase.FAILED)], ["a"], [Start("a")])

    def test_both_fit(self) -> None:
        """
        Two loads begin at once when both fit.
        """
        self.check(
            [stopped("a", 5), stopped("b", 5)], ["b", "a"], [Start("b"), Start("a")]
        )

    def test_a_stop_that_does_not_end(self) -> None:
        """
        Nothing counts on its memory: another set is evicted for what fits beside it.
        """
        stopping, idle = at("a", Phase.STOPPING, 6), ready("b", 4)
        small = [stopped(name, 1) for name in "cdef"]
        names = [s.name for s in small]
        self.check([stopping, idle, *small], names, [])
        stuck = evolve(stopping, stuck=True)
        self.check([stuck, idle, *small], names, [Evict("b")])
        self.check([stuck, *small], names, [Start(name) for name in names])

    def test_what_must_wait_for_that_end(self) -> None:
        """
        It evicts nothing in vain, and is in no other's way.
        """
        stuck, idle = evolve(at("a", Phase.STOPPING, 6), stuck=True), ready("b", 3)
        big, small = stopped("c", 6), stopped("d", 1)
        self.check([stuck, idle, big], ["c"], [])
        self.check([stuck, idle], ["a"], [])
        self.check([stuck, idle, big, small], ["c", "a", "d"], [Start("d")])
        self.check([stuck, evolve(idle, pinned=True), stopped("e", 2)], ["e"], [])

    def test_the_budget_counts_what_does_not_stop(self) -> None:
        """
        What was found beside it, and is too much now, goes.
        """
        stuck = evolve(at("a", Phase.STOPPING), stuck=True)
        self.check([stuck, ready("b")], [], [Evict("b")])

    def test_before_which_stops(self) -> None:
        """
        Those are told of which the waiting may hear.
        """
        stuck = [evolve(at(name, Phase.STOPPING, 3), stuck=True) for name in "ab"]
        others = [
            ready("up", 1),
            evolve(ready("pinned", 1), pinned=True),
            stopped("far", 0),
            stopped("big", 4),
            stopped("small", 3),
            at("c", Phase.STOPPING, 1),
        ]
        for name, before in {
            "a": ["a"],
            "up": [],
            "far": [],
            "big": ["a", "b"],
            "small": [],
            "c": [],
        }.items():
            found = stuck_before(name, [*stuck, *others], 10)
            self.assertEqual([s.name for s in found], before, name)

    def test_order_of_arrival(self) -> None:
        """
        Where only one fits, it is the one waited for the longest.
        """
        self.check([stopped("a"), stopped("b")], ["b", "a"], [Start("b")])

    def test_the_first_is_not_overtaken(self) -> None:
        """
        What arrived later takes no memory that the first one needs.
        """
        self.check(
            [at("a", Phase.STOPPING, 6), stopped("b", 8), stopped("c", 4)],
            ["b", "c"],
            [],
        )

    def test_what_fits_beside_the_first_goes_on(self) -> None:
        """
        What arrived later may load where it is in nobody's way.
        """
        self.check(
            [at("a", Phase.STOPPING, 6), stopped("b", 6), stopped("c", 4)],
            ["b", "c"],
            [Start("c")],
        )

    def test_the_smallest_sufficient_set(self) -> None:
        """
        The fewest bytes are moved that make the room.
        """
        self.check(
            [ready("a", 6), ready("b", 3), ready("c", 2), stopped("d", 3)],
            ["d"],
            [Evict("b")],
            budget=11,
        )

    def test_two_small_ones(self) -> None:
        """
        Several are evicted where one does not suffice, and no more than suffice.
        """
        self.check(
            [ready("a", 3, used=1), ready("b", 3, used=2), ready("c", 3, used=3),
             stopped("d", 6)],
            ["d"],
            [Evict("a"), Evict("b")],
            budget=9,
        )  # fmt: skip

    def test_the_least_recently_used(self) -> None:
        """
        Among equals the one goes that was used the longest ago.
        """
        self.check(
            [ready("a", 5, used=2.0), ready("b", 5, used=1.0), stopped("c", 5)],
            ["c"],
            [Evict("b")],
        )

    def test_idle_before_busy(self) -> None:
        """
        A larger idle model goes before a smaller one that is answering.
        """
        self.check(
            [ready("a", 4, in_flight=1), ready("b", 6, used=9.0), stopped("c", 4)],
            ["c"],
            [Evict("b")],
        )

    def test_an_unwanted_load_is_given_up(self) -> None:
        """
        A load that nobody waits for any more makes room.
        """
        self.check([at("a", Phase.STARTING), stopped("b")], ["b"], [Evict("a")])

    def test_a_wanted_load_is_finished(self) -> None:
        """
        A load that somebody waits for is not thrown away, whoever came first.
        """
        self.check([at("a", Phase.STARTING), stopped("b")], ["b", "a"], [])
        self.check([at("a", Phase.STARTING), stopped("b")], ["a", "b"], [])

    def test_nothing_is_evicted_before_it_helps(self) -> None:
        """
        While a wanted load is in the way too, an idle model stays.
        """
        self.check(
            [at("a", Phase.STARTING, 5), ready("b", 5), stopped("c", 10)],
            ["c", "a"],
            [],
        )

    def test_served_then_evicted(self) -> None:
        """
        Who came before the swap is still let in.
        """
        late = evolve(stopped("b"), overdue=True)
        self.check([ready("a"), late], ["a", "b"], [Admit("a"), Evict("a")])

    def test_draining_admits_nobody(self) -> None:
        """
        While another model waits too long for its memory, it takes no request.
        """
        draining = at("a", Phase.DRAINING, in_flight=1)
        late = evolve(stopped("b"), overdue=True)
        self.check([draining, late], ["b", "a"], [])
        self.check([draining, stopped("b")], ["b", "a"], [Start("a"), Admit("a")])

    def test_draining_in_vain(self) -> None:
        """
        When nobody else waits any more, a draining model is kept.
        """
        draining = at("a", Phase.DRAINING, in_flight=1)
        self.check([draining, stopped("b")], [], [Start("a")])
        self.check([draining, stopped("b")], ["a"], [Start("a"), Admit("a")])

    def test_another_suffices(self) -> None:
        """
        A model that is asked for again stays where an idle one can go instead.
        """
        self.check(
            [at("a", Phase.DRAINING, 5), ready("b", 5), stopped("c", 5)],
            ["c", "a"],
            [Evict("b"), Start("a"), Admit("a")],
        )

    def test_doubt(self) -> None:
        """
        A daemon that may be dead is asked nothing, and not kept for its own sake.
        """
        suspect = view_of("a", Phase.READY, 10, 0.0, suspect=True)
        self.check([suspect], ["a"], [])
        draining = view_of("a", Phase.DRAINING, 10, 0.0, suspect=True)
        self.check([draining], [], [])
        self.check([draining], ["a"], [])

    def test_costs_nothing(self) -> None:
        """
        A model without memory of its own is in nobody's way.
        """
        self.check([ready("a"), stopped("far", 0)], ["far"], [Start("far")])

    def test_many_small_ones(self) -> None:
        """
        With many residents the set is still sufficient, least recently used, not idle.
        """
        connection_limit = [ready(f"m{n:02}", 2, used=n) for n in range(12)]
        self.check(
            [*connection_limit, stopped("big", 5)],
            ["big"],
            [Evict("m00"), Evict("m01"), Evict("m02")],
            budget=24,
        )

    def test_all_of_many(self) -> None:
        """
        Where all must go, all go.
        """
        connection_limit = [ready(f"m{n:02}", 2, used=n) for n in range(12)]
        everybody = [Evict(each.name) for each in connection_limit]
        self.check(
            [*connection_limit, stopped("big", 24)], ["big"], everybody, budget=24
        )

    def test_many_of_several_sizes(self) -> None:
        """
        What the last one of the set makes needless is spared.
        """
        connection_limit = [ready(f"m{n:02}", 1, used=n) for n in range(11)]
        self.check(
            [*connection_limit, ready("mid", 6, used=3.5), stopped("big", 6)],
            ["big"],
            [Evict("mid")],
            budget=17,
        )

    def test_pinned(self) -> None:
        """
        A pinned model is never evicted, whoever waits.
        """
        pinned = view_of("a", Phase.READY, 6, 0.0, pinned=True)
        self.check([pinned, stopped("b", 6)], ["b"], [])
        self.check(
            [pinned, ready("b", 4, used=9.0), stopped("c", 4)], ["c"], [Evict("b")]
        )

    def test_preload(self) -> None:
        """
        What is to be up is loaded when there is room and nothing waits; nothing is
        evicted for it.
        """
        a = view_of("a", Phase.STOPPED, 6, 0.0, preload=True)
        b = view_of("b", Phase.STOPPED, 6, 0.0, preload=True)
        self.check([a, b], [], [Start("a")])
        self.check([a, ready("c", 6)], [], [])
        self.check([a, stopped("c", 10)], ["c"], [Start("c")])
        self.check([a, at("c", Phase.STARTING, 4)], ["c"], [])

    def test_more_than_the_budget_is_up(self) -> None:
        """
        Daemons that somebody else started are evicted until the budget holds again.
        """
        both = [ready("a", 8, used=2), ready("b", 8, used=1)]
        self.check(both, [], [Evict("b")])
        self.check(both, ["b"], [Evict("a"), Admit("b")])
        self.check([both[0], at("b", Phase.STOPPING, 8)], [], [])

    def test_no_memory_is_no_help(self) -> None:
        """
        Evicting what takes no memory would free none.
        """
        self.check([ready("far", 0), ready("a"), stopped("b")], ["b"], [Evict("a")])


PHASES = st.sampled_from([p for p in Phase if p is not Phase.FAILED])


@st.composite
def snapshots(draw: st.DrawFn) -> tuple[list[ModelView], list[str], int]:
    """
    Any snapshot whose residents keep the budget, as every real one does.
    """
    budget = draw(st.integers(1, 20))
    left = budget
    views = []
    for n in range(draw(st.integers(1, 6))):
        memory = draw(st.integers(0, budget))
        phase = draw(PHASES)
        if phase.resident:
            if memory > left:
                phase = Phase.STOPPED
            else:
                left -= memory
        serving = phase in {Phase.READY, Phase.DRAINING}
        views.append(
            view_of(
                f"m{n}",
                phase,
                memory,
                draw(st.floats(0, 9)),
                draw(st.integers(0, 2)) if serving else 0,
                suspect=serving and draw(st.booleans()),
                preload=draw(st.booleans()),
                lingers=serving and draw(st.booleans()),
                full=serving and draw(st.booleans()),
                leaving=phase is Phase.DRAINING and draw(st.booleans()),
                overdue=draw(st.booleans()),
                stuck=phase is Phase.STOPPING and draw(st.booleans()),
            )
        )
    names = st.sampled_from([s.name for s in views])
    return views, draw(st.lists(names, unique=True)), budget


class PlanProperties(SynchronousTestCase):
    """
    What holds for every snapshot.
    """

    @given(snapshots())
    def test_the_budget_holds(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Nothing starts that does not fit beside all that is not yet gone.
        """
        views, waiting, budget = snapshot
        by_name = {s.name: s for s in views}
        moves = plan(views, waiting, budget)
        loads = [
            by_name[move.name].memory
            for move in moves
            if isinstance(move, Start) and not by_name[move.name].phase.resident
        ]
        resident = sum(s.memory for s in views if s.phase.resident)
        self.assertLessEqual(resident + sum(loads), budget)

    @given(snapshots())
    def test_moves_fit_their_phases(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Only the ready are asked, only the wanted loaded, no wanted load thrown away.
        """
        views, waiting, budget = snapshot
        phases = {s.name: s.phase for s in views}
        preloaded = {s.name for s in views if s.preload}
        for move in plan(views, waiting, budget):
            match move:
                case Admit(name):
                    self.assertIn(name, waiting)
                    self.assertIn(phases[name], {Phase.READY, Phase.DRAINING})
                case Start(name):
                    unasked = name in preloaded and not waiting
                    kept = phases[name] is Phase.DRAINING
                    self.assertTrue(name in waiting or unasked or kept)
                case Evict(name):
                    self.assertIn(phases[name], {Phase.READY, Phase.STARTING})
                    if phases[name] is Phase.STARTING:
                        self.assertNotIn(name, waiting)

    @given(snapshots())
    def test_the_first_in_line_moves(
        self, snapshot: tuple[list[ModelView], list[str], int]
    ) -> None:
        """
        Who waits the longest is served, or something is under way that will serve it.
        """
        views, waiting, budget = snapshot
        if not waiting:
            return
        first = next(s for s in views if s.name == waiting[0])
        moves = plan(views, waiting, budget)
        under_way = any(
            s.phase in {Phase.STARTING, Phase.STOPPING, Phase.DRAINING}
            or s.suspect
            # Its answers will end, or its time to linger.
            or s.in_flight
            or s.lingers
            or s.full
            for s in views
        )
        self.assertTrue(under_way or moves, f"{first} would wait for ever")


class CheckTests(SynchronousTestCase):
    """
    Models of which it is not known yet whether they can be started.
    """

    def test_before_anything_is_evicted(self) -> None:
        """
        The check comes first; once it is made, the eviction.
        """
        up = view_of("a", Phase.READY, 8, 1.0)
        wanted = view_of("b", Phase.STOPPED, 8, 0.0, unchecked=True)
        self.assertEqual(plan([up, wanted], ["b"], 10), [Check("b")])
        wanted = evolve(wanted, unchecked=False)
        self.assertEqual(plan([up, wanted], ["b"], 10), [Evict("a")])

    def test_before_it_is_started(self) -> None:
        """
        Also where there is room, and where it is loaded unasked.
        """
        wanted = view_of("b", Phase.STOPPED, 8, 0.0, unchecked=True)
        self.assertEqual(plan([wanted], ["b"], 10), [Check("b")])
        preloaded = evolve(wanted, preload=True)
        self.assertEqual(plan([preloaded], [], 10), [Check("b")])

    def test_an_eviction_that_has_begun_goes_on(self) -> None:
        """
        What drains for it is not given back to service for want of a new check.
        """
        drains = view_of("a", Phase.DRAINING, 8, 1.0, in_flight=1)
        wanted = view_of("b", Phase.STOPPED, 8, 0.0, unchecked=True, overdue=True)
        self.assertEqual(plan([drains, wanted], ["b", "a"], 10), [Check("b")])

    def test_what_works_serves_on(self) -> None:
        """
        A check may hang: the model in its way lets in whoever asks until it is over,
        however long the one that is checked has been waited for.
        """
        up = view_of("a", Phase.READY, 8, 1.0, in_flight=1)
        for overdue in (False, True):
            wanted = view_of(
                "b", Phase.STOPPED, 8, 0.0, unchecked=True, overdue=overdue
            )
            moves = plan([up, wanted], ["b", "a"], 10)
            self.assertEqual(moves, [Check("b"), Admit("a")])
        wanted = evolve(wanted, unchecked=False)
        self.assertEqual(plan([up, wanted], ["b", "a"], 10), [Evict("a")])

    def test_its_room_is_kept(self) -> None:
        """
        Of what is free, nobody after it takes what it will need.
        """
        up = view_of("a", Phase.READY, 8, 1.0, in_flight=1)
        wanted = view_of("b", Phase.STOPPED, 10, 0.0, unchecked=True, overdue=True)
        small = view_of("c", Phase.STOPPED, 2, 0.0)
        self.assertEqual(plan([up, wanted, small], ["b", "c"], 10), [Check("b")])
        moves = plan([up, wanted, small], ["b", "c"], 12)
        self.assertEqual(moves, [Check("b"), Start("c")])
