"""
Which snapshots are restored, and which deleted.
"""

from hashlib import blake2b
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.beginnings import NOTHING, Beginning
from swapgate.continuity.snapshots import (
    Disk,
    Match,
    Snapshot,
    best_match,
    superseded,
    to_delete,
    to_restore,
    value_of,
)
from swapgate.continuity.speeds import Speeds

ROOMY = Disk(free=1000, total=1000)


def said(words: str) -> Beginning:
    """
    A conversation, in which each letter is a block of 64 bytes.
    """
    prefixes = (words[: end + 1].encode() for end in range(len(words)))
    return Beginning(b"".join(blake2b(p, digest_size=8).digest() for p in prefixes))


def snapshot(words: str, **more: Any) -> Snapshot:
    return Snapshot(
        **{
            "id": words,
            "model": "m",
            "validity": "v",
            "digests": said(words).digests,
            "tokens": 16 * len(words) + 5,
            "prompt_tokens": 16 * len(words),
            "size": 100,
            "mtime_ns": 1,
            "ends": "",
            "used_s": 0.0,
            **more,
        }
    )


A, AB, ABC, X = (snapshot(words) for words in ("a", "ab", "abc", "x"))


class MatchTests(SynchronousTestCase):
    """
    By the longest common beginning.
    """

    def test_longest(self) -> None:
        """
        The one that has the most in common, wholly or not.
        """
        match = best_match([A, AB, ABC, X], said("abd"))
        assert match is not None
        self.assertEqual((match.snapshot, match.common), (AB, 128))
        self.assertTrue(match.is_whole)
        self.assertEqual(match.tokens, 32.0)
        match = best_match([ABC], said("abd"))
        assert match is not None
        self.assertFalse(match.is_whole)
        self.assertAlmostEqual(match.tokens, 32.0)

    def test_none(self) -> None:
        """
        Nothing in common, or nothing more than what is at hand.
        """
        for wanted, known in ((said("y"), 0), (NOTHING, 0), (said("abc"), 192)):
            self.assertIsNone(best_match([A, AB, ABC, X], wanted, known))

    def test_latest(self) -> None:
        """
        Of two that have as much, the one that was used last.
        """
        one, other = snapshot("ab", used_s=5.0), snapshot("ac", used_s=6.0)
        match = best_match([other, one], said("ad"))
        assert match is not None
        self.assertIs(match.snapshot, other)

    def test_tokens(self) -> None:
        """
        Where its prompt is not known, all tokens are taken for it.
        """
        unknown = snapshot("ab", prompt_tokens=None)
        self.assertEqual(unknown.tokens_in(64), 37 / 2)
        self.assertEqual(snapshot("").tokens_in(64), 0.0)

    def test_used(self) -> None:
        """
        When it was used last is all that changes.
        """
        self.assertEqual(A.used(9.0), snapshot("a", used_s=9.0))


class RestoreTests(SynchronousTestCase):
    """
    Into the slots of a new daemon.
    """

    def chosen(self, *args: Any) -> list[tuple[int, str]]:
        return [(slot, match.snapshot.id) for slot, match in to_restore(*args)]

    def test_waiting(self) -> None:
        """
        What the waiting requests want, in their order, each once.
        """
        waiting = [said("xx"), said("abd"), said("new"), said("abe")]
        found = self.chosen([A, AB, X], waiting, [0, 1, 2], Speeds())
        self.assertEqual(found, [(0, "x"), (1, "ab")])
        found = self.chosen([A, AB, X], waiting, [3], Speeds())
        self.assertEqual(found, [(3, "x")])

    def test_none_wanted(self) -> None:
        """
        A new conversation waits for no other's snapshot.
        """
        self.assertEqual(self.chosen([A, X], [said("new")], [0], Speeds()), [])

    def test_none_waiting(self) -> None:
        """
        Where none waits, what was used last.
        """
        late = snapshot("x", used_s=9.0)
        found = self.chosen([A, late, AB], [], [0, 1], Speeds())
        self.assertEqual(found, [(0, "x"), (1, "a")])

    def test_pays(self) -> None:
        """
        Only what is faster to restore than to read.
        """
        speeds = Speeds(reading=[10.0], restoring=[(100, 1.0)])
        found = self.chosen([A, ABC], [said("a"), said("abcd")], [0, 1], speeds)
        self.assertEqual(found, [(0, "abc")])


class SupersededTests(SynchronousTestCase):
    """
    A conversation that has gone on is kept once.
    """

    def test_goes_on(self) -> None:
        """
        What was saved of its earlier turns goes, and no other conversation or model.
        """
        other = snapshot("ab", model="other")
        found = superseded([A, AB, ABC, X, other], "m", said("abd"))
        self.assertEqual(found, [A, AB])


class DeleteTests(SynchronousTestCase):
    """
    For room on the disk.
    """

    def deleted(
        self, kept: list[Snapshot], need: int, most: int, disk: Disk
    ) -> list[str] | None:
        found = to_delete(kept, need, most, disk, lambda each: each.used_s)
        return None if found is None else [each.id for each in found]

    def test_within(self) -> None:
        """
        Nothing, while there is room.
        """
        self.assertEqual(self.deleted([A, AB], 100, 300, ROOMY), [])

    def test_least_valuable(self) -> None:
        """
        The least valuable first, and no more than needed.
        """
        first, last = snapshot("f", used_s=1.0), snapshot("l", used_s=2.0)
        self.assertEqual(self.deleted([last, first], 100, 299, ROOMY), ["f"])
        self.assertEqual(self.deleted([last, first], 100, 199, ROOMY), ["f", "l"])

    def test_too_large(self) -> None:
        """
        For what has no room at all nothing is deleted.
        """
        self.assertIsNone(self.deleted([A], 301, 300, ROOMY))

    def test_disk(self) -> None:
        """
        A tenth of the disk stays free.
        """
        self.assertEqual(self.deleted([A], 100, 300, Disk(200, 1000)), [])
        self.assertEqual(self.deleted([A], 101, 300, Disk(200, 1000)), ["a"])
        self.assertIsNone(self.deleted([A], 100, 300, Disk(50, 1000)))

    def test_value(self) -> None:
        """
        Seconds saved for each byte, less the longer it was not used.
        """
        speeds = Speeds(reading=[100.0])
        large = snapshot("a", tokens=1000, size=200)
        self.assertEqual(value_of(large, speeds, 0.0), 10 / 200)
        self.assertEqual(value_of(large, speeds, 3600.0), 5 / 200)
        # The wall clock may go back.
        self.assertEqual(value_of(large, speeds, -9.0), 10 / 200)
        self.assertEqual(Match(large, 64).tokens, 16.0)
