"""
The gateway on real sockets and processes: requests, swaps, holding, streams, stop.
"""

import json
from hashlib import sha256

from twisted.internet.defer import Deferred, gatherResults

from tests.rig import Answer, RigCase, events_of, text_of


class SwapTests(RigCase):
    """
    Three models, of which one fits.
    """

    async def test_one_at_a_time(self) -> None:
        """
        Each is served by its own daemon, and no two daemons live at the same moment.
        """
        await self.start()
        for name in ("a", "b", "c", "a"):
            answer = await self.chat(name)
            self.assertEqual((answer.status, answer.json["model"]), (200, name))
        await self.stop()
        alive: set[int] = set()
        for entry in self.told():
            if entry["what"] == "started":
                self.assertEqual(alive, set())
                alive.add(entry["pid"])
            elif entry["what"] == "exited":
                alive.remove(entry["pid"])
        self.assertEqual(alive, set())
        self.assertEqual(
            [entry["name"] for entry in self.told("started")], ["a", "b", "c", "a"]
        )

    async def test_held_until_healthy(self) -> None:
        """
        Many requests come while the model loads; one load serves all, none sees a 503.
        """
        await self.start(a="--load-time 0.5")
        asked = [Deferred.fromCoroutine(self.chat("a")) for _ in range(20)]
        answers: list[Answer] = await gatherResults(asked)
        self.assertEqual([answer.status for answer in answers], [200] * 20)
        self.assertEqual(len(self.told("started")), 1)
        self.assertIn(503, [entry["status"] for entry in self.told("asked")])

    async def test_token_by_token(self) -> None:
        """
        Each token is with the client before the daemon sends the next one.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=5, interval_s=0.1)
        for n in range(5):
            heard = await client.until(b"x_sent_ns", count=n + 1)
            self.assertEqual(heard.count(b"x_sent_ns"), n + 1, "tokens came together")
        answer = await client.answer()
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        self.assertEqual(
            text_of(answer.body).split(), ["0", "xx1", "xx2", "xx3", "xx4", "xx"]
        )
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")

    async def test_a_stream_is_not_cut_by_a_swap(self) -> None:
        """
        Another model waits until the answer in flight has ended.
        """
        await self.start()
        stream = await self.begin_stream("a", tokens=10, interval_s=0.05)
        await stream.until(b"x_sent_ns")
        other = await self.chat("b")
        self.assertEqual(other.status, 200)
        body = (await stream.answer()).body
        *events, done = events_of(body)
        self.assertEqual(done, "[DONE]")
        sent_ns = [event["x_sent_ns"] for event in events if "x_sent_ns" in event]
        [started] = self.told("started", "b")
        self.assertLess(sent_ns[-1] / 1e9, started["at"])

    async def test_an_alias(self) -> None:
        """
        An alias with a space leads to its model.
        """
        self.extra = {"a": "aliases = Qwen 2.5, model.gguf"}
        await self.start()
        answer = await self.chat("Qwen 2.5")
        self.assertEqual(answer.json["model"], "a")


class ProxyTests(RigCase):
    """
    What reaches the daemon, and what comes back.
    """

    async def test_bytes_path_and_query(self) -> None:
        """
        The body arrives byte by byte as it was sent, on the same path and query.
        """
        await self.start()
        body = b'{ "messages":[\n],\t"model" :"a", "x":"\xc3\xa4\\u00e4" }  '
        for target in ("/v1/chat/completions?x=1&y=%20;z", "/infill?"):
            answer = await self.ask(target, body)
            told = answer.json["x_request"]
            self.assertEqual(told["target"], target)
            self.assertEqual(told["body_length"], len(body))
            self.assertEqual(told["body_sha256"], sha256(body).hexdigest())

    async def test_the_normal_path(self) -> None:
        """
        The daemon gets the path in its normal form.
        """
        await self.start()
        for sent, passed in {
            "/v1/v1/chat/completions?x": "/v1/chat/completions?x",
            "/chat/completions/": "/chat/completions",
            "/%76%31/embedd%69ngs": "/v1/embeddings",
            "/v1/audio/speech": "/v1/audio/speech",
        }.items():
            told = (await self.ask(sent, {"model": "a"})).json["x_request"]
            self.assertEqual(told["target"], passed)

    async def test_extra_paths(self) -> None:
        """
        Those of all models and the model's own are relayed; another model's are not.
        """
        self.general = "extra_paths = /v9/new, /api/chat"
        self.extra = {"b": "extra_paths = /v9/other"}
        await self.start()
        for model, path, status in (
            ("a", "/v9/new/", 200),
            ("a", "/api/chat", 200),
            ("b", "/v9/other", 200),
            ("c", "/v9/other", 404),
            ("b", "/v9/new", 404),
            ("a", "/v9", 404),
        ):
            with self.subTest(model=model, path=path):
                answer = await self.ask(path, {"model": model})
                self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(self.told("started", "c"), [])

    async def test_a_large_body(self) -> None:
        """
        Megabytes in one string go through unaltered.
        """
        await self.start()
        body = {"model": "a", "image": "data:image/png;base64," + "QUJD" * 2_000_000}
        told = (await self.ask("/v1/chat/completions", body)).json["x_request"]
        self.assertEqual(told["body_length"], len(json.dumps(body)))

    async def test_headers(self) -> None:
        """
        Headers for the gateway, or of the browser, stay; those for the daemon pass.
        """
        await self.start()
        answer = await self.ask(
            "/v1/messages",
            {"model": "a"},
            Authorization="Bearer sk-secret",
            X_Api_Key="secret",
            Cookie="a=b",
            Origin="http://127.0.0.1",
            Sec_Fetch_Site="none",
            Accept_Encoding="gzip",
            Connection="keep-alive, X-Hop",
            X_Hop="1",
            anthropic_version="2023-06-01",
        )
        told = {name.lower(): v for name, v in answer.json["x_request"]["headers"]}
        self.assertEqual(told["anthropic-version"], "2023-06-01")
        self.assertEqual(told["content-type"], "application/json")
        self.assertEqual(
            set(told) - {"anthropic-version", "content-type"},
            {"host", "content-length"},
        )
        self.assertNotIn("access-control-allow-origin", answer.headers)

    async def test_an_error_of_the_engine(self) -> None:
        """
        The engine's own refusal arrives whole, with its status.
        """
        await self.start()
        error = {"error": {"code": 400, "type": "exceed_context_size_error"}}
        answer = await self.chat("a", status=400, body=error, reason="Strange")
        self.assertEqual((answer.status, answer.json), (400, error))

    async def test_a_large_answer(self) -> None:
        """
        Megabytes without a newline arrive whole.
        """
        await self.start()
        for chunked in (False, True):
            answer = await self.chat("a", plain_bytes=3_000_000, chunked=chunked)
            self.assertEqual(answer.body, b"x" * 3_000_000)

    async def test_a_client_that_reads_nothing(self) -> None:
        """
        Backpressure: what the daemon sends waits in its own socket.
        """
        await self.start()
        client = await self.connect()
        client.transport.pauseProducing()
        behaviour = {"plain_bytes": 100_000_000}
        client.send("/v1/chat/completions", {"model": "a", "x_fake": behaviour})
        await self.until_told("begun")
        # While that one is stuck, others are served, which takes far longer than
        # filling all buffers does.
        for _ in range(20):
            self.assertEqual((await self.chat("a")).status, 200)
        await self.until_told("finished", count=20)
        self.assertEqual(len(self.told("finished")), 20)
        client.transport.resumeProducing()
        while sum(map(len, client.pieces)) < 100_000_000:
            await client.more()
        await self.until_told("finished", count=21)


class StopTests(RigCase):
    """
    A clean stop.
    """

    async def test_held_requests_are_refused(self) -> None:
        """
        They get 503 with Retry-After, and no child outlives the stop.
        """
        await self.start(a="--never-healthy")
        client = await self.begin_stream("a")
        await self.until_told("listening")
        stopping = Deferred.fromCoroutine(self.stop())
        answer = await client.answer()
        self.assertEqual(answer.status, 503)
        self.assertIn("retry-after", answer.headers)
        await stopping
        self.assertEqual(len(self.told("exited")), 1)

    async def test_streams_end_first(self) -> None:
        """
        An answer in flight is finished before its daemon is stopped.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=10, interval_s=0.05)
        await client.until(b"x_sent_ns")
        await self.stop()
        self.assertEqual(events_of((await client.answer()).body)[-1], "[DONE]")
