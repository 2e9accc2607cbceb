"""
How `twistd swapgate` stops, listens, and reads the real setup.
"""

import os
import signal

from tests.rig import events_of, unchunked
from tests.rig_twistd import TwistdCase
from tests.test_tap import ROOT


class ProcessTests(TwistdCase):
    """
    `twistd swapgate` with daemons of its own, seen from another process.
    """

    async def test_sigterm_with_a_daemon(self) -> None:
        """
        The daemon is stopped politely and reaped before the gateway ends.
        """
        await self.start()
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        await self.terminate()
        self.assertEqual([e["status"] for e in self.told("exited")], [0])
        self.assert_no_daemon()

    async def test_sigterm_while_it_loads(self) -> None:
        """
        Held requests are refused, and the loading daemon is stopped.
        """
        await self.start(a="--never-healthy")
        client = await self.begin_stream("a")
        await self.until_told("listening")
        await self.terminate()
        self.assertEqual((await client.answer()).status, 503)
        self.assert_no_daemon()

    async def test_sigterm_in_a_stream(self) -> None:
        """
        The stream ends as it should; the gateway after it.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=20, interval_s=0.05)
        await client.until(b"x_sent_ns")
        self.gateway.signal("TERM")
        answer = await client.answer()
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")
        self.assertEqual(answer.body.count(b"x_sent_ns"), 20)
        await self.assert_ended_in_order()
        self.assert_no_daemon()

    async def test_sigterm_in_a_stream_without_end(self) -> None:
        """
        Its error says that the gateway stops, not that the daemon has failed.
        """
        self.general = "shutdown_timeout = 1500 ms"
        await self.start()
        client = await self.begin_stream("a", tokens=10_000, interval_s=0.05)
        await client.until(b"x_sent_ns")
        self.gateway.signal("TERM")
        heard = await client.closed()
        *_, last = events_of(unchunked(heard.partition(b"\r\n\r\n")[2]))
        self.assertEqual(last["error"]["message"], "the gateway is stopping")
        self.assertEqual(last["error"]["code"], "stopping")
        await self.assert_ended_in_order()
        self.assert_no_daemon()
        self.assertIn("error='stopping'", self.gateway.log)
        self.assertNotIn("upstream_failed", self.gateway.log)

    async def test_sigterm_to_all(self) -> None:
        """
        A service manager may end the daemons together with the gateway: no failure.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=10_000, interval_s=0.05)
        silent = await self.connect()
        silent.send("/v1/chat/completions", {"model": "a", "x_fake": {"delay_s": 60}})
        await client.until(b"x_sent_ns")
        await self.until_told("begun", count=2)
        self.gateway.signal("TERM")
        await self.gateway.until("Port .* Closed")
        os.kill(self.told("started")[0]["pid"], signal.SIGTERM)
        heard = await client.closed()
        *_, last = events_of(unchunked(heard.partition(b"\r\n\r\n")[2]))
        self.assertEqual(last["error"]["code"], "stopping")
        answer = await silent.answer()
        self.assertEqual((answer.status, answer.error["code"]), (503, "stopping"))
        await self.assert_ended_in_order()
        self.assertNotIn("upstream_failed", self.gateway.log)

    async def test_sigterm_again(self) -> None:
        """
        A second signal, of either kind, is logged; the answer ends all the same.
        """
        await self.start()
        client = await self.begin_stream("a", tokens=20, interval_s=0.1)
        await client.until(b"x_sent_ns")
        self.gateway.signal("TERM")
        await self.gateway.until("Port .* Closed")
        for count, name in enumerate(("TERM", "INT"), 1):
            self.gateway.signal(name)
            await self.gateway.until("stopping already", count)
        self.assertEqual(events_of((await client.answer()).body)[-1], "[DONE]")
        await self.assert_ended_in_order()
        self.assert_no_daemon()

    async def test_two_ports(self) -> None:
        """
        Both lead to the same scheduler.
        """
        self.listen = ("tcp:0:interface=127.0.0.1", "tcp:0:interface=localhost")
        await self.start()
        self.assertEqual(len(set(self.ports)), 2)
        for port in self.ports:
            self.port = int(port)
            self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        await self.terminate()

    async def test_the_real_setup(self) -> None:
        """
        Its models are listed; a request for one without a plist says what is missing.
        """
        text = (ROOT / "etc" / "swapgate.cfg").read_text("utf-8")
        await self.serve(text.replace("tcp:11430", "tcp:0"))
        listed = (await self.ask("/v1/models")).json["data"]
        self.assertIn("Qwen 2.5", [entry["id"] for entry in listed])
        answer = await self.chat("Qwen 2.5")
        self.assertEqual(answer.status, 409)
        self.assertIn(
            "local.llama.qwen25.plist cannot be read", answer.error["message"]
        )
        await self.terminate()
