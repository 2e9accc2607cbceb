"""
When the slots of a daemon are saved and restored: on a clock that the test moves.
"""

import json
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.answers import Counts
from swapgate.continuity.commands import engine_command
from swapgate.continuity.life import Life, Turn
from swapgate.continuity.slot_table import SlotView
from swapgate.continuity.slots import Refused, Transferred
from swapgate.continuity.store import ModelStore, Store
from swapgate.continuity.transfers import Transfers
from tests.continuity.test_snapshots import said
from tests.doubles import model, run_now

TOKENS = 100


@define(eq=False)
class FakeSlots:
    """
    A daemon's slots: each save writes a file, and may wait for the test to end it.
    """

    folder: Path
    count: int = 1
    told: list[str] = field(factory=list)
    tasks: dict[int, int] = field(factory=dict)
    busy: set[int] = field(factory=set)
    waits: Deferred[None] | None = None
    fails: Exception | None = None
    restore_fails: Exception | None = None

    async def list(self) -> list[SlotView]:
        if self.fails is not None:
            raise self.fails
        return [
            SlotView(n, n in self.busy, self.tasks.get(n), TOKENS + n)
            for n in range(self.count)
        ]

    async def props(self) -> Any:
        return {}

    async def save(self, slot: int, name: str) -> Transferred:
        self.told.append(f"save {slot}")
        if self.waits is not None:
            await self.waits
        (self.folder / name).write_bytes(bytes(TOKENS))
        return Transferred(TOKENS, TOKENS)

    async def restore(self, slot: int, name: str) -> Transferred:
        self.told.append(f"restore {slot}")
        if self.restore_fails is not None:
            raise self.restore_fails
        if self.waits is not None:
            await self.waits
        return Transferred(TOKENS, TOKENS)


class LifeCase(SynchronousTestCase):
    """
    A daemon with one slot, and a folder of its own.
    """

    slots = 1
    words = "llama-server"
    validity = "valid"
    restore_fails: Exception | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = Path(self.mktemp()).absolute()
        self.store = Store(run_now, self.clock.seconds)
        self.store.most_bytes = 10**9
        self.model: ModelStore = self.store.open("m", str(self.folder))
        self.begin()

    def begin(self, *waiting: str, well: bool = True) -> None:
        """
        A new life of the daemon.
        """
        self.fake = FakeSlots(self.folder, self.slots)
        self.fake.restore_fails = self.restore_fails
        fake: Any = self.fake
        transfers = Transfers(self.store, self.model, fake, self.clock)
        spec = model("m", snapshot_delay_s=2.0, snapshot_timeout_s=3.0)
        command = engine_command(self.words.split())
        self.life = Life(spec, command, transfers, fake, self.clock)
        wanted = [said(each) for each in waiting]
        opened = Deferred.fromCoroutine(
            self.life.open(lambda _: succeed(self.validity), wanted)
        )
        self.assertIs(self.successResultOf(opened), well)

    def turn(self, words: str) -> Turn:
        turn = self.life.begin_turn(said(words))
        self.ready = turn.ready()
        return turn

    def end(self, turn: Turn, slot: int = 0, **counts: Any) -> None:
        """
        It was answered, and left its conversation in this slot.
        """
        self.fake.tasks[slot] = self.fake.tasks.get(slot, 0) + 1
        prompt = TOKENS + slot
        self.life.end_turn(turn, Counts(**{"prompt": prompt, "output": 1, **counts}))

    def say(self, words: str, slot: int = 0, **counts: Any) -> None:
        self.end(self.turn(words), slot, **counts)

    def files(self) -> int:
        return len(list(self.folder.glob("*.slot")))


class BackgroundTests(LifeCase):
    """
    After an answer.
    """

    def test_after_the_delay(self) -> None:
        """
        Once it was quiet for so long, and once.
        """
        self.say("a")
        self.clock.advance(1.9)
        self.assertEqual(self.fake.told, [])
        self.clock.advance(0.1)
        self.assertEqual(self.fake.told, ["save 0"])
        self.clock.advance(10)
        self.assertIsNone(self.life.last_save())
        self.assertEqual(self.fake.told, ["save 0"])

    def test_a_request_comes_first(self) -> None:
        """
        While one is answered nothing is saved, and the quiet begins anew after it.
        """
        self.say("a")
        self.clock.advance(1.9)
        turn = self.turn("ab")
        self.clock.advance(10)
        self.assertEqual(self.fake.told, [])
        self.end(turn)
        self.clock.advance(2)
        self.assertEqual(self.fake.told, ["save 0"])
        self.assertEqual(self.files(), 1)

    def test_the_next_one_waits(self) -> None:
        """
        A request that comes while one slot is saved has the others saved later; it
        does not wait itself.
        """
        self.slots = 2
        self.begin()
        first, second = self.turn("a"), self.turn("x")
        self.end(first, 0)
        self.end(second, 1)
        waits = self.fake.waits = Deferred()
        self.clock.advance(2)
        self.assertEqual(self.fake.told, ["save 0"])
        turn = self.turn("ab")
        self.assertIsNone(self.ready)
        self.fake.waits = None
        waits.callback(None)
        self.assertEqual(self.fake.told, ["save 0"])
        self.end(turn, 0)
        self.clock.advance(2)
        self.assertEqual(sorted(self.fake.told[1:]), ["save 0", "save 1"])

    def test_a_slot_that_works(self) -> None:
        """
        It is never saved.
        """
        self.say("a")
        self.fake.busy = {0}
        self.clock.advance(2)
        self.assertEqual(self.fake.told, [])
        self.fake.busy = set()
        self.assertIsNotNone(self.life.last_save())
        self.assertEqual(self.fake.told, ["save 0"])

    def test_no_answer(self) -> None:
        """
        A daemon that does not answer has it tried again after the next answer.
        """
        self.say("a")
        self.fake.fails = ConnectionLost()
        self.clock.advance(2)
        self.fake.fails = None
        self.say("ab")
        self.clock.advance(2)
        self.assertEqual(self.fake.told, ["save 0"])

    def test_bug(self) -> None:
        """
        A mistake of ours is told, and nothing else comes of it.
        """
        self.say("a")
        self.fake.fails = RuntimeError()
        self.clock.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_endless(self) -> None:
        """
        What is saved in the background has an end, too.
        """
        self.say("a")
        self.fake.waits = Deferred()
        self.clock.advance(2)
        self.clock.advance(121)
        self.life.end()
        self.assertIsNone(self.life.last_save())


class LastTests(LifeCase):
    """
    Before the daemon is stopped.
    """

    def test_changed(self) -> None:
        """
        What has changed is saved, without waiting for quiet.
        """
        self.say("a")
        saving = self.life.last_save()
        assert saving is not None
        self.successResultOf(saving)
        self.assertEqual(self.fake.told, ["save 0"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound(self) -> None:
        """
        Nothing waits longer than snapshot_timeout; what was begun goes with the daemon.
        """
        self.say("a")
        self.fake.waits = Deferred()
        saving = self.life.last_save()
        assert saving is not None
        self.clock.advance(2.9)
        self.assertNoResult(saving)
        self.clock.advance(0.1)
        self.successResultOf(saving)

    def test_in_the_background(self) -> None:
        """
        What is being saved already is waited for.
        """
        self.say("a")
        waits = self.fake.waits = Deferred()
        self.clock.advance(2)
        saving = self.life.last_save()
        assert saving is not None
        self.assertNoResult(saving)
        waits.callback(None)
        self.successResultOf(saving)
        self.assertEqual(self.fake.told, ["save 0"])

    def test_forgotten(self) -> None:
        """
        Not what was said before all was deleted.
        """
        self.say("a")
        self.life.forget()
        self.assertIsNone(self.life.last_save())


class RestoreTests(LifeCase):
    """
    Before the requests.
    """

    def kept(self, *words: str) -> None:
        """
        Save these in a life that is over then.
        """
        for each in words:
            self.say(each)
            self.clock.advance(2)
        self.life.end()

    def test_wanted(self) -> None:
        """
        What a request waits for, whose answer shows that it has helped.
        """
        self.kept("a", "x")
        self.begin("ab")
        self.assertEqual(self.fake.told, ["restore 0"])
        self.say("ab", cached=90)
        record = self.model.record
        self.assertEqual((record.proven, record.failures), (True, 0))

    def test_on_demand(self) -> None:
        """
        A conversation that comes back later is restored when it comes.
        """
        self.kept("a", "x")
        self.begin("new")
        self.assertEqual(self.fake.told, [])
        self.say("ab", cached=90)
        self.assertEqual(self.fake.told, ["restore 0"])
        self.assertTrue(self.model.record.proven)

    def test_given_up(self) -> None:
        """
        What has helped nothing twice in a row is tried no more; a purge tries it anew.
        """
        self.kept("a")
        for words in ("ab", "abc"):
            self.begin(words)
            self.say(words, cached=10)
            self.clock.advance(2)
            self.life.end()
        self.begin("abcd")
        self.assertIn("helped nothing", str(self.life.off))
        self.assertEqual((self.fake.told, self.files()), ([], 0))
        self.assertIsNone(self.life.last_save())
        self.successResultOf(Deferred.fromCoroutine(self.store.purge()))
        self.begin("abcd")
        self.assertEqual(self.life.off, "")

    def test_once_is_nothing(self) -> None:
        """
        Once may be chance; and an answer need not tell.
        """
        self.kept("a")
        for words, cached in (("ab", 10), ("abc", None), ("abcd", 90), ("abcde", 10)):
            self.begin(words)
            self.say(words, cached=cached)
            self.clock.advance(2)
            self.life.end()
        self.assertEqual((self.model.record.failures, self.model.record.mark), (1, ""))

    def test_gone(self) -> None:
        """
        A daemon that ends at it is to be started again, and the second time left alone
        from then on.
        """
        self.kept("a", "x")
        self.restore_fails = ConnectionLost()
        self.begin("ab", well=False)
        self.assertEqual((self.life.off, self.files()), ("", 1))
        self.turn("xy")
        self.assertEqual(self.fake.told, ["restore 0"])
        self.begin("xy", well=False)
        self.assertIn("ended at a restore", str(self.life.off))
        self.assertEqual(self.files(), 0)

    def test_beside_others(self) -> None:
        """
        What was never seen to help is not tried while others are answered; nor what
        saves little.
        """
        self.kept("a")
        self.slots = 2
        self.begin("new")
        other = self.turn("new")
        turn = self.turn("ab")
        self.assertEqual(self.fake.told, [])
        self.end(turn, 1)
        self.model.record.proven = True
        self.begin("new")
        self.turn("new")
        self.model.record.speeds.reading = [1000.0]
        self.turn("ab")
        self.assertEqual(self.fake.told, [])
        self.model.record.speeds.reading = [1.0]
        self.turn("ab")
        self.life.end_turn(other, Counts())

    def test_engine_keeps(self) -> None:
        """
        What the engine has in its own memory is left to it, until it shows that it has
        not.
        """
        self.say("a")
        self.clock.advance(2)
        self.say("x")
        self.clock.advance(2)
        self.say("ab", cached=90)
        self.clock.advance(2)
        self.say("xy", cached=0)
        self.clock.advance(2)
        self.assertNotIn("restore 0", self.fake.told)
        self.say("abc", cached=90)
        self.assertIn("restore 0", self.fake.told)

    def test_no_memory(self) -> None:
        """
        Where its command says that it has none it is not asked.
        """
        self.words = "llama-server --cache-ram 0"
        self.begin()
        for words in ("a", "x", "ab"):
            self.say(words)
            self.clock.advance(2)
        self.assertEqual(self.fake.told.count("restore 0"), 1)

    def test_late(self) -> None:
        """
        A restore that takes too long is waited for no longer, nor tried twice.
        """
        self.kept("a")
        self.begin("new")
        self.fake.waits = Deferred()
        turn = self.turn("ab")
        assert self.ready is not None
        self.clock.advance(3)
        self.successResultOf(self.ready)
        self.end(turn)
        self.turn("abc")
        self.assertEqual(self.fake.told, ["restore 0"])

    def test_overwritten(self) -> None:
        """
        A request waits until what it would overwrite is saved, and only then.
        """
        self.say("a")
        self.say("ab")
        self.assertEqual(self.fake.told, [])
        waits = self.fake.waits = Deferred()
        self.turn("x")
        assert self.ready is not None
        self.assertNoResult(self.ready)
        waits.callback(None)
        self.successResultOf(self.ready)
        self.assertEqual((self.fake.told, self.files()), (["save 0"], 1))

    def test_not_worth_it(self) -> None:
        """
        Nor where saving takes long beside reading.
        """
        self.say("a")
        self.model.record.speeds.reading = [1e6]
        self.model.record.speeds.note_saving(TOKENS, TOKENS, 1.0)
        self.turn("x")
        self.assertEqual(self.fake.told, [])

    def test_all_busy(self) -> None:
        """
        Where no slot is at rest nothing is done.
        """
        self.say("a")
        self.fake.busy = {0}
        self.turn("x")
        self.assertEqual(self.fake.told, [])


class OffTests(LifeCase):
    """
    Where nothing can be kept.
    """

    def test_no_slots(self) -> None:
        """
        A daemon that shows none is left alone.
        """
        fake: Any = FakeSlots(self.folder, fails=Refused(404, "no such path"))
        transfers = Transfers(self.store, self.model, fake, self.clock)
        life = Life(model("m"), engine_command(()), transfers, fake, self.clock)
        opened = life.open(lambda _: succeed("valid"), [])
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(opened)))
        self.assertIn("no such path", str(life.off))
        turn = life.begin_turn(said("a"))
        self.assertIsNone(turn.ready())
        turn.ended(b"")
        turn.ended(b"")
        self.assertIsNone(life.last_save())

    def test_says_too_little(self) -> None:
        """
        A daemon of which it cannot be told whether it is the same.
        """
        fake: Any = FakeSlots(self.folder)
        transfers = Transfers(self.store, self.model, fake, self.clock)
        life = Life(model("m"), engine_command(()), transfers, fake, self.clock)
        opened = life.open(lambda _: succeed(None), [])
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(opened)))
        self.assertEqual(life.off, "it does not say what it is")

    def test_unusable(self) -> None:
        """
        A folder that cannot be used.
        """
        self.model.unusable = "it belongs to another user"
        self.begin("a")
        self.assertEqual(self.life.off, "it belongs to another user")

    def test_another_daemon(self) -> None:
        """
        What was saved of another one goes, and what was measured.
        """
        self.say("a", speed=5.0)
        self.clock.advance(2)
        self.assertEqual(self.model.record.speeds.reading, [5.0])
        record = next(self.folder.glob("????????????????.json"))
        self.assertEqual(json.loads(record.read_text())["validity"], "valid")
        self.validity = "another"
        self.begin("ab")
        self.assertEqual((self.fake.told, self.files()), ([], 0))
        self.assertEqual(self.model.record.speeds.reading, [])
