"""
Page Assist's recorded requests, and the official client of OpenAI.
"""

import json
from hashlib import sha256
from typing import Any

from openai import APIStatusError, AuthenticationError, BadRequestError, OpenAI
from twisted.internet.threads import deferToThread

from tests.gate import ROOT
from tests.rig import Answer, Client, RigCase, events_of


def recordings(prefix: str = "/") -> list[dict[str, Any]]:
    """
    What the browser extension really sends, to the paths that begin so.
    """
    text = (ROOT / "tests" / "page_assist.json").read_text("utf-8")
    return [each for each in json.loads(text) if each["path"].startswith(prefix)]


class PageAssistCase(RigCase):
    """
    Replays its requests as they were recorded.
    """

    extra = {"a": "aliases = fast, embed, nomic-embed-text"}

    async def replay(self, recorded: dict[str, Any]) -> Answer:
        return await (await self.send(recorded)).answer()

    async def send(self, recorded: dict[str, Any]) -> Client:
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
        return client

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


class PageAssistTests(PageAssistCase):
    """
    Each of them, as the extension reads its answer.
    """

    async def test_openai(self) -> None:
        """
        Models, chat, images, tools, titles, embeddings: each as the extension reads it;
        the daemon gets the bytes that it has sent.
        """
        await self.start()
        for recorded in recordings("/v1/"):
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
        [tags, chat] = recordings("/api/")
        [root] = [each for each in recordings("/") if each["path"] == "/"]
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


class WaitTests(PageAssistCase):
    """
    What it is sent while its model loads, in each setting.
    """

    general = "keepalive = 200 ms"

    async def waited(self, name: str, notice: str = "") -> tuple[list[Any], bytes]:
        """
        The chunks of the answer to a recorded chat, and all of it.
        """
        self.general += f"\n{notice}"
        await self.start(a="--load-time 1.5")
        [recorded] = [each for each in recordings() if each["name"] == name]
        answer = await self.replay(recorded)
        self.assertEqual(answer.status, 200)
        self.check_stream(answer)
        *chunks, _ = events_of(answer.body)
        return chunks, answer.body

    def thoughts(self, chunks: list[Any]) -> str:
        deltas = [each["choices"][0]["delta"] for each in chunks if each["choices"]]
        return "".join(delta.get("reasoning_content") or "" for delta in deltas)

    async def test_by_default(self) -> None:
        """
        "Thinking...", which tells the wait, then the answer; whichever its Origin.
        """
        chunks, body = await self.waited("llamacpp_localhost_chat")
        self.assertIn("loading a, ", self.thoughts(chunks))
        # The fold is over when the answer's text begins.
        first = next(
            n for n, e in enumerate(chunks) if e["choices"][0]["delta"].get("content")
        )
        self.assertEqual(self.thoughts(chunks[first:]), "")
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertGreater(body.count(b"data: "), 3)

    async def test_rewritten_origin(self) -> None:
        chunks, _ = await self.waited("custom_chat")
        self.assertIn("loading a, ", self.thoughts(chunks))

    async def test_none(self) -> None:
        """
        A cursor, and comments that it does not show.
        """
        chunks, body = await self.waited("custom_chat", "notice = none")
        self.assertEqual(self.thoughts(chunks), "")
        self.assertIn(b": swapgate: loading a", body)

    async def test_tools(self) -> None:
        """
        A chat with tools as well.
        """
        chunks, _ = await self.waited("tools")
        self.assertIn("loading a", self.thoughts(chunks))

    async def test_a_failed_load(self) -> None:
        """
        After the thoughts the error is shown, and a proper end.
        """
        self.general += "\nload_timeout = 1 s"
        await self.start(a="--never-healthy")
        [recorded] = [each for each in recordings() if each["name"] == "custom_chat"]
        answer = await self.replay(recorded)
        *chunks, error = events_of(answer.body)
        self.assertIn("loading a", self.thoughts(chunks))
        self.assertEqual(error["error"]["code"], "model_load_failed")

    async def test_ollama(self) -> None:
        """
        By Ollama's API lines without content, whatever is set.
        """
        self.general += "\nnotice = reasoning"
        await self.start(a="--load-time 1.5")
        [recorded] = [e for e in recordings("/api/") if e["method"] == "POST"]
        first, *_ = (await self.replay(recorded)).body.splitlines()
        self.assertEqual(json.loads(first)["message"]["content"], "")

    async def test_others(self) -> None:
        """
        No program is told so.
        """
        await self.start(a="--load-time 1.5")
        stream = await self.begin_stream("a")
        body = await stream.until(b"[DONE]")
        self.assertIn(b": swapgate: loading a", body)
        self.assertNotIn(b"reasoning_content", body)


class TitleTests(PageAssistCase):
    """
    Two tabs with a model each, of which one fits, and titles on.
    """

    general = "fair_wait = 100 ms"

    def recorded(self, name: str, model: str, **wish: Any) -> dict[str, Any]:
        """
        A recorded request, but for its model, and for what its stream is to be like.
        """
        [found] = [each for each in recordings() if each["name"] == name]
        body = found["body"].replace('"fast"', json.dumps(model))
        if wish:
            body = json.dumps({**json.loads(body), "x_fake": wish})
        return {**found, "body": body}

    async def test_two_loads(self) -> None:
        """
        Each title is answered before its model goes, though the other one is waited
        for.
        """
        await self.start(a="", b="")
        first = await self.send(
            self.recorded("custom_chat", "a", tokens=20, interval_s=0.05)
        )
        await first.until(b"x_sent_ns")
        second = await self.send(self.recorded("custom_chat", "b"))
        for tab, model in ((first, "a"), (second, "b")):
            self.assertEqual(events_of((await tab.answer()).body)[-1], "[DONE]")
            title = await self.replay(self.recorded("title", model))
            self.assertEqual((title.status, title.json["model"]), (200, model))
        self.assertEqual([each["name"] for each in self.told("started")], ["a", "b"])

    async def test_another_client_waits(self) -> None:
        """
        The same request of another client comes when its model's turn does.
        """
        await self.start(a="", b="")
        first = await self.send(
            self.recorded("custom_chat", "a", tokens=20, interval_s=0.05)
        )
        await first.until(b"x_sent_ns")
        second = await self.send(self.recorded("custom_chat", "b"))
        await first.answer()
        title = self.recorded("title", "a")
        title["headers"] = [
            [name, "curl/8" if name == "User-Agent" else value]
            for name, value in title["headers"]
        ]
        self.assertEqual((await self.replay(title)).status, 200)
        await second.answer()
        started = [each["name"] for each in self.told("started")]
        self.assertEqual(started, ["a", "b", "a"])


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

    async def test_an_image_without_vision_is_not_retried(self) -> None:
        """
        The engine's 500 is raised as a request's fault, in its words, after one try.
        """
        await self.start()
        said = "image input is not supported - hint: you may need to provide the mmproj"
        sent = {"code": 500, "message": said, "type": "server_error"}

        def use() -> BadRequestError:
            wish = {"status": 500, "body": {"error": sent}}
            with self.client() as client, self.assertRaises(BadRequestError) as raised:
                client.completions.create(
                    model="a", prompt="hi", stream=True, extra_body={"x_fake": wish}
                )
            error: BadRequestError = raised.exception
            return error

        self.assertIn(said, (await deferToThread(use)).message)
        self.assertEqual(len(self.told("begun")), 1)

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
