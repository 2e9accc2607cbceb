"""
The demo as a newcomer meets it: real engines, a real model, and the real twistd.
"""

import hashlib
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from openai import OpenAI
from twisted.internet.defer import Deferred

from swapgate.demo.weights import NAME, SHA256, cache_folder
from tests.engine_rig import (
    CHAT,
    ENDLESS,
    FRANCE,
    PRINT,
    SKIP,
    STORY,
    TOKEN,
    EngineCase,
    homes,
    text_of,
)
from tests.rig import events_of

# Read by trial.
skip = SKIP

# Whom to ask what, and what the answer must hold.
QUESTIONS = (
    ("demo-gemma", FRANCE, "Paris"),
    ("demo-qwen", "日本の首都はどこですか？", "東京"),  # noqa: RUF001
    ("demo-phi", PRINT, "print"),
)


def fingerprint(path: Path) -> tuple[str, int, int]:
    """
    What a file holds, and whether it is still the same one.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest, path.stat().st_ino, path.stat().st_mtime_ns


class AskingTests(EngineCase):
    """
    Three models behind one port, of which one fits.
    """

    async def test_official_client(self) -> None:
        """
        The official client lists the models and has its answer from each, whole and
        streamed.
        """
        await self.launch()

        def use(client: OpenAI) -> set[str]:
            names = {name for name, _, _ in QUESTIONS}
            self.assertLess(names, {model.id for model in client.models.list()})
            answers = set()
            for name, question, known in QUESTIONS:
                body: Any = self.request(name, question)
                whole = client.chat.completions.create(**body)
                stream = client.chat.completions.create(**body, stream=True)
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                self.assertEqual(whole.model, name)
                answer = str(whole.choices[0].message.content)
                self.assertIn(known, answer)
                self.assertNotIn("\n", answer)
                self.assertEqual(text, answer)
                answers.add(answer)
            return answers

        self.private |= await self.official(use)
        self.assertEqual(len(self.daemons), len(QUESTIONS))

    async def test_raw_http(self) -> None:
        """
        Asked in turns over bare sockets, each has a daemon in a session of its own.
        """
        await self.launch()
        for _ in range(2):
            for name, question, known in QUESTIONS:
                self.assertIn(known, await self.question(name, question))
                pid = self.engine()
                assert pid is not None
                self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(len(self.daemons), 2 * len(QUESTIONS))
        self.assertEqual(self.most_at_once, 1)

    async def test_aliases(self) -> None:
        """
        An alias leads to its model's daemon, which is not loaded again for it.
        """
        await self.launch()
        for name, aliases in {
            "demo-gemma": ("model.gguf", "gemma"),
            "demo-qwen": ("Qwen 2.5",),
            "demo-phi": ("phi-4",),
        }.items():
            await self.question(name, "Hello!")
            loaded = self.engine()
            for alias in aliases:
                answer = await self.ask(CHAT, self.request(alias, "Hello!"))
                self.assertEqual((answer.status, answer.json["model"]), (200, name))
                self.assertEqual(self.engine(), loaded)

    async def test_no_model(self) -> None:
        """
        The engine answers what names no model, as it came, and tells its own name.
        """
        await self.launch("default_model = Qwen 2.5")
        for more in ({}, {"model": None}, {"model": ""}):
            body = {**self.request("", "Hello!"), **more}
            if not more:
                del body["model"]
            answer = await self.ask(CHAT, body)
            self.assertEqual((answer.status, answer.json["model"]), (200, "demo-qwen"))

    async def test_token_by_token(self) -> None:
        """
        A token has a read and a moment of its own; the last chunk says how it went.
        """
        await self.launch()
        await self.question("gemma", "Hello!")
        usage = {"stream_options": {"include_usage": True}}
        client = await self.stream("gemma", STORY, **ENDLESS, **usage, max_tokens=40)
        moments, together = [], []
        while not client.heard.endswith(b"0\r\n\r\n"):
            await client.more()
            if TOKEN in client.pieces[-1]:
                together.append(client.pieces[-1].count(TOKEN))
                moments.append(time.monotonic())
        answer = await client.answer()
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        self.assertNotIn("access-control-allow-origin", answer.headers)
        *chunks, last, done = events_of(answer.body)
        self.assertEqual(done, "[DONE]")
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual(last["usage"]["completion_tokens"], 40)
        # On a busy machine this process sleeps through a few of them.
        self.assertEqual(median(together), 1)
        # The engine's own clock knows how long the tokens took to make.
        took_s = last["timings"]["predicted_ms"] / 1000
        self.assertGreater(moments[-1] - moments[0], took_s * 0.5)
        self.private.add(text_of(chunks))

    async def test_joined_once(self) -> None:
        """
        The first load joins the packaged model in the user's cache, the next one
        finds it.
        """
        home = Path.cwd() / self.mktemp()
        await self.launch(cache_home=str(home))
        weights = cache_folder(homes(str(home)), sys.platform) / NAME
        self.addCleanup(weights.unlink)
        await self.question("gemma", "Hello!")
        joined = fingerprint(weights)
        await self.question("phi-4", "Hello!")
        self.assertEqual(fingerprint(weights), joined)
        self.assertEqual(joined[0], SHA256)


class HoldingTests(EngineCase):
    """
    What the engine says, and what of it a client hears.
    """

    async def loading(self) -> None:
        """
        Wait until the engine is there and refuses, because it is loading.
        """
        await self.until(lambda: self.engine() is not None)
        while True:
            try:
                answer = await self.ask_engine("/health")
            except OSError:
                # Its port is not open yet.
                continue
            self.assertEqual(answer.status, 503, "it was too fast to be seen loading")
            self.assertEqual(answer.json["error"]["message"], "Loading model")
            return

    async def test_loading_is_never_seen(self) -> None:
        """
        Asked before and while the engine says 503, the gateway holds, then answers.
        """
        await self.launch()
        asked = [Deferred.fromCoroutine(self.question("gemma", FRANCE))]
        await self.loading()
        asked += [
            Deferred.fromCoroutine(self.question("gemma", FRANCE)) for _ in range(3)
        ]
        self.assertFalse(any(each.called for each in asked))
        for each in asked:
            self.assertIn("Paris", await each)
        self.assertEqual(len(self.daemons), 1)

    async def test_an_error_of_the_engine(self) -> None:
        """
        Too long a prompt is refused by the engine, in its own words, to the last byte.
        """
        await self.launch()
        await self.question("gemma", "Hello!")
        body = self.request("demo-gemma", "lighthouse " * 5000)
        answer = await self.ask(CHAT, body)
        self.assertEqual(answer.status, 400)
        error = answer.json["error"]
        self.assertEqual(error["type"], "exceed_context_size_error")
        self.assertGreater(error["n_prompt_tokens"], error["n_ctx"])
        own = await self.ask_engine(CHAT, body)
        self.assertEqual((own.status, own.body), (answer.status, answer.body))

    async def test_stopped_while_loading(self) -> None:
        """
        SIGTERM during a load: the waiting client has 503, Retry-After; the engine ends.
        """
        await self.launch()
        client = await self.stream("gemma", FRANCE)
        await self.loading()
        self.end()
        answer = await client.answer()
        self.assertEqual(answer.status, 503)
        self.assertIn("retry-after", answer.headers)
        await self.twistd.ended
