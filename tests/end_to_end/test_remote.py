"""
The gateway before remote daemons: real sockets, TLS, keys.
"""

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.authority import Authority
from tests.machine import Machine
from tests.rig import Answer, RigCase

KEY = "sk-a-secret"


class RemoteCase(RigCase):
    """
    A gateway with a child `a` that fills the budget, and a remote `r`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.machine = Machine()
        self.addCleanup(self.machine.turn_off)

    async def begin(self, options: str = "", scheme: str = "http") -> None:
        here = f"{scheme}://127.0.0.1:{self.machine.port}"
        self.extra = {
            "a": (
                f"\n[model r]\nservice = remote\nupstream = {here}\n"
                f"load_timeout = 500 ms\n{options}\n"
            )
        }
        await self.start(a="")

    async def until_answered(self) -> Answer:
        """
        Send requests until it is back; the test's timeout is the bound.
        """
        while (answer := await self.chat("r")).status != 200:
            await deferLater(reactor, 0.05)
        return answer


class ServingTests(RemoteCase):
    """
    A remote that is up.
    """

    async def test_beside_a_full_budget(self) -> None:
        """
        It takes no memory, so no model is evicted for it; it gets its own key.
        """
        key = Path(self.mktemp())
        key.write_text(f"{KEY}\n")
        key.chmod(0o600)
        self.machine.turn_on()
        await self.begin(f"api_key = file:{key.absolute()}")
        self.assertEqual((await self.chat("a")).status, 200)
        body = {"model": "r"}
        answer = await self.ask(
            "/v1/completions", body, Authorization="Bearer client's"
        )
        self.assertEqual(answer.json, {"machine": "answers"})
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        paths, keys = zip(*self.machine.asked, strict=True)
        self.assertEqual(paths, ("/health", "/v1/completions"))
        self.assertEqual({*keys}, {f"Bearer {KEY}"})

    async def test_no_key(self) -> None:
        """
        Without one nothing of the client's takes its place.
        """
        self.machine.turn_on()
        await self.begin()
        await self.ask(
            "/v1/completions", {"model": "r"}, Authorization="Bearer client's"
        )
        self.assertEqual([key for _, key in self.machine.asked], [None, None])

    async def test_how_often_it_is_asked(self) -> None:
        """
        Twice, and where a kept connection was closed before that does not count; one
        that was kept meanwhile is none to ask for the second time.
        """
        self.machine.turn_on()
        await self.begin()
        self.assertEqual((await self.chat("r")).status, 200)
        self.machine.hangs_up = True
        self.machine.asked.clear()
        self.assertEqual((await self.chat("r")).status, 502)
        paths = [path for path, _ in self.machine.asked if path != "/health"]
        self.assertEqual(len(paths), 3)

    async def test_stays_when_the_gateway_stops(self) -> None:
        """
        There is nothing to wait for.
        """
        self.machine.turn_on()
        await self.begin()
        self.assertEqual((await self.chat("r")).status, 200)
        before = reactor.seconds()
        await self.stop()
        self.assertLess(reactor.seconds() - before, 5)

    async def test_another_path(self) -> None:
        """
        Not every server has a /health.
        """
        self.machine.turn_on()
        await self.begin("health = /api/version")
        self.assertEqual((await self.chat("r")).status, 200)
        self.assertEqual(self.machine.asked[0][0], "/api/version")


class DownTests(RemoteCase):
    """
    A remote that is down, and comes back by itself.
    """

    async def test_from_the_start(self) -> None:
        """
        Polled until load_timeout, then a failed load that clients do not retry.
        """
        await self.begin()
        answer = await self.chat("r")
        self.assertEqual(answer.status, 409)
        self.assertEqual(answer.error["code"], "model_load_failed")
        self.assertIn(
            "not healthy within 0.5 s; raise load_timeout if it needs more; it can be "
            f"tried again in 1 s\nhttp://127.0.0.1:{self.machine.port}, GET /health: "
            "Connection was refused",
            answer.error["message"],
        )
        self.machine.turn_on()
        self.assertEqual((await self.until_answered()).json, {"machine": "answers"})

    async def test_while_it_served(self) -> None:
        """
        A refused request is the first sign; the same answer, and the same way back.
        """
        self.machine.turn_on()
        await self.begin()
        self.assertEqual((await self.chat("r")).status, 200)
        await self.machine.turn_off()
        answer = await self.chat("r")
        self.assertEqual(answer.status, 409)
        self.assertIn("not healthy within 0.5 s", answer.error["message"])
        self.machine.turn_on()
        await self.until_answered()

    async def test_a_wrong_certificate(self) -> None:
        """
        It counts as down; with its authority in SSL_CERT_FILE it is trusted.
        """
        authority = Authority()
        self.machine.turn_on(authority.server("127.0.0.1"))
        await self.begin(scheme="https")
        self.assertEqual((await self.chat("r")).status, 409)
        self.assertEqual(self.machine.asked, [])
        trusted = Path(self.mktemp())
        trusted.write_bytes(authority.pem)
        os.environ["SSL_CERT_FILE"] = str(trusted.absolute())
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        self.assertEqual((await self.until_answered()).json, {"machine": "answers"})

    async def test_a_key_file_open_to_others(self) -> None:
        """
        It is not used; the error names the remedy, and not the key.
        """
        key = Path(self.mktemp())
        key.write_text(KEY)
        key.chmod(0o600)
        self.machine.turn_on()
        await self.begin(f"api_key = file:{key.absolute()}")
        key.chmod(0o644)
        answer = await self.chat("r")
        self.assertEqual(answer.status, 409)
        self.assertIn(f"chmod 600 {key.absolute()}", answer.error["message"])
        self.assertNotIn(KEY, answer.error["message"])
        self.assertEqual(self.machine.asked, [])

    async def test_unhealthy(self) -> None:
        """
        Waiting requests are told what its health answered.
        """
        self.machine.health = 500
        self.machine.turn_on()
        await self.begin()
        message = (await self.chat("r")).error["message"]
        self.assertIn("GET /health was answered with 500", message)


class StreamTests(RemoteCase):
    """
    A stream from another machine, by https.
    """

    async def test_token_by_token(self) -> None:
        """
        Each event arrives before the next one is sent; a cut is reported.
        """
        authority = Authority()
        trusted = Path(self.mktemp())
        trusted.write_bytes(authority.pem)
        os.environ["SSL_CERT_FILE"] = str(trusted.absolute())
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        self.machine.turn_on(authority.server("127.0.0.1"))
        self.machine.hold = True
        await self.begin(scheme="https")
        client = await self.begin_stream("r")
        while not self.machine.held:
            await deferLater(reactor, 0.01)
        [request] = self.machine.held
        request.setHeader("Content-Type", "text/event-stream")
        for number in range(3):
            request.write(f'data: {{"choices": [{number}]}}\n\n'.encode())
            await client.until(b'{"choices": [%d]}' % number)
        await self.machine.turn_off()
        body = await client.closed()
        self.assertIn(b'"code": "upstream_failed"', body)
        self.assertFalse(body.endswith(b"0\r\n\r\n"))


class NoHealthTests(RemoteCase):
    """
    `health = none`: an upstream that holds requests itself is not polled.
    """

    async def test_held_there(self) -> None:
        """
        The request is sent at once, and waits there.
        """
        self.machine.turn_on()
        self.machine.hold = True
        await self.begin("health = none")
        client = await self.connect()
        client.send("/v1/completions", {"model": "r"})
        while not self.machine.held:
            await deferLater(reactor, 0.01)
        [request] = self.machine.held
        request.write(b"after a while")
        request.finish()
        self.assertEqual((await client.answer()).body, b"after a while")
        self.assertEqual(self.machine.asked, [("/v1/completions", None)])

    async def test_down(self) -> None:
        """
        Only its port tells; it is back by itself here too.
        """
        await self.begin("health = none")
        self.assertEqual((await self.chat("r")).status, 409)
        self.machine.turn_on()
        await self.until_answered()
        await self.machine.turn_off()
        self.assertEqual((await self.chat("r")).status, 409)
        self.machine.turn_on()
        await self.until_answered()
        self.assertNotIn("/health", [path for path, _ in self.machine.asked])
