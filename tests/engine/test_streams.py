"""
What may happen to a real engine in the middle of its answer.
"""

import os
import signal
import time

from twisted.internet.error import ConnectionDone, ProcessTerminated

from tests.engine_rig import (
    CHAT,
    ENDLESS,
    FRANCE,
    PRINT,
    SKIP,
    STORY,
    TOKEN,
    EngineCase,
    text_of,
)
from tests.rig import Answer, Client, events_of, unchunked

# Read by trial.
skip = SKIP


class StreamTests(EngineCase):
    """
    What may happen in the middle of an answer.
    """

    async def long_stream(self, tokens: int = 3000) -> Client:
        """
        A stream under way.
        """
        client = await self.stream("gemma", STORY, **ENDLESS, max_tokens=tokens)
        await client.until(TOKEN, count=5)
        self.assertTrue(await self.is_generating())
        return client

    async def cut_short(self, client: Client) -> str:
        """
        The text of a stream that must end as a failed one does.
        """
        heard = await client.closed()
        assert client.reason is not None
        self.assertTrue(client.reason.check(ConnectionDone), "not by FIN")
        self.assertFalse(heard.endswith(b"0\r\n\r\n"))
        body = unchunked(heard.partition(b"\r\n\r\n")[2])
        self.assertTrue(body.endswith(b"\n\n"))
        for event in body.removesuffix(b"\n\n").split(b"\n\n"):
            self.assertRegex(event, rb"\Adata: \{[^\n]*\}\Z")
        *events, last = events_of(body)
        self.assertEqual(set(last), {"error"})
        self.assertEqual(set(last["error"]), {"message", "type", "param", "code"})
        self.assertEqual([each for each in events if "error" in each], [])
        text = text_of(events)
        self.private.add(text)
        return text

    async def test_killed(self) -> None:
        """
        An engine killed in mid-stream: whole lines, one error, FIN; then it is loaded
        again, and says the same and more.
        """
        await self.launch()
        client = await self.long_stream()
        killed = self.engine()
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        text = await self.cut_short(client)
        again = await self.question("gemma", STORY, **ENDLESS, max_tokens=40)
        self.assertEqual(again[: len(text)], text[: len(again)])
        self.assertNotEqual(self.engine(), killed)
        self.assertEqual(len(self.daemons), 2)

    async def test_hang_up(self) -> None:
        """
        When its client has gone the engine stops generating, long before its end.
        """
        await self.launch()
        client = await self.long_stream()
        await self.hang_up(client)
        await self.idle()

    async def test_hang_up_without_a_stream(self) -> None:
        """
        A plain answer whose client has gone does not hold up the next one.

        With a stream the engine notices that its connection was closed; here it seldom
        does, asked directly or through the gateway.
        """
        await self.launch()
        await self.question("gemma", "Hello!")
        client = await self.connect()
        client.send(CHAT, self.request("gemma", STORY, **ENDLESS, max_tokens=3000))
        while not await self.is_generating():
            pass
        await self.hang_up(client)
        hung_up = time.monotonic()
        self.assertIn("print", await self.question("demo-phi", PRINT))
        # All of it would have taken a minute.
        self.assertLess(time.monotonic() - hung_up, 15)

    async def idle(self) -> None:
        """
        Wait until the engine has stopped; 3000 tokens would take it a minute.
        """
        hung_up = time.monotonic()
        while await self.is_generating():
            pass
        self.assertLess(time.monotonic() - hung_up, 20)
        self.assertEqual(len(self.daemons), 1)
        self.assertIn("Paris", await self.question("gemma", FRANCE))

    async def test_stopped_in_a_stream(self) -> None:
        """
        SIGTERM lets an answer end, then nothing is left; all within shutdown_timeout.
        """
        await self.launch()
        client = await self.long_stream(tokens=40)
        began = self.end()
        answer: Answer = await client.answer()
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")
        reason = await self.twistd.ended
        self.assertLess(time.monotonic() - began, 15)
        # It went in order, and then raised the signal again, as Twisted does.
        assert isinstance(reason, ProcessTerminated)
        self.assertEqual(reason.signal, signal.SIGTERM)
        self.assertIn("Server Shut Down", self.twistd.said.decode())

    async def test_stopped_in_an_endless_stream(self) -> None:
        """
        An answer that outlasts shutdown_timeout is cut, and says so.
        """
        await self.launch("shutdown_timeout = 3 s")
        client = await self.long_stream()
        began = self.end()
        await self.cut_short(client)
        await self.twistd.ended
        # By itself it would have had 15 s.
        self.assertLess(time.monotonic() - began, 12)
