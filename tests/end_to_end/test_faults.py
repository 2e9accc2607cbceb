"""
Clients that hang up, daemons that do not come up or die, on real processes.
"""

import os
import signal
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory

from tests.held_timers import HeldTimers
from tests.rig import Answer, Client, RigCase, events_of, unchunked


class HangUpTests(RigCase):
    """
    Clients that hang up.
    """

    async def test_in_the_middle(self) -> None:
        """
        The daemon's connection is closed, and it goes on serving others.
        """
        await self.start()
        for stream in (True, False):
            client = await self.connect()
            behaviour = {
                "tokens": 1000,
                "interval_s": 0.02,
                "delay_s": 0.0 if stream else 60,
            }
            body = {"model": "a", "stream": stream, "x_fake": behaviour}
            client.send("/v1/chat/completions", body)
            await self.until_told("begun", count=1 if stream else 2)
            client.transport.abortConnection()
            await self.until_told("client_gone", count=1 if stream else 2)
        self.assertEqual((await self.chat("a")).status, 200)
        # The request is not sent again for a client that has gone.
        self.assertEqual(len(self.told("begun")), 3)

    async def test_while_held(self) -> None:
        """
        The request of a client that hangs up never reaches the daemon; the others do.
        """
        await self.start(a="--load-time 0.5")
        gone = await self.begin_stream("a")
        stays = Deferred.fromCoroutine(self.chat("a"))
        await self.until_told("started")
        gone.transport.abortConnection()
        self.assertEqual((await stays).status, 200)
        self.assertEqual(len(self.told("begun")), 1)

    async def test_a_load_for_one_client(self) -> None:
        """
        It is given up as soon as another model wants its memory.
        """
        await self.start(a="--load-time 50", b="")
        gone = await self.begin_stream("a")
        await self.until_told("listening", "a")
        gone.transport.loseConnection()
        await gone.closed()
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertEqual(len(self.told("sigterm", "a")), 1)


class BrokenLoadTests(RigCase):
    """
    Daemons that do not come up.
    """

    async def test_exits(self) -> None:
        """
        Its last words are in the error, which tells clients not to retry.
        """
        await self.start(
            a="--load-time 60 --exit-after 0.2 --last-words 'cannot open model.gguf'",
            b="",
        )
        answers: list[Answer] = await gatherResults(
            [Deferred.fromCoroutine(self.chat("a")) for _ in range(3)]
        )
        for answer in answers:
            self.assertEqual(answer.status, 409)
            self.assertEqual(answer.headers["x-should-retry"], "false")
            self.assertEqual(answer.error["code"], "model_load_failed")
            self.assertIn("cannot open model.gguf", answer.error["message"])
            self.assertIn("exited with status 1", answer.error["message"])
        # Nothing is launched for the same request at once.
        self.assertEqual((await self.chat("a")).status, 409)
        self.assertEqual(len(self.told("started", "a")), 1)
        self.assertEqual((await self.chat("b")).status, 200)

    async def test_never_healthy(self) -> None:
        """
        At load_timeout waiting requests fail, and the daemon is stopped.
        """
        self.extra = {"a": "load_timeout = 500 ms"}
        await self.start(a="--never-healthy")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409)
        self.assertIn("not healthy within 0.5 s", answer.error["message"])
        await self.until_told("exited", "a")

    async def test_a_stranger_on_the_port(self) -> None:
        """
        Another server on the daemon's port gets no prompt and is left alone.
        """
        heard = Client()
        listen: Any = reactor.listenTCP
        strangers = Factory.forProtocol(lambda: heard)
        port: Any = listen(0, strangers, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        self.extra = {"a": f"upstream = http://127.0.0.1:{number}"}
        await self.start(a="")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409)
        self.assertIn(f"port {number} is in use", answer.error["message"])
        if sys.platform.startswith("linux"):
            self.assertIn(f"process {os.getpid()}", answer.error["message"])
        self.assertEqual(heard.pieces, [])
        self.assertEqual(self.told("started"), [])


class DyingTests(RigCase):
    """
    Daemons that fail while they answer.
    """

    async def cut(self, **behaviour: Any) -> bytes:
        """
        The body of a stream that is cut; it must not look whole.
        """
        client = await self.begin_stream("a", tokens=5, **behaviour)
        heard = await client.closed()
        assert client.reason is not None
        self.assertTrue(client.reason.check(ConnectionDone), "not by FIN")
        self.assertFalse(heard.endswith(b"0\r\n\r\n"))
        self.assertNotIn(b"[DONE]", heard)
        return unchunked(heard.partition(b"\r\n\r\n")[2])

    async def test_in_a_stream(self) -> None:
        """
        Every complete line arrives, then one error event, then an end without
        the final chunk.
        """
        await self.start()
        for behaviour in (
            {"after": 3, "then": "die"},
            {"after": 3, "then": "die", "scrap": "half_line"},
            {"after": 3, "then": "die", "scrap": "open_event"},
            {"after": 3, "then": "close"},
            {"after": 3, "then": "reset", "interval_s": 0.05},
            {"after": 3, "then": "close", "scrap": "half_chunk"},
            {"after": 3, "then": "stall", "scrap": "bad_chunk"},
        ):
            with self.subTest(behaviour=behaviour):
                *events, last = events_of(await self.cut(**behaviour))
                self.assertEqual(
                    set(last["error"]), {"message", "type", "param", "code"}
                )
                self.assertEqual(last["error"]["code"], "upstream_failed")
                tokens = [e for e in events if "x_sent_ns" in e]
                self.assertEqual(len(tokens), 3)
                # Three crashes in a row would count as a failed load.
                await self.stop()
                await self.start()

    async def test_falls_silent(self) -> None:
        """
        After stall_timeout a silent daemon counts as dead; its connection is closed.
        """
        self.extra = {"a": "stall_timeout = 300 ms"}
        await self.start()
        *_, last = events_of(await self.cut(after=2, then="stall"))
        self.assertIn("fell silent", last["error"]["message"])
        await self.until_told("client_gone")

    async def test_in_a_plain_answer(self) -> None:
        """
        The body ends short of its length.
        """
        await self.start()
        client = await self.connect()
        behaviour = {"plain_bytes": 1000, "missing": 400, "then": "die"}
        client.send("/v1/chat/completions", {"model": "a", "x_fake": behaviour})
        heard = await client.closed()
        self.assertIn(b"Content-Length: 1000\r\n", heard)
        self.assertEqual(len(heard.partition(b"\r\n\r\n")[2]), 600)

    async def test_before_a_byte(self) -> None:
        """
        The request is sent once more, to a daemon that is loaded again.
        """
        await self.start()
        answer = await self.chat("a", die_before_answer=1)
        self.assertEqual(answer.status, 200)
        self.assertEqual(len(self.told("started", "a")), 2)
        self.assertEqual(len(self.told("begun", "a")), 2)

    async def test_before_a_byte_again(self) -> None:
        """
        The second time it is 502, and the next request is served.
        """
        await self.start()
        answer = await self.chat("a", die_before_answer=9)
        self.assertEqual(answer.status, 502)
        self.assertEqual(answer.error["code"], "upstream_failed")
        self.assertEqual((await self.chat("a")).status, 200)

    async def test_one_answer_a_connection(self) -> None:
        """
        A daemon that closes after each answer, whether or not its version says so, is
        sent each request once.
        """
        for version in ("1.0", "1.1"):
            await self.start(a=f"--http-version {version}")
            self.assertEqual((await self.chat("a")).status, 200)
            for answer in await gatherResults(
                [Deferred.fromCoroutine(self.chat("a")) for _ in range(9)]
            ):
                self.assertEqual(answer.status, 200)
            begun = self.told("begun", "a")
            await self.stop()
            self.assertEqual(len(begun), 10)
            self.journal.unlink()

    async def test_a_stream_without_length(self) -> None:
        """
        Its daemon's close ends it, after a whole event only.
        """
        await self.start()
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        for said, whole in (("data: 1\n\n", True), ("data: 1\n", False)):
            client = await self.begin_stream("a", bad_response=head + said)
            await client.until(b"data: 1\n")
            if whole:
                self.assertEqual((await client.answer()).body, b"data: 1\n\n")
                continue
            *_, last = events_of(
                unchunked((await client.closed()).split(b"\r\n\r\n")[1])
            )
            self.assertEqual(last["error"]["code"], "upstream_failed")

    async def test_bad_response(self) -> None:
        """
        A daemon that does not speak HTTP is 502.
        """
        await self.start()
        answer = await self.chat("a", bad_response="220 mail ready\r\n")
        self.assertEqual(answer.status, 502)
        self.assertEqual(answer.error["code"], "upstream_failed")

    async def test_killed_while_idle(self) -> None:
        """
        A daemon that died while idle is loaded again for the next request.
        """
        await self.start()
        await self.chat("a")
        os.kill(self.told("started")[0]["pid"], signal.SIGKILL)
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 2)

    async def test_others_are_served_meanwhile(self) -> None:
        """
        While one daemon does not stop, a model that is up serves without delay.
        """
        self.memory = {"a": "3 GB", "b": "3 GB", "c": "7 GB"}
        # No other timer has this length.
        self.reactor = timers = HeldTimers(4321.0)
        self.extra = {"a": "stop_timeout = 4321 s"}
        await self.start(a="--ignore-sigterm", b="", c="")
        await self.chat("a")
        await self.chat("b")
        waiting = Deferred.fromCoroutine(self.chat("c"))
        await self.until_told("sigterm", "a")
        for _ in range(20):
            self.assertEqual((await self.chat("b")).status, 200)
        self.assertFalse(waiting.called)
        timers.go_off()
        self.assertEqual((await waiting).status, 200)

    async def test_ignores_sigterm(self) -> None:
        """
        A daemon that does not stop is killed, and the next one starts after that.
        """
        # No other timer has this length.
        self.reactor = timers = HeldTimers(4321.0)
        self.extra = {"a": "stop_timeout = 4321 s"}
        await self.start(a="--ignore-sigterm", b="")
        await self.chat("a")
        answering = Deferred.fromCoroutine(self.chat("b"))
        await self.until_told("sigterm", "a")
        timers.go_off()
        self.assertEqual((await answering).status, 200)
        self.assertEqual(len(self.told("sigterm", "a")), 1)
