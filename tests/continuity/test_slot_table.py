"""
Which conversation is in which slot.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.answers import Counts
from swapgate.continuity.beginnings import NOTHING, Beginning
from swapgate.continuity.slot_table import Slot, SlotTable, SlotView
from tests.continuity.test_snapshots import said, snapshot


def view(
    number: int, task: int | None = None, tokens: int | None = None, busy: bool = False
) -> SlotView:
    return SlotView(number, busy, task, tokens)


def counts(prompt: int, output: int = 1) -> Counts:
    return Counts(prompt=prompt, output=output)


class TableCase(SynchronousTestCase):
    """
    A daemon that has just begun.
    """

    def begin(self, slots: int) -> SlotTable:
        self.table = SlotTable()
        self.table.begin([view(number) for number in range(slots)])
        return self.table

    def ended(self, words: str, found: Counts | None = None) -> None:
        self.table.note_end(said(words), found or Counts())

    def look(self, *views: SlotView) -> None:
        self.table.settle(views, self.table.take_ended())

    def holds(self) -> list[Beginning]:
        return [slot.holds for slot in self.table.slots]


class SettleTests(TableCase):
    """
    After a look at the slots.
    """

    def test_one(self) -> None:
        """
        With one slot the last request is in it.
        """
        self.begin(1)
        self.assertTrue(self.table.is_saved)
        self.ended("a")
        self.ended("b")
        self.assertFalse(self.table.is_saved)
        self.look(view(0, 7, 30))
        [slot] = self.table.to_save
        self.assertEqual((slot.holds, slot.tokens), (said("b"), 30))
        slot.changed = False
        self.assertTrue(self.table.is_saved)
        self.look(view(0, 7, 30))
        self.assertTrue(self.table.is_saved)

    def test_several(self) -> None:
        """
        With more the tokens tell; what cannot be told is not known.
        """
        self.begin(3)
        self.ended("a", counts(10, 3))
        self.ended("b", counts(20))
        self.ended("c")
        self.look(view(0, 1, 12), view(1, 2, 20), view(2, 3, 500))
        self.assertEqual(self.holds(), [said("a"), said("b"), NOTHING])
        prompts = [slot.prompt_tokens for slot in self.table.slots]
        self.assertEqual(prompts, [10, 20, None])
        self.assertEqual(len(self.table.to_save), 2)

    def test_only_one_changed(self) -> None:
        """
        Where one slot has changed, what ended last is in it.
        """
        self.begin(2)
        self.ended("a")
        self.look(view(0), view(1, 5, 40))
        self.assertEqual(self.holds(), [NOTHING, said("a")])

    def test_busy(self) -> None:
        """
        What works is not touched, and looked at later.
        """
        self.begin(2)
        self.ended("a", counts(10))
        self.look(view(0), view(1, 5, 40, busy=True))
        self.assertEqual(self.table.to_save, [])
        self.assertFalse(self.table.is_saved)
        self.look(view(0), view(1, 5, 10))
        self.assertEqual(self.holds(), [NOTHING, said("a")])

    def test_unknown(self) -> None:
        """
        A slot that was used past us holds nothing known; another daemon's slot is
        passed over.
        """
        self.begin(1)
        self.look(view(0, 5, 40), view(9, 1, 1))
        self.assertEqual(self.holds(), [NOTHING])
        self.assertTrue(self.table.is_saved)

    def test_old_build(self) -> None:
        """
        Builds that show neither task nor tokens.
        """
        self.begin(1)
        self.ended("abcd")
        self.look(view(0))
        [slot] = self.table.to_save
        self.assertEqual((slot.holds, slot.tokens), (said("abcd"), 64))
        slot.changed = False
        self.look(view(0))
        self.assertTrue(self.table.is_saved)

    def test_short(self) -> None:
        """
        A prompt that is too short to be known again is not saved.
        """
        self.begin(1)
        self.ended("")
        self.look(view(0, 1, 5))
        self.assertEqual(self.table.to_save, [])

    def test_forget(self) -> None:
        """
        What was there when all was deleted is not saved, looked at or not.
        """
        self.begin(2)
        self.ended("a")
        self.look(view(0, 1, 5), view(1))
        self.ended("b")
        self.table.forget()
        self.assertTrue(self.table.is_saved)
        self.look(view(0, 1, 5), view(1, 2, 5))
        self.assertEqual(self.table.to_save, [])

    def test_bound(self) -> None:
        """
        So many that ended are remembered.
        """
        self.begin(1)
        for _ in range(100):
            self.ended("a")
        self.assertEqual(len(self.table.take_ended()), 64)


class WantedTests(TableCase):
    """
    What a request finds.
    """

    def test_common(self) -> None:
        """
        The longest beginning in any slot, also where none was looked at since.
        """
        self.begin(2)
        self.assertEqual(self.table.common(said("ab")), 0)
        self.ended("abc")
        self.assertEqual(self.table.common(said("abx")), 128)
        self.look(view(0, 1, 1), view(1))
        self.assertEqual(self.table.common(said("abx")), 128)

    def test_may_overwrite(self) -> None:
        """
        What is not saved, unless it goes on.
        """
        self.begin(1)
        self.assertFalse(self.table.may_overwrite(said("x")))
        self.ended("ab")
        self.assertTrue(self.table.may_overwrite(said("x")))
        self.assertFalse(self.table.may_overwrite(said("abc")))
        self.look(view(0, 1, 1))
        self.assertTrue(self.table.may_overwrite(said("x")))
        self.table.slots[0].changed = False
        self.assertFalse(self.table.may_overwrite(said("x")))

    def test_slot(self) -> None:
        """
        As the engine chooses: what has a tenth of it, else the longest unused.
        """
        self.begin(3)
        first, second, third = self.table.slots
        self.assertIs(self.table.slot_for(said("x")), first)
        first.fill(snapshot("abc"))
        self.table.use(first)
        second.fill(snapshot("xyz"))
        self.table.use(second)
        self.assertIs(self.table.slot_for(said("xy")), second)
        self.assertIs(self.table.slot_for(said("new")), third)
        self.assertIs(self.table.slot_for(NOTHING), third)
        third.busy = True
        self.assertIs(self.table.slot_for(said("new")), first)
        self.assertIs(self.table.slot_for(said("xy" * 12)), first)
        first.busy = second.busy = True
        self.assertIsNone(self.table.slot_for(said("new")))

    def test_restored(self) -> None:
        """
        What was restored is expected of the first request that goes on from it.
        """
        self.begin(2)
        kept = snapshot("ab")
        slot: Slot = self.table.slots[1]
        slot.fill(kept)
        self.assertIsNone(self.table.take_restored(said("ax")))
        match = self.table.take_restored(said("abc"))
        assert match is not None
        self.assertIs(match.snapshot, kept)
        self.assertIsNone(self.table.take_restored(said("abc")))
        self.assertTrue(self.table.is_saved)
