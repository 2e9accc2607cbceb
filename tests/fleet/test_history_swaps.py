"""
What `swapgate.fleet.history` remembers of phases that follow each other.
"""

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.history import Swap, Swaps
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.timeline import Waiting


class SwapsTests(SynchronousTestCase):
    """
    One model's phases, what is told of them.
    """

    def check(self, phases: list[Phase], *told: Swap, failed: bool = False) -> None:
        """
        It comes to each phase a second after the other.
        """
        swaps = Swaps()
        for now_s, (before, after) in enumerate(pairwise(phases)):
            bad = failed or after is Phase.FAILED
            swaps.note("a", before, after, f"reason {now_s}", now_s, failed=bad)
        self.assertEqual(list(swaps), list(told))

    def test_loaded_and_unloaded(self) -> None:
        """
        Each with its cause, its time and how it ended.
        """
        self.check(
            [
                Phase.STOPPED,
                Phase.STARTING,
                Phase.READY,
                Phase.DRAINING,
                Phase.STOPPING,
                Phase.STOPPED,
            ],
            Swap("a", "load", "reason 0", 0, 1, "ready"),
            Swap("a", "unload", "reason 2", 2, 4, "gone"),
        )

    def test_under_way(self) -> None:
        """
        What goes on has no end yet.
        """
        self.check(
            [Phase.FAILED, Phase.STARTING], Swap("a", "load", "reason 0", 0, None, None)
        )

    def test_died(self) -> None:
        """
        A daemon that died while ready is unloaded until its end is proven.
        """
        self.check(
            [Phase.READY, Phase.STOPPING, Phase.STOPPED],
            Swap("a", "unload", "reason 0", 0, 1, "gone"),
        )

    def test_called_off(self) -> None:
        """
        A model that was to go and stays.
        """
        self.check(
            [Phase.READY, Phase.DRAINING, Phase.READY],
            Swap("a", "unload", "reason 0", 0, 1, "called off"),
        )

    def test_stopped_without_a_drain(self) -> None:
        """
        What has died but for its last process: there is nothing to wait for.
        """
        self.check(
            [Phase.READY, Phase.STOPPING, Phase.STOPPED],
            Swap("a", "unload", "reason 0", 0, 1, "gone"),
        )

    def test_given_up(self) -> None:
        """
        A load that nobody wants any more, and one that has failed.
        """
        phases = [Phase.STOPPED, Phase.STARTING, Phase.STOPPING]
        for failed, outcome in ((False, "given up"), (True, "failed")):
            self.check(
                phases,
                Swap("a", "load", "reason 0", 0, 1, outcome),
                Swap("a", "unload", "reason 1", 1),
                failed=failed,
            )

    def test_ended_by_itself(self) -> None:
        """
        While it loads that is a failed load, while it serves it is a crash.
        """
        self.check(
            [Phase.STOPPED, Phase.STARTING, Phase.FAILED],
            Swap("a", "load", "reason 0", 0, 1, "failed"),
        )
        self.check(
            [Phase.STOPPED, Phase.READY, Phase.STOPPED],
            Swap("a", "unload", "reason 1", 1, 1, "gone"),
        )

    def test_found(self) -> None:
        """
        What was up already was not loaded by us.
        """
        self.check([Phase.STOPPED, Phase.READY])

    def test_the_last_ones(self) -> None:
        """
        So many are remembered, and no more.
        """
        swaps = Swaps()
        for now_s in range(1200):
            swaps.note("a", Phase.READY, Phase.STOPPED, "crash", now_s, failed=False)
        kept = list(swaps)
        self.assertEqual((len(kept), kept[0].began_s), (400, 800))
        latest = swaps.latest
        self.assertEqual((len(latest), latest[0].began_s), (50, 1150))

    def test_since(self) -> None:
        """
        What had not ended by then, and what goes on.
        """
        swaps = Swaps()
        for now_s in (1, 5):
            swaps.note("a", Phase.READY, Phase.STOPPED, "crash", now_s, failed=False)
        swaps.note("b", Phase.STOPPED, Phase.STARTING, "", 2, failed=False)
        self.assertEqual([s.began_s for s in swaps.since(3)], [5, 2])

    def test_who_waits(self) -> None:
        """
        When it began or ended, whichever were more.
        """
        waits = [(Waiting("a", 1, 0.0),), (Waiting("a", 3, 2.0),), ()]
        swaps = Swaps(lambda: waits.pop(0))
        swaps.note("a", Phase.STOPPED, Phase.STARTING, "", 1, failed=False)
        swaps.note("a", Phase.STARTING, Phase.READY, "", 3, failed=False)
        [swap] = swaps
        self.assertEqual(swap.waiting, (Waiting("a", 3, 2.0),))
