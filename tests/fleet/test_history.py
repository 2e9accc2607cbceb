"""
What `swapgate.fleet.history` promises: estimates.
"""

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.history import LoadTimes
from tests.doubles import load_times


class LoadTimesTests(SynchronousTestCase):
    """
    What the next load may take.
    """

    def test_none_yet(self) -> None:
        """
        Nothing is promised of a model that was never loaded here.
        """
        self.assertIsNone(load_times().estimate("a"))
        times = load_times()
        times.note("b", 1)
        self.assertIsNone(times.estimate("a"))

    def test_the_last_ones(self) -> None:
        """
        The middle one of the last five: one that was slow for once does not count.
        """
        times = load_times()
        for seconds in (100, 100, 3, 2, 60, 4, 3.0004):
            times.note("a", seconds)
        self.assertEqual(times.estimate("a"), 3.0)

    def test_kept(self) -> None:
        """
        Every load is handed over to be kept, and can be recalled.
        """
        kept: list[Mapping[str, list[float]]] = []
        times = LoadTimes(kept.append)
        times.note("a", 1)
        times.note("a", 2)
        self.assertEqual(kept[-1], {"a": [1, 2]})
        again = load_times()
        again.recall(kept[-1])
        self.assertEqual(again.estimate("a"), 1.5)

    def test_what_makes_no_sense(self) -> None:
        """
        A file that something else has written does no harm.
        """
        times = load_times()
        broken: tuple[Any, ...] = (
            None,
            [],
            {"a": None},
            {"a": ["x", None, -1, {}, float("inf"), float("nan")]},
            {"a": []},
        )
        for kept in broken:
            times.recall(kept)
            self.assertIsNone(times.estimate("a"))
