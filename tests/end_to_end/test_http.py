"""
What the gateway answers itself, and how clients use their connections.
"""

from socket import SO_SNDBUF, SOL_SOCKET

from tests.rig import RigCase, events_of


class OwnAnswersTests(RigCase):
    """
    Answers that load nothing.
    """

    async def start(self, **models: str) -> None:
        await super().start(**models)
        self.addCleanup(lambda: self.assertEqual(self.told("started"), []))

    async def test_models(self) -> None:
        """
        Names first, then aliases, in OpenAI's shape, under both paths.
        """
        self.extra = {"a": "aliases = x, y y"}
        await self.start()
        for path in ("/v1/models", "/models", "/v1/models/", "/v1/v1/models"):
            answer = await self.ask(path)
            self.assertEqual(answer.json["object"], "list")
            ids = [entry["id"] for entry in answer.json["data"]]
            self.assertEqual(ids, ["a", "b", "c", "x", "y y"])
            for entry in answer.json["data"]:
                self.assertEqual(entry["object"], "model")
                self.assertIsInstance(entry["created"], int)

    async def test_health(self) -> None:
        """
        The gateway's own health says nothing of any daemon's.
        """
        await self.start()
        for path in ("/health", "/v1/health"):
            answer = await self.ask(path)
            self.assertEqual((answer.status, answer.json), (200, {"status": "ok"}))

    async def test_head(self) -> None:
        """
        HEAD is GET without the body, its length included; the connection goes on.
        """
        await self.start()
        client = await self.connect()
        for path in ("/v1/models", "/health"):
            client.send(path)
            whole = await client.answer()
            client.send(path, method="HEAD")
            head = await client.answer(head_only=True)
            self.assertEqual(head.headers["content-length"], str(len(whole.body)))

    async def test_refusals(self) -> None:
        """
        Each mistake has its status and its code, in the OpenAI shape.
        """
        await self.start()
        chat = "/v1/chat/completions"
        for path, body, status, code in (
            (chat, {"model": "zz"}, 404, "model_not_found"),
            (chat, {"messages": []}, 400, None),
            (chat, {"model": 3}, 400, None),
            (chat, {"model": "a", "stream": "yes"}, 400, None),
            (chat, b'{"model":"a",', 400, None),
            (chat, b'{"model":"a","model":"b"}', 400, None),
            (chat, b'{"model":"\xff"}', 400, None),
            (chat, b"", 400, None),
            ("/slots/0?action=save", {"model": "a"}, 403, None),
            ("/%73lots/0", {"model": "a"}, 403, None),
            ("/props", {"model": "a"}, 403, None),
            ("/lora-adapters", {"model": "a"}, 403, None),
            ("/models/load", {"model": "a"}, 403, None),
            ("/v1/load_lora_adapter", {"model": "a"}, 403, "not_relayed"),
            ("/v1/v1/slots/0", {"model": "a"}, 403, "not_relayed"),
            ("/sleep/", {"model": "a"}, 403, "not_relayed"),
            ("/collective_rpc", {"model": "a"}, 403, "not_relayed"),
            ("/v1/v1/v1/chat/completions", {"model": "a"}, 404, "not_found"),
            ("/V1/chat/completions", {"model": "a"}, 404, "not_found"),
            ("/v1/tomorrow", {"model": "a"}, 404, "not_found"),
            ("/", {"model": "a"}, 405, "method_not_allowed"),
            ("/v1/./chat/completions", {"model": "a"}, 400, None),
            ("/v1/../props", {"model": "a"}, 400, None),
            ("/v1//chat/completions", {"model": "a"}, 400, None),
            ("/v1%2fchat", {"model": "a"}, 400, None),
            ("/v1/models", {"model": "a"}, 405, "method_not_allowed"),
            ("/health", {"model": "a"}, 405, "method_not_allowed"),
            ("/nothing/here", None, 404, "not_found"),
        ):
            with self.subTest(path=path, body=body):
                answer = await self.ask(path, body)
                self.assertEqual(answer.status, status, answer.body)
                self.assertTrue(answer.error["message"])
                if code:
                    self.assertEqual(answer.error["code"], code)

    async def test_an_unknown_model_names_the_known(self) -> None:
        """
        A 404 says which models there are.
        """
        await self.start(first="", second="")
        message = (await self.chat("zz")).error["message"]
        for name in ("zz", "first", "second"):
            self.assertIn(name, message)

    async def test_content_types(self) -> None:
        """
        Only JSON is accepted, and it must not be compressed.
        """
        await self.start()
        chat = "/v1/chat/completions"
        for headers in (
            {"Content_Type": "text/plain"},
            {"Content_Type": "application/x-www-form-urlencoded"},
            {"Content_Encoding": "gzip"},
        ):
            self.assertEqual((await self.ask(chat, {}, **headers)).status, 415)

    async def test_too_large(self) -> None:
        """
        A body over the limit is refused by its length alone, before it is sent.
        """
        await self.start()
        client = await self.connect()
        client.send(
            "/v1/chat/completions",
            b"",
            Content_Length=str(65 * 2**20),
            Expect="100-continue",
        )
        answer = await client.answer()
        self.assertEqual(
            (answer.status, answer.error["type"]), (413, "invalid_request_error")
        )
        await client.closed()

    async def test_too_large_in_chunks(self) -> None:
        """
        A body that does not say how large it is, is refused when it is too large.
        """
        await self.start()
        client = await self.connect()
        client.transport.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            % self.port
        )
        mebibyte = b"100000\r\n%s\r\n" % (b" " * 2**20)
        for _ in range(65):
            client.transport.write(mebibyte)
        self.assertEqual((await client.answer()).status, 413)

    async def test_not_http(self) -> None:
        """
        What is no request gets one error, in the OpenAI shape, and a closed connection.
        """
        await self.start()
        client = await self.connect()
        client.transport.write(b"how do you do\r\n\r\n")
        answer = await client.answer()
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.error["code"], "bad_request")
        self.assertEqual(await client.closed(), b"")


class ConnectionTests(RigCase):
    """
    How clients use their connections.
    """

    async def test_reuse(self) -> None:
        """
        One connection carries streams and plain answers, one after the other.
        """
        await self.start()
        client = await self.connect()
        for stream in (True, False, True, False):
            client.send("/v1/chat/completions", {"model": "a", "stream": stream})
            self.assertEqual((await client.answer()).status, 200)

    async def test_little_is_buffered_by_the_system(self) -> None:
        """
        What a client reads shows in small steps: send_timeout counts it.
        """
        await self.start()
        client = await self.connect()
        client.send("/health")
        await client.answer()
        assert self.service is not None
        [channel] = self.service._site.channels
        buffered = channel.transport.socket.getsockopt(SOL_SOCKET, SO_SNDBUF)
        # Linux counts its own part, too.
        self.assertIn(buffered, (128 * 1024, 256 * 1024))

    async def test_pipelined(self) -> None:
        """
        Requests sent together are answered in their order.
        """
        await self.start()
        client = await self.connect()
        for path in ("/infill?1", "/infill?2", "/infill?3"):
            client.send(path, {"model": "a"})
        for path in ("/infill?1", "/infill?2", "/infill?3"):
            self.assertEqual((await client.answer()).json["x_request"]["target"], path)

    async def test_too_much_behind_a_held_request(self) -> None:
        """
        Much behind a request would hide its hang-up: the connection ends.
        """
        await self.start(a="--never-healthy")
        client = await self.connect()
        client.send("/v1/chat/completions", {"model": "a"})
        client.transport.write(b"x" * 32 * 1024)
        await client.closed()

    async def test_http_1_0(self) -> None:
        """
        An old client gets no chunks; the close ends its answer.
        """
        await self.start()
        client = await self.connect()
        body = {"model": "a", "stream": True}
        client.send("/v1/chat/completions", body, version="1.0")
        answer = await client.answer()
        self.assertNotIn("transfer-encoding", answer.headers)
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")

    async def test_the_end_comes_at_once(self) -> None:
        """
        When the daemon has ended the response, so has the gateway; no sooner.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=1, after_done_hold_s=0.3)
        heard = await client.until(b"[DONE]")
        self.assertFalse(heard.endswith(b"0\r\n\r\n"))
        await client.until(b"0\r\n\r\n")
