"""
Page Assist's recorded requests, and the official client of OpenAI.
"""

import json
from hashlib import sha256
from typing import Any

from openai import APIStatusError, AuthenticationError, OpenAI
from twisted.internet.threads import deferToThread

from tests.gate import ROOT
from tests.rig import Answer, RigCase, events_of


class PageAssistTests(RigCase):
    """
    Requests of the browser extension, replayed as they were recorded.
    """

    extra = {"a": "aliases = fast, embed, nomic-embed-text"}

    async def replay(self, recorded: dict[str, Any]) -> Answer:
        client = await self.connect()
        body = recorded["body"].encode()
        headers = dict(recorded["headers"])
        name, _, _ = headers["Host"].partition(":")
        headers["Host"] = f"{name}:{self.port}"
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{recorded['method']} {recorded['path']} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        client.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await client.answer()

    def recordings(self, prefix: str) -> list[dict[str, Any]]:
        """
        Those to the paths that begin so.
        """
        text = (ROOT / "tests" / "page_assist.json").read_text("utf-8")
        return [each for each in json.loads(text) if each["path"].startswith(prefix)]

    async def test_openai(self) -> None:
        """
        Models, chat, images, tools, titles, embeddings: each as the extension reads it;
        the daemon gets the bytes that it has sent.
        """
        await self.start()
        for recorded in self.recordings("/v1/"):
            with self.subTest(name=recorded["name"]):
                answer = await self.replay(recorded)
                self.assertEqual(answer.status, 200, answer.body)
                if recorded["method"] == "GET":
                    self.assertIn("fast", [e["id"] for e in answer.json["data"]])
                    continue
                got = self.told("begun")[-1]["body_sha256"]
                self.assertEqual(got, sha256(recorded["body"].encode()).hexdigest())
                if json.loads(recorded["body"]).get("stream"):
                    self.check_stream(answer)
                else:
                    self.assertIn("choices", answer.json)

    async def test_ollama(self) -> None:
        """
        Its look whether anything runs, the models, a chat that does not say `stream`.
        """
        await self.start()
        [tags, chat] = self.recordings("/api/")
        [root] = [each for each in self.recordings("/") if each["path"] == "/"]
        self.assertEqual((await self.replay(root)).status, 200)
        models = (await self.replay(tags)).json["models"]
        self.assertIn("fast", [model["name"] for model in models])
        answer = await self.replay(chat)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/x-ndjson")
        # It wants the newline of the last line, too.
        self.assertTrue(answer.body.endswith(b"\n"))
        *lines, last = map(json.loads, answer.body.splitlines())
        text = "".join(line["message"]["content"] for line in lines)
        self.assertEqual(text.split(), ["0", "xx1", "xx2", "xx"])
        # Of these it makes the tokens per second that it shows.
        self.assertTrue(last["done"])
        self.assertGreater(last["eval_count"], 0)
        self.assertGreater(last["eval_duration"], 0)

    def check_stream(self, answer: Answer) -> None:
        """
        What the extension can read: no `event:` line, no data without `choices`.
        """
        self.assertNotIn(b"event:", answer.body)
        *chunks, done = events_of(answer.body)
        self.assertEqual(done, "[DONE]")
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        for chunk in chunks:
            self.assertIn("choices", chunk)


class OpenAITests(RigCase):
    """
    The official client, in a thread of its own.
    """

    def client(self) -> OpenAI:
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none")

    async def test_stream_and_plain(self) -> None:
        """
        Streams, plain answers and the list of models are what it expects.
        """
        await self.start()

        def use() -> tuple[list[str], str | None, str]:
            with self.client() as client:
                models = [model.id for model in client.models.list()]
                messages: Any = [{"role": "user", "content": "hi"}]
                plain = client.chat.completions.create(model="b", messages=messages)
                stream = client.chat.completions.create(
                    model="a", messages=messages, stream=True
                )
                text = "".join(c.choices[0].delta.content or "" for c in stream)
                return models, plain.choices[0].message.content, text

        models, plain, text = await deferToThread(use)
        self.assertEqual(models, ["a", "b", "c"])
        self.assertEqual(plain, "Paris.")
        self.assertEqual(text.split(), ["0", "xx1", "xx2", "xx"])

    async def test_keys(self) -> None:
        """
        A wrong one raises what the client has for it, at once; a right one is enough.
        """
        keys = self.journal.with_suffix(".keys")
        keys.write_text("laptop: sk-right-0123456789")
        keys.chmod(0o600)
        self.general = f"api_keys = file:{keys}"
        await self.start(a="")

        def use(key: str) -> str | None:
            with self.client().with_options(api_key=key) as client:
                messages: Any = [{"role": "user", "content": "hi"}]
                plain = client.chat.completions.create(model="a", messages=messages)
                return plain.choices[0].message.content

        with self.assertRaises(AuthenticationError) as raised:
            await deferToThread(use, "sk-wrong-0123456789")
        self.assertEqual(raised.exception.code, "invalid_api_key")
        self.assertEqual(self.told(), [])
        self.assertEqual(await deferToThread(use, "sk-right-0123456789"), "Paris.")

    async def test_a_failed_load_is_not_retried(self) -> None:
        """
        It raises the message at once; one load was tried.
        """
        await self.start(
            a="--exit-after 0.1 --load-time 9 --last-words 'no such model'"
        )

        def use() -> APIStatusError:
            with self.client() as client, self.assertRaises(APIStatusError) as raised:
                client.completions.create(model="a", prompt="hi")
            error: APIStatusError = raised.exception
            return error

        error = await deferToThread(use)
        self.assertEqual(error.status_code, 409)
        self.assertIn("no such model", error.message)
        self.assertEqual(len(self.told("started")), 1)

    async def test_a_cut_stream_raises(self) -> None:
        """
        The error event is raised as an error, after the text that came.
        """
        await self.start()

        def use() -> tuple[int, str]:
            count = 0
            with self.client() as client:
                stream = client.chat.completions.create(
                    model="a",
                    messages=[{"role": "user", "content": "hi"}],
                    stream=True,
                    extra_body={"x_fake": {"after": 2, "then": "die"}},
                )
                try:
                    for _ in stream:
                        count += 1
                except Exception as error:
                    return count, str(error)
            return count, ""

        count, error = await deferToThread(use)
        self.assertEqual(count, 2)
        self.assertIn("ended in the middle of its answer", error)
