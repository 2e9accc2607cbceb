"""
The official clients of three APIs, before real engines of which one fits.
"""

from collections.abc import Callable
from typing import Any

import anthropic
import ollama
from openai import OpenAI
from twisted.internet.threads import deferToThread

from tests.engine_rig import FRANCE, SKIP, EngineCase

# Read by trial.
skip = SKIP

# Both know it, in languages of their own.
MODELS = {
    "demo-gemma": (FRANCE, "Paris"),
    "demo-qwen": ("日本の首都はどこですか？", "東京"),  # noqa: RUF001
}


class ClientTests(EngineCase):
    """
    A whole answer and a stream from one model, then a stream from the other: a swap,
    of whose wait the client is told.
    """

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def check(self, ask: Callable[[str, str, bool], str]) -> None:
        """
        :param ask: model, question, and whether it is a stream; blocks.
        """
        for model, (question, known) in MODELS.items():
            self.private.add(question)
            streamed = await deferToThread(ask, model, question, True)
            whole = await deferToThread(ask, model, question, False)
            self.private.add(whole)
            self.assertIn(known, whole)
            self.assertEqual(streamed, whole)
        self.assertEqual(len(self.daemons), len(MODELS))

    async def refused(self, embed: Callable[[], object]) -> str:
        """
        What is raised where embeddings are asked of a model that makes none.
        """
        with self.assertRaises(Exception) as raised:
            await deferToThread(embed)
        return str(raised.exception)

    async def test_openai(self) -> None:
        """
        Its chats; the engine's words, where it makes no embeddings.
        """
        await self.launch("keepalive = 50 ms")
        with OpenAI(base_url=self.url("/v1"), api_key="none") as client:

            def ask(model: str, question: str, stream: bool) -> str:
                messages: Any = [{"role": "user", "content": question}]
                if not stream:
                    whole = client.chat.completions.create(
                        model=model, messages=messages
                    )
                    return str(whole.choices[0].message.content)
                chunks = client.chat.completions.create(
                    model=model, messages=messages, stream=True
                )
                return "".join(each.choices[0].delta.content or "" for each in chunks)

            await self.check(ask)
            error = await self.refused(
                lambda: client.embeddings.create(model="demo-qwen", input=FRANCE)
            )
        self.assertIn("does not support embeddings", error)

    async def test_responses(self) -> None:
        """
        The newer API of OpenAI's client, which the engine has as well.
        """
        await self.launch("keepalive = 50 ms")
        with OpenAI(base_url=self.url("/v1"), api_key="none") as client:

            def ask(model: str, question: str, stream: bool) -> str:
                if not stream:
                    return client.responses.create(
                        model=model, input=question
                    ).output_text
                events = client.responses.create(
                    model=model, input=question, stream=True
                )
                return "".join(
                    event.delta
                    for event in events
                    if event.type == "response.output_text.delta"
                )

            await self.check(ask)

    async def test_anthropic(self) -> None:
        """
        Anthropic's API, which the engine has as well.
        """
        await self.launch("keepalive = 50 ms")
        with anthropic.Anthropic(base_url=self.url(), api_key="none") as client:

            def ask(model: str, question: str, stream: bool) -> str:
                asked: Any = {
                    "model": model,
                    "max_tokens": 100,
                    "messages": [{"role": "user", "content": question}],
                }
                if not stream:
                    [block] = client.messages.create(**asked).content
                    return str(block.text)
                with client.messages.stream(**asked) as events:
                    return "".join(events.text_stream)

            await self.check(ask)

    async def test_ollama(self) -> None:
        """
        Ollama's API, in translation; the engine's words, where it makes no embeddings.
        """
        await self.launch("keepalive = 50 ms")
        client = ollama.Client(self.url())

        def ask(model: str, question: str, stream: bool) -> str:
            messages: Any = [{"role": "user", "content": question}]
            if not stream:
                return str(client.chat(model, messages=messages).message.content)
            parts = list(client.chat(model, messages=messages, stream=True))
            self.assertTrue(parts[-1].done)
            self.assertGreater(parts[-1].eval_count or 0, 0)
            return "".join(part.message.content or "" for part in parts)

        await self.check(ask)
        error = await self.refused(lambda: client.embed("demo-qwen", FRANCE))
        self.assertIn("does not support embeddings", error)
