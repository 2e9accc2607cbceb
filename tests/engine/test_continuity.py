"""
Conversations and swaps, with the real engine and the demo's model.
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.engine_rig import CHAT, SKIP, EngineCase, demo_weights
from tests.rig import events_of

# Read by trial.
skip = SKIP

_TEXT = (
    "the sea was calm and a lamp burned in its tower by an old harbour gulls slept on "
    "wet stones near boats that rocked under stars wind rose from north bringing salt"
)


def story(number: int, words: int) -> str:
    """
    A text of so many words, about as many tokens, that no other begins like.
    """
    random, words_known = Random(number), _TEXT.split()
    return f"{number}. " + " ".join(random.choice(words_known) for _ in range(words))


def chat(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


MORE = ("It is a story.", "What is it about?")


class ContinuityCase(EngineCase):
    """
    The demo, whose models swap with each other.
    """

    timeout = 400
    # Whether the engine has none of the demo's own options.
    plain_engine = False

    async def begin(self, extra: str = "", options: str = "") -> None:
        """
        :param options: of the engine, for all models.
        """
        self.state_dir = Path(self.mktemp()).absolute()
        demo_weights()
        self.options = options
        await self.launch(extra)

    async def launch(self, extra: str = "", cache_home: str = "") -> None:
        await super().launch(f"state_dir = {self.state_dir}\n{extra}", cache_home)

    def write_config(self, extra: str) -> Path:
        path = super().write_config(extra)
        text = path.read_text("utf-8")
        for name in ("gemma", "qwen", "phi"):
            alias = f"--alias demo-{name}"
            text = text.replace(alias, f"{alias} {self.options}")
        if self.plain_engine:
            weights = demo_weights()
            demo = r"swapgate\.demo --persona \w+"
            plain = f"swapgate.engine -m {weights} -c 4096 -np 1 -t 1"
            text = re.sub(demo, plain, text)
        path.write_text(text, "utf-8")
        return path

    async def say(self, *texts: str, model: str = "demo-gemma", **more: Any) -> Any:
        """
        One turn of a conversation, greedy: the answer's JSON, and `first_token_s`.
        """
        self.private |= set(texts)
        body = {
            "model": model,
            "messages": chat(*texts),
            "temperature": 0,
            "max_tokens": 24,
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }
        client = await self.connect()
        began_s = time.monotonic()
        client.send(CHAT, body)
        await client.until(b"\r\n\r\n")
        self.assertIn(b" 200 ", client.heard[:20])
        await client.until(b"data: ")
        first_s = time.monotonic() - began_s
        answer = await client.answer()
        self.assertEqual(answer.status, 200, answer.body)
        *_, last, done = events_of(answer.body)
        self.assertEqual(done, "[DONE]")
        events = events_of(answer.body)[:-1]
        text = "".join(
            choice["delta"].get("content") or ""
            for event in events
            for choice in event["choices"]
        )
        return {**last["timings"], "first_token_s": first_s, "text": text}

    async def swap(self) -> None:
        await self.say("Hello, how are you?", model="demo-qwen")

    def model_folder(self, model: str = "demo-gemma") -> Path:
        [found] = Path(self.state_dir, "snapshots").glob(f"{model}-*")
        return found

    def files(self, suffix: str = ".slot") -> list[Path]:
        pattern = f"*/{'[0-9a-f]' * 16}{suffix}"
        return sorted(Path(self.state_dir, "snapshots").glob(pattern))

    async def until_saved(self, count: int) -> None:
        """
        Wait until so many snapshots are there, each with its record.
        """
        await self.until(lambda: len(self.files()) == len(self.files(".json")) == count)

    async def why(self) -> Any:
        state = (await self.ask("/swapgate/state")).json
        return state["models"][0]["continuity"]["why"]


class SurvivalTests(ContinuityCase):
    """
    What a user sees.
    """

    async def test_same_text(self) -> None:
        """
        After a swap the old prompt is not read again, and the text that follows is what
        it is without a swap.
        """
        await self.begin()
        text = story(1, 900)
        await self.say(text)
        stayed = await self.say(text, *MORE)
        await self.ask("/swapgate/snapshots/purge", {})
        await self.swap()
        first = await self.say(text)
        self.assertLess(first["cache_n"], 20)
        await self.until_saved(1)
        await self.swap()
        back = await self.say(text, *MORE)
        self.assertGreaterEqual(back["cache_n"], first["prompt_n"] - 8)
        self.assertEqual(back["text"], stayed["text"])

    async def test_first_token(self) -> None:
        """
        It is there in a fifth of the time that it takes without, or less, in one run.
        """
        took: dict[str, list[float]] = {"auto": [], "off": []}
        for setting, times in took.items():
            await self.begin(f"continuity = {setting}")
            said = [story(3, 1000)]
            await self.say(*said)
            for _ in range(3):
                said += MORE
                await self.swap()
                # What is compared is not how long the model takes to load.
                await self.ask("/swapgate/models/demo-gemma/load", {})
                times.append((await self.say(*said))["first_token_s"])
            self.end()
            await self.twistd.ended
        self.assertLess(median(took["auto"]), median(took["off"]) / 5)

    async def test_four_slots(self) -> None:
        """
        Two conversations in turns find their own slots again.
        """
        await self.begin(options="-np 4 -c 8192")
        one, other = [story(4, 300)], [story(5, 300)]
        for said in (one, other, one, other):
            await self.say(*said)
            said.extend(MORE)
        await self.until_saved(2)
        await self.swap()
        for said in (one, other):
            found = await self.say(*said)
            self.assertGreater(found["cache_n"], 300)
        await self.until_saved(2)

    async def test_ten_on_one_slot(self) -> None:
        """
        Ten conversations cost ten restores and not ten readings: after a swap, and
        without one where the engine keeps none in its memory.
        """
        await self.begin("snapshot_delay = 100 ms", "--cache-ram 0")
        said = [[story(10 + number, 200)] for number in range(10)]
        for number, each in enumerate(said, start=1):
            await self.say(*each)
            await self.until_saved(number)
            each.extend(MORE)
        for swaps in (False, True):
            if swaps:
                await self.swap()
            for each in said:
                found = await self.say(*each)
                self.assertGreater(found["cache_n"], 100)

    async def test_many_swaps(self) -> None:
        """
        After 50 swaps there is one snapshot for each conversation, and no other file.
        """
        await self.begin("linger = 0")
        said = [story(30, 100)]
        await self.say(*said)
        for _ in range(25):
            await self.swap()
            await self.say(*said, *MORE, max_tokens=1)
        await self.until_saved(1)
        names = {path.name for path in self.model_folder().iterdir()}
        self.assertEqual(len(names - {".nobackup", "swapgate.json"}), 2)


class UselessTests(ContinuityCase):
    """
    A model with a sliding window, of which too little is saved.
    """

    plain_engine = True

    async def test_noticed(self) -> None:
        """
        It is told what would help, and no more time is spent on it.
        """
        # This build saves the window's checkpoints as well, unless there are none.
        await self.begin(options="--ctx-checkpoints 0")
        said = [story(40, 700)]
        await self.say(*said)
        for _ in range(2):
            said += MORE
            await self.swap()
            found = await self.say(*said)
            self.assertLess(found["cache_n"], 100)
        self.assertIn("helped nothing", await self.why())
        self.assertIn("add --swa-full", self.twistd.said.decode())
        await self.swap()
        self.assertEqual(list(self.model_folder().glob("*.slot")), [])


class FileTests(ContinuityCase):
    """
    Files that are not what they were.
    """

    async def test_spoilt(self) -> None:
        """
        A truncated, a foreign, an old file and one of another build do no harm.
        """
        text = story(50, 200)

        def another_build(path: Path) -> None:
            record = path.with_suffix(".json")
            known = json.loads(record.read_text())
            record.write_text(json.dumps({**known, "validity": "0" * 32}))

        def older(path: Path) -> None:
            os.utime(path, (1, 1))

        def foreign(path: Path) -> None:
            path.write_bytes(os.urandom(path.stat().st_size))

        def truncate(path: Path) -> None:
            os.truncate(path, path.stat().st_size // 2)

        await self.begin()
        for spoil in (truncate, foreign, older, another_build):
            await self.ask("/swapgate/snapshots/purge", {})
            await self.say(text)
            self.end()
            await self.twistd.ended
            [path] = self.model_folder().glob("*.slot")
            spoil(path)
            await self.launch()
            found = await self.say(text, *MORE)
            self.assertLess(found["cache_n"], 20, spoil.__name__)
            self.assertFalse(path.exists())
        self.assertNotIn("ended at a restore", self.twistd.said.decode())

    async def test_killed_engine(self) -> None:
        """
        SIGKILL of the engine around a save: the next one reads again, no file stays.
        """
        await self.begin("snapshot_delay = 0")
        text = story(51, 700)
        # Once more, and it counts as a model that crashes after each load.
        for delay_s in (0.001, 0.006):
            await self.say(text)
            await deferLater(reactor, delay_s)
            pid = self.engine()
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        await self.say(text)
        await self.until_saved(1)
        await self.swap()
        self.assertGreater((await self.say(text, *MORE))["cache_n"], 600)

    async def test_killed_gateway(self) -> None:
        """
        SIGKILL of the gateway around a save: the next one restores all or nothing.
        """
        await self.begin("snapshot_delay = 0")
        text = story(52, 700)
        for delay_s in (0.0, 0.002, 0.005, 0.01):
            await self.ask("/swapgate/snapshots/purge", {})
            await self.say(text)
            await deferLater(reactor, delay_s)
            os.kill(self.twistd.pid, signal.SIGKILL)
            await self.twistd.ended
            await self.launch("snapshot_delay = 0")
        found = await self.say(text, *MORE)
        self.assertTrue(found["cache_n"] > 600 or found["cache_n"] < 20)
        await self.until_saved(1)

    async def test_full_disk(self) -> None:
        """
        A disk without room costs a conversation its snapshot, and no request anything.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
        mounted = await deferToThread(subprocess.run, mount, capture_output=True)
        if mounted.returncode == 0:
            self.addCleanup(subprocess.run, ["umount", str(folder)], check=True)
        await self.begin(options=f"--slot-save-path {folder}")
        if mounted.returncode != 0:
            # Who may not mount may not write there either: the engine says the same.
            await self.say("Hello")
            folder.chmod(0o500)
        text = story(53, 900)
        await self.say(text)
        await self.swap()
        self.assertLess((await self.say(text, *MORE))["cache_n"], 20)
        await self.until(lambda: not list(folder.glob("*.slot")))
        self.assertEqual(await self.why(), None)
