"""
Timeline: what is remembered of phases and waits, and for how long.
"""

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.timeline import PhaseSpan, Timeline, Waiting, WaitSpan, WaitSpans

WAITING = (Waiting("b", 3, 1.5),)


class PhaseTests(SynchronousTestCase):
    """
    Phases of models.
    """

    def test_one_life(self) -> None:
        """
        What follows of itself has the cause of what led there.
        """
        timeline = Timeline()
        for now_s, phase, cause, waiting in (
            (1, Phase.STARTING, "asked for", WAITING),
            (3, Phase.READY, "", ()),
            (9, Phase.DRAINING, "b is waited for", WAITING),
            (10, Phase.STOPPING, "", ()),
            (11, Phase.STOPPED, "exited with status 0", ()),
        ):
            timeline.note("a", phase, cause, now_s, waiting)
        self.assertEqual(
            list(timeline.since(0)),
            [
                PhaseSpan("a", Phase.STARTING, "asked for", 1, WAITING, 3),
                # More waited at its end than when it began.
                PhaseSpan("a", Phase.READY, "asked for", 3, WAITING, 9),
                PhaseSpan("a", Phase.DRAINING, "b is waited for", 9, WAITING, 10),
                PhaseSpan("a", Phase.STOPPING, "b is waited for", 10, (), 11),
                PhaseSpan("a", Phase.STOPPED, "exited with status 0", 11, (), 11),
            ],
        )
        self.assertEqual([s.began_s for s in timeline.since(10.5)], [10, 11])

    def test_the_next_life(self) -> None:
        """
        It has causes of its own.
        """
        timeline = Timeline()
        timeline.note("a", Phase.READY, "x", 1)
        timeline.note("a", Phase.STOPPED, "y", 2)
        timeline.note("a", Phase.READY, "", 3)
        self.assertEqual(
            [(s.cause, s.ended_s) for s in timeline.since(0)],
            [("x", 2), ("y", 2), ("", inf)],
        )

    def test_an_hour(self) -> None:
        """
        What ended before that is forgotten, what goes on is not.
        """
        timeline = Timeline()
        timeline.note("long", Phase.READY, "", 0)
        timeline.note("a", Phase.READY, "", 1)
        timeline.note("a", Phase.STOPPED, "", 2)
        for n in range(2000):
            timeline.note("b", Phase.READY, "", 4000 + n)
            timeline.note("b", Phase.STOPPED, "", 4000 + n + 0.5)
        kept = list(timeline.since(0))
        self.assertEqual(kept[0].model, "long")
        # The one that goes on came first, and kept the place of those after it.
        timeline.note("long", Phase.STOPPED, "", 7700)
        timeline.note("b", Phase.READY, "", 11_400)
        self.assertNotIn("a", {s.model for s in timeline.since(0)})

    def test_a_busy_hour(self) -> None:
        """
        So many are kept; of what is up still, none is lost.
        """
        timeline = Timeline()
        timeline.note("long", Phase.READY, "", 0)
        for n in range(3000):
            timeline.note("b", Phase.READY, "", 1 + n / 10)
            timeline.note("b", Phase.STOPPED, "", 1.05 + n / 10)
        kept = list(timeline.since(0))
        self.assertEqual((len(kept), kept[0].model), (2001, "long"))
        self.assertEqual(kept[0].ended_s, inf)


class WaitTests(SynchronousTestCase):
    """
    Waits for one model.
    """

    def test_together(self) -> None:
        """
        From the first that comes to the last that goes.
        """
        spans = WaitSpans()
        spans.begin(1)
        spans.begin(2)
        self.assertEqual(list(spans.since(0)), [WaitSpan(1, inf, 2, 0)])
        spans.end(5, 4, left=True)
        spans.end(6, 3, left=False)
        self.assertEqual(list(spans.since(0)), [WaitSpan(1, 6, 2, 4)])
        self.assertEqual(list(spans.since(6.5)), [])

    def test_close_together(self) -> None:
        """
        Are shown as one; what comes later is another.
        """
        spans = WaitSpans()
        for began_s, ended_s in ((1, 2), (2.5, 3), (5, 6)):
            spans.begin(began_s)
            spans.end(ended_s, ended_s - began_s, left=False)
        self.assertEqual(
            list(spans.since(0)), [WaitSpan(1, 3, 2, 1), WaitSpan(5, 6, 1, 1)]
        )

    def test_bounds(self) -> None:
        """
        An hour, and so many.
        """
        spans = WaitSpans()
        spans.begin(0)
        spans.end(1, 1, left=False)
        spans.begin(4000)
        self.assertEqual([s.began_s for s in spans.since(0)], [4000])
        spans.end(4001, 1, left=False)
        for n in range(300):
            spans.begin(5000 + 3 * n)
            spans.end(5001 + 3 * n, 1, left=False)
        self.assertEqual(len(list(spans.since(0))), 50)

    def test_nothing_began(self) -> None:
        """
        An end without a beginning is no wait.
        """
        spans = WaitSpans()
        spans.end(1, 1, left=False)
        self.assertEqual(list(spans.since(0)), [])
