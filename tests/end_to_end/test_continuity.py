"""
Conversations and swaps, with stand-in daemons that have slots, and every fault of them.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.rig import Answer, RigCase

LONG = "The sea was calm that night, and the lamp burned. " * 20
OTHER = "A loaf of bread needs flour, water and a good deal of time. " * 20


def chat(*texts: str) -> list[dict[str, str]]:
    """
    The messages of a conversation, by turns.
    """
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


class ContinuityCase(RigCase):
    """
    Two models of which one fits; the conversations of the first are looked at.
    """

    general = "snapshot_delay = 50 ms"
    slots = 1

    async def begin(self, fault: dict[str, Any] | None = None, **more: str) -> None:
        """
        :param fault: of the daemons, see `fake_llama.SLOT_FAULTS`.
        :param more: options of the model a.
        """
        self.snapshots = Path(self.mktemp()).absolute()
        extra = "\n".join(f"{name} = {value}" for name, value in more.items())
        self.extra = {"a": f"snapshot_dir = {self.snapshots}\n{extra}"}
        await self.start(a=self.options(fault), b="")

    def options(self, fault: dict[str, Any] | None = None) -> str:
        given = f"--slots {self.slots} --slot-save-path {self.snapshots}"
        return f"{given} --slot-fault '{json.dumps(fault or {})}'"

    async def say(self, *texts: str, model: str = "a", **more: Any) -> Answer:
        body = {"model": model, "messages": chat(*texts), **more}
        answer = await self.ask("/v1/chat/completions", body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    async def cached(self, *texts: str, **more: Any) -> int:
        """
        How many tokens had not to be read again.
        """
        count = (await self.say(*texts, **more)).json["timings"]["cache_n"]
        assert isinstance(count, int)
        return count

    async def swap(self) -> None:
        """
        Another model takes the place of the first.
        """
        await self.say("Hello", model="b")

    def files(self, suffix: str = ".slot") -> list[Path]:
        return sorted(self.snapshots.glob(f"*{suffix}"))

    async def until_files(self, count: int) -> None:
        """
        Wait until so many snapshots are there, each with what says what it is.
        """
        while not (len(self.files()) == len(self.files(".json")) - 1 == count):
            await deferLater(reactor, 0.01)

    async def shown(self) -> Any:
        found = (await self.ask("/swapgate/state")).json
        return found["models"][0]["continuity"]


class SurvivalTests(ContinuityCase):
    """
    A conversation goes on after a swap.
    """

    async def test_saved_in_the_background(self) -> None:
        """
        Soon after an answer, so that the swap waits for nothing; and only what changed.
        """
        await self.begin()
        await self.say(LONG)
        await self.until_files(1)
        await self.swap()
        self.assertEqual(len(self.told("save")), 1)
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)
        self.assertEqual(len(self.told("restore")), 1)
        await self.until_files(1)
        shown = await self.shown()
        self.assertEqual((shown["on"], shown["snapshots"]), (True, 1))

    async def test_saved_at_the_latest(self) -> None:
        """
        Before the daemon is stopped, where there was no time before.
        """
        self.general = "snapshot_delay = 1 h"
        await self.begin()
        await self.say(LONG)
        self.assertEqual(self.told("save"), [])
        await self.swap()
        self.assertEqual(len(self.told("saved")), 1)
        saved, ended = self.told("saved")[0]["at"], self.told("sigterm")[0]["at"]
        self.assertLess(saved, ended)
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)

    async def test_nothing_changed(self) -> None:
        """
        A daemon that has nothing new is stopped at once, and asked nothing.
        """
        await self.begin()
        await self.say(LONG)
        await self.until_files(1)
        await self.swap()
        await self.cached(LONG, "Yes", "And then?")
        await self.until_told("saved", count=2)
        await self.swap()
        self.assertEqual(len(self.told("save")), 2)

    async def test_a_new_conversation(self) -> None:
        """
        It waits for no other's snapshot.
        """
        await self.begin()
        await self.say(LONG)
        await self.swap()
        self.assertEqual(await self.cached(OTHER), 0)
        self.assertEqual(self.told("restore"), [])

    async def test_preloaded(self) -> None:
        """
        Where nothing waits, what was used last is restored.
        """
        await self.begin()
        await self.say(LONG)
        await self.swap()
        await self.ask("/swapgate/models/a/load", {})
        await self.until_told("restored")
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)

    async def test_a_gateway_later(self) -> None:
        """
        What one gateway has saved the next one restores.
        """
        await self.begin()
        await self.say(LONG)
        await self.stop()
        self.assertEqual(len(self.files()), 1)
        await self.serve(self.text(a=self.options(), b=""))
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)

    async def test_private(self) -> None:
        """
        No other user may look, no backup has it, and no name tells anything.
        """
        await self.begin()
        await self.say(LONG)
        await self.until_files(1)
        self.assertEqual(stat.S_IMODE(self.snapshots.stat().st_mode), 0o700)
        for path in self.snapshots.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
            self.assertRegex(
                path.name, r"^([0-9a-f]{16}\.(slot|json)|\.nobackup|swapgate\.json)$"
            )
        [record] = [p for p in self.files(".json") if p.name != "swapgate.json"]
        self.assertNotIn(b"lamp", record.read_bytes())

    async def test_many_swaps(self) -> None:
        """
        Of one conversation one snapshot stays, however often it is swapped.
        """
        await self.begin()
        said = [LONG]
        for _ in range(10):
            await self.say(*said)
            said += ["Yes", "And then?"]
            await self.swap()
        await self.until_files(1)

    async def test_off(self) -> None:
        """
        Off is off: the daemon is not asked for its slots.
        """
        await self.begin(continuity="off")
        await self.say(LONG)
        await self.swap()
        self.assertEqual(self.told("save"), [])
        self.assertEqual(
            await self.shown(),
            {"on": False, "why": "continuity = off", "snapshots": 0, "bytes": 0},
        )


class PurgeTests(ContinuityCase):
    """
    POST /swapgate/snapshots/purge.
    """

    async def test_all(self) -> None:
        """
        All files go, and what was said until then is not saved any more.
        """
        await self.begin()
        await self.say(LONG)
        await self.until_files(1)
        await self.say(LONG, "Yes", "And then?")
        done = await self.ask("/swapgate/snapshots/purge", {})
        self.assertEqual((done.status, done.json["deleted"]), (200, 1))
        self.assertEqual(self.files(), [])
        await self.swap()
        self.assertEqual(self.files(), [])
        self.assertEqual(await self.cached(LONG, "Yes", "And then?"), 0)

    async def test_method(self) -> None:
        """
        A look deletes nothing.
        """
        await self.begin()
        self.assertEqual((await self.ask("/swapgate/snapshots/purge")).status, 405)


class FaultTests(ContinuityCase):
    """
    Whatever goes wrong, requests are answered.
    """

    async def check(self) -> None:
        """
        A conversation through a swap, of which nothing was kept.
        """
        await self.say(LONG)
        await self.swap()
        self.assertEqual(await self.cached(LONG, "Yes", "And then?"), 0)

    async def test_no_slots(self) -> None:
        """
        A daemon that shows none is left alone, and the state says so.
        """
        self.slots = 0
        await self.begin()
        await self.check()
        shown = await self.shown()
        self.assertFalse(shown["on"])
        self.assertIn("slots", shown["why"])

    async def test_saves_none(self) -> None:
        """
        A daemon that was not told where to save is asked once.
        """
        await self.begin({"save": "unknown"})
        await self.say(LONG)
        while (await self.shown())["on"]:
            await deferLater(reactor, 0.01)
        self.assertIn("--slot-save-path", (await self.shown())["why"])
        await self.say(LONG, "Yes", "And then?")
        await self.swap()
        self.assertEqual(len(self.told("save")), 1)

    async def test_bad_saves(self) -> None:
        """
        A save that is refused, has no room, or is not what it says leaves no file.
        """
        for fault in ("refuse", "full", "lie", "elsewhere"):
            await self.begin({"save": fault})
            await self.check()
            await self.stop()
            self.assertEqual(self.files(), [], fault)

    async def test_bad_restores(self) -> None:
        """
        A restore that is refused, or is not what it says, costs its snapshot.
        """
        for fault in ("refuse", "lie", "unknown"):
            await self.begin({"restore": fault})
            await self.say(LONG)
            await self.swap()
            [before] = self.files()
            await self.say(LONG, "Yes", "And then?")
            await self.stop()
            self.assertNotIn(before, self.files(), fault)

    async def test_dies_at_a_restore(self) -> None:
        """
        It is started again without, and its client gets its answer; it is tried once
        more and then no more.
        """
        await self.begin({"restore": "die"})
        await self.check()
        self.assertEqual(len(self.told("started", "a")), 3)
        self.assertEqual(len(self.told("restore")), 1)
        self.assertTrue((await self.shown())["on"])
        await self.swap()
        await self.say(LONG, "Yes", "And then?", "No", "And now?")
        self.assertEqual(len(self.told("restore")), 2)
        self.assertIn("ended at a restore", (await self.shown())["why"])
        self.assertEqual(self.files(), [])
        await self.swap()
        self.assertEqual(len(self.told("save")), 2)

    async def test_dies_at_a_save(self) -> None:
        """
        A daemon that ends in the middle of a save leaves nothing.
        """
        await self.begin({"save": "die"})
        await self.check()
        await self.stop()
        self.assertEqual(self.files(), [])

    async def test_slow_save(self) -> None:
        """
        No swap waits for it longer than snapshot_timeout.
        """
        await self.begin({"save_delay_s": 30}, snapshot_timeout="300 ms")
        await self.check()
        sigterm = self.told("sigterm", "a")[0]["at"]
        self.assertLess(sigterm - self.told("save")[0]["at"], 10)

    async def test_stalled_save(self) -> None:
        """
        Half a file goes with its daemon.
        """
        await self.begin({"save": "stall"}, snapshot_timeout="300 ms")
        await self.say(LONG)
        await self.until_told("save")
        await self.swap()
        while self.files():
            await deferLater(reactor, 0.01)

    async def test_slow_restore(self) -> None:
        """
        Nor does a request wait longer for a restore.
        """
        await self.begin({"restore_delay_s": 2}, snapshot_timeout="100 ms")
        await self.say(LONG)
        await self.swap()
        await self.say(LONG, "Yes", "And then?")
        [restore], ready = self.told("restore"), self.told("begun", "a")[-1]
        self.assertLess(ready["at"] - restore["at"], 1.9)

    async def test_useless(self) -> None:
        """
        Where restoring helps nothing it is given up at the second time, which the state
        and the next gateway know.
        """
        await self.begin({"restore": "useless", "forgets": True})
        said = [LONG]
        for _ in range(4):
            await self.say(*said)
            said += ["Yes", "And then?"]
            await self.swap()
        self.assertEqual(len(self.told("restore")), 2)
        self.assertEqual(len(self.told("save")), 2)
        await self.stop()
        self.assertEqual(self.files(), [])
        await self.serve(self.text(a=self.options(), b=""))
        await self.say(*said)
        # Other options of it, so that it is tried anew.
        self.assertTrue((await self.shown())["on"])

    async def test_useless_in_the_next_gateway(self) -> None:
        """
        The same command is left alone.
        """
        fault = {"restore": "useless", "forgets": True}
        await self.begin(fault)
        said = [LONG]
        for _ in range(3):
            await self.say(*said)
            said += ["Yes", "And then?"]
            await self.swap()
        await self.stop()
        await self.serve(self.text(a=self.options(fault), b=""))
        await self.say(*said)
        self.assertIn("helped nothing", (await self.shown())["why"])

    async def test_a_hang_up(self) -> None:
        """
        A client that goes while its conversation is restored leaves no trouble behind.
        """
        await self.begin({"restore_delay_s": 0.5})
        await self.say(LONG)
        await self.swap()
        client = await self.connect()
        body = {"model": "a", "messages": chat(LONG, "Yes", "And then?")}
        client.send("/v1/chat/completions", body)
        await self.until_told("restore")
        client.transport.abortConnection()
        await self.until_told("restored")
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)


class FileTests(ContinuityCase):
    """
    Files that are not as they were left.
    """

    async def spoil(self, *spoilt: Any) -> None:
        """
        Save one, do that to its files while no gateway runs, and come back.
        """
        await self.begin()
        await self.say(LONG)
        await self.stop()
        for spoil in spoilt:
            [file] = self.files()
            spoil(file)
        await self.serve(self.text(a=self.options(), b=""))
        self.assertEqual(await self.cached(LONG, "Yes", "And then?"), 0)
        self.assertEqual(self.told("restore"), [])
        await self.stop()
        self.assertEqual(len(self.files()), 1)

    async def test_truncated(self) -> None:
        """
        Which would end the real engine.
        """
        await self.spoil(lambda file: os.truncate(file, 100))

    async def test_written_again(self) -> None:
        """
        Also where its size is the same.
        """
        await self.spoil(lambda file: file.write_bytes(bytes(file.stat().st_size)))

    async def test_no_record(self) -> None:
        """
        A file of which nothing is known.
        """
        await self.spoil(lambda file: file.with_suffix(".json").unlink())

    async def test_bad_record(self) -> None:
        """
        A record that cannot be understood.
        """
        await self.spoil(lambda file: file.with_suffix(".json").write_text("{"))

    async def test_while_it_runs(self) -> None:
        """
        A file that is spoilt between two swaps is not restored either.
        """
        await self.begin()
        await self.say(LONG)
        await self.swap()
        os.truncate(self.files()[0], 10)
        self.assertEqual(await self.cached(LONG, "Yes", "And then?"), 0)
        self.assertEqual(self.told("restore"), [])

    async def test_a_foreign_one(self) -> None:
        """
        What is not called as ours is left alone; what is, and is not, goes.
        """
        await self.begin()
        await self.stop()
        (self.snapshots / "my own.bin").write_text("mine")
        (self.snapshots / f"{'0' * 16}.slot").write_text("whose?")
        (self.snapshots / f"{'0' * 16}.json").write_text("[]")
        await self.serve(self.text(a=self.options(), b=""))
        await self.say(LONG)
        await self.until_files(1)
        self.assertTrue((self.snapshots / "my own.bin").exists())
        self.assertFalse((self.snapshots / f"{'0' * 16}.slot").exists())

    async def test_another_command(self) -> None:
        """
        What was saved for another command is not restored, but deleted.
        """
        await self.begin()
        await self.say(LONG)
        await self.stop()
        [old] = self.files()
        await self.serve(self.text(a=f"{self.options()} --load-time 0.01", b=""))
        self.assertEqual(await self.cached(LONG, "Yes", "And then?"), 0)
        self.assertEqual(self.told("restore"), [])
        await self.stop()
        self.assertNotIn(old, self.files())


class ManyTests(ContinuityCase):
    """
    More conversations than one.
    """

    async def test_title(self) -> None:
        """
        What another request overwrites at once is saved first.
        """
        self.general = "snapshot_delay = 1 h"
        await self.begin()
        await self.say(LONG)
        await self.say("A title, please, for a story about a lamp at the sea " * 2)
        self.assertEqual(len(self.told("saved")), 1)
        await self.swap()
        self.assertGreater(await self.cached(LONG, "Yes", "And then?"), 200)

    async def test_ten_on_one_slot(self) -> None:
        """
        Each is restored when it comes back, where its engine keeps none itself.
        """
        await self.begin()
        said = [[f"{number} {LONG}"] for number in range(10)]
        for each in said:
            await self.say(*each)
        for each in said:
            each += ["Yes", "And then?"]
        # The first ones show that this engine has no memory of its own.
        found = [await self.cached(*each) for each in said]
        self.assertEqual([count > 200 for count in found[-9:]], [True] * 9)
        await self.swap()
        found = [await self.cached(*each) for each in said]
        self.assertEqual([count > 200 for count in found], [True] * 10)

    async def wait_for_a_restore(self) -> Any:
        """
        A client whose conversation is being restored, slowly, on demand.
        """
        await self.begin({"restore_delay_s": 0.5})
        for number, text in enumerate((LONG, OTHER), start=1):
            await self.say(text)
            await self.until_files(number)
        await self.swap()
        await self.ask("/swapgate/models/a/load", {})
        await self.until_told("restored")
        client = await self.connect()
        body = {"model": "a", "messages": chat(LONG, "Yes", "And then?")}
        client.send("/v1/chat/completions", body)
        await self.until_told("restore", count=2)
        return client

    async def test_gone_on_demand(self) -> None:
        """
        The request of a client that goes meanwhile is not sent.
        """
        client = await self.wait_for_a_restore()
        begun = len(self.told("begun", "a"))
        client.transport.abortConnection()
        await self.until_told("restored", count=2)
        await self.say(OTHER, "Yes", "And then?")
        self.assertEqual(len(self.told("begun", "a")), begun + 1)

    async def test_unloaded_on_demand(self) -> None:
        """
        A request whose model is unloaded meanwhile is told so.
        """
        client = await self.wait_for_a_restore()
        done = await self.ask("/swapgate/models/a/unload?now=1", {})
        self.assertEqual(done.status, 200)
        answer = await client.answer()
        self.assertEqual((answer.status, answer.error["code"]), (409, "model_unloaded"))

    async def test_interleaved(self) -> None:
        """
        Two conversations in four slots find their own again.
        """
        self.slots = 4
        await self.begin()
        one, other = [LONG], [OTHER]
        for _ in range(2):
            for said in (one, other):
                await self.say(*said)
                said += ["Yes", "And then?"]
        await self.until_files(2)
        await self.swap()
        for said in (one, other):
            self.assertGreater(await self.cached(*said), 200)
        await self.stop()
        self.assertEqual(len(self.files()), 2)

    async def test_disk(self) -> None:
        """
        The least valuable go first when there is no more room.
        """
        self.general = "snapshot_delay = 20 ms\nsnapshot_max = 0.003 MB"
        await self.begin()
        for number in range(5):
            await self.say(f"{number} {LONG}")
            await self.until_told("saved", count=number + 1)
        await self.stop()
        sizes = [file.stat().st_size for file in self.files()]
        self.assertLessEqual(sum(sizes), 3000)
        self.assertGreater(len(sizes), 1)

    async def test_too_large(self) -> None:
        """
        What has no room at all is not kept.
        """
        self.general = "snapshot_delay = 20 ms\nsnapshot_max = 0.0001 MB"
        await self.begin()
        await self.say(LONG)
        await self.until_told("saved")
        await self.swap()
        await self.stop()
        self.assertEqual(self.files(), [])
