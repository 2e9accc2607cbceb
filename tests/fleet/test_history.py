"""
What `swapgate.fleet.history` promises: estimates, and words for those who wait.
"""

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.history import LoadTimes, say_wait


class LoadTimesTests(SynchronousTestCase):
    """
    What the next load may take.
    """

    def test_none_yet(self) -> None:
        """
        Nothing is promised of a model that was never loaded here.
        """
        self.assertIsNone(LoadTimes().estimate("a"))
        times = LoadTimes()
        times.note("b", 1)
        self.assertIsNone(times.estimate("a"))

    def test_the_last_ones(self) -> None:
        """
        The middle one of the last five: one that was slow for once does not count.
        """
        times = LoadTimes()
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
        again = LoadTimes()
        again.recall(kept[-1])
        self.assertEqual(again.estimate("a"), 1.5)

    def test_what_makes_no_sense(self) -> None:
        """
        A file that something else has written does no harm.
        """
        times = LoadTimes()
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


class WordsTests(SynchronousTestCase):
    """
    What somebody who waits is told.
    """

    def say(self, **facts: Any) -> str:
        usual: dict[str, Any] = {
            "waited_s": 9.4,
            "loading_s": None,
            "estimate_s": None,
            "ahead": 0,
        }
        return say_wait("m", **{**usual, **facts})

    def test_words(self) -> None:
        """
        As much as is known.
        """
        self.assertEqual(self.say(), "waiting for m, 9 s")
        self.assertEqual(self.say(ahead=2, estimate_s=5), "waiting for m, 9 s, 2 ahead")
        self.assertEqual(
            self.say(stopping=("a", 25.3), ahead=1),
            "waiting for a to stop, 25 s so far, 1 ahead",
        )
        self.assertEqual(self.say(loading_s=6.2), "loading m, 6 s")
        self.assertEqual(
            self.say(ahead=1, behind=("a", 119.0)),
            "waiting for m, 9 s, behind an answer of a, 119 s so far, 1 ahead",
        )
        self.assertEqual(
            self.say(behind=("a", 12 * 60 + 59.0)),
            "waiting for m, 9 s, behind an answer of a, 12 min so far",
        )
        self.assertEqual(
            self.say(loading_s=6.2, estimate_s=11.4, ahead=2),
            "loading m, 6 s of about 11 s, 2 ahead",
        )
