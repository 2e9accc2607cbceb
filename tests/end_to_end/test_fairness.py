"""
Fairness, and what waiting clients receive: real sockets, real daemons.
"""

import json

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from tests.rig import Answer, Client, RigCase, events_of


class FairCase(RigCase):
    """
    Short loads, and a short fair_wait.
    """

    general = "fair_wait = 1 s\nlinger = 300 ms"

    def loads(self) -> str:
        """
        Which models were loaded, in their order.
        """
        return "".join(entry["name"] for entry in self.told("started"))

    async def loop(self, model: str, until: Deferred[Answer]) -> int:
        """
        Send requests in a loop; return the number of answers.
        """
        count = 0
        while not until.called:
            self.assertEqual((await self.chat(model)).status, 200)
            count += 1
        return count


class FairnessTests(FairCase):
    """
    One test for each promise.
    """

    async def test_no_starvation(self) -> None:
        """
        A client that loops on one model does not keep another waiting.
        """
        await self.start()
        await self.chat("a")
        waiting = Deferred.fromCoroutine(self.chat("b"))
        self.assertGreater(await self.loop("a", waiting), 2)
        answer = await waiting
        self.assertEqual(answer.status, 200)
        held_ms = int(answer.headers["x-swapgate-queue-ms"])
        self.assertGreaterEqual(held_ms, 900)

    async def test_overlapping_streams(self) -> None:
        """
        Nor do overlapping streams; none of them is cut.
        """
        await self.start(a="", b="")
        streams = [await self.begin_stream("a", tokens=20, interval_s=0.05)]
        await streams[0].until(b"x_sent_ns")
        waiting = Deferred.fromCoroutine(self.chat("b"))
        while not waiting.called:
            streams.append(await self.begin_stream("a", tokens=20, interval_s=0.05))
            await streams[-1].more()
            if len(self.told("started", "b")):
                break
        self.assertEqual((await waiting).status, 200)
        for stream in streams:
            self.assertEqual(events_of((await stream.answer()).body)[-1], "[DONE]")

    async def test_two_loops_share_in_turns(self) -> None:
        """
        Two clients that loop on two models swap at most once a fair_wait.
        """
        await self.start(a="", b="")
        began_s = reactor.seconds()
        await self.chat("a")
        load_s = reactor.seconds() - began_s
        await self.stop()
        self.journal.unlink()
        # Long against a load, however slow the machine is now.
        self.general = f"fair_wait = {max(1.0, 5 * load_s):.1f} s\nlinger = 300 ms"
        await self.start(a="", b="")
        end: Deferred[Answer] = Deferred()
        loops = [Deferred.fromCoroutine(self.loop(name, end)) for name in "ab"]
        await self.until_told("started", "a", 2)
        end.callback(Answer(0, {}, b""))
        counts = await gatherResults(loops)
        self.assertGreater(sum(counts), 3 * len(self.loads()))

    async def test_in_order_of_arrival(self) -> None:
        """
        a b a a c a b c: all of one model's together.
        """
        await self.start(a="--load-time 1", b="", c="")
        clients = []
        for number, name in enumerate("abaacabc", 1):
            clients.append(await self.connect())
            clients[-1].send("/v1/completions", {"model": name})
            while (await self.ask("/swapgate/state")).json["held"] < number:
                pass
        for client in clients:
            self.assertEqual((await client.answer()).status, 200)
        self.assertEqual(self.loads(), "abc")
        begun = "".join(entry["name"] for entry in self.told("begun"))
        self.assertEqual(begun, "aaaabbcc")

    async def test_max_active(self) -> None:
        """
        More requests than that wait.
        """
        self.general += "\nmax_active = 2"
        await self.start(a="")
        streams = [
            await self.begin_stream("a", tokens=9, interval_s=0.05) for _ in range(5)
        ]
        for stream in streams:
            self.assertEqual(events_of((await stream.answer()).body)[-1], "[DONE]")
        at_once, seen = 0, []
        for entry in self.told("", "a"):
            at_once += {"begun": 1, "finished": -1}.get(entry["what"], 0)
            seen.append(at_once)
        self.assertEqual(max(seen), 2)

    async def test_a_full_queue(self) -> None:
        """
        503 at once, with Retry-After.
        """
        self.general += "\nmax_held = 2"
        await self.start(a="--load-time 30")
        for _ in range(2):
            (await self.connect()).send("/v1/completions", {"model": "a"})
        await self.until_told("started", "a")
        answer = await self.chat("a")
        while answer.status != 503:
            answer = await self.chat("a")
        self.assertEqual(answer.error["code"], "queue_full")
        self.assertEqual(answer.headers["retry-after"], "5")

    async def test_a_title_after_stop(self) -> None:
        """
        It does not start the load again that was given up.
        """
        await self.start(a="--load-time 30", b="")
        agent = {"User-Agent": "Page Assist"}
        client = await self.connect()
        client.send("/v1/completions", {"model": "a", "stream": True}, **agent)
        await self.until_told("started", "a")
        await self.hang_up(client)
        title = Deferred.fromCoroutine(
            self.ask("/v1/completions", {"model": "a"}, **agent)
        )
        self.assertEqual((await self.chat("b")).status, 200)
        answer = await title
        self.assertEqual(
            (answer.status, answer.error["code"]), (409, "model_not_loaded")
        )
        self.assertEqual(self.loads(), "ab")


class WaitTests(FairCase):
    """
    What a client sees of its wait.
    """

    async def held(self, general: str, *, load_s: float = 1.0) -> Client:
        self.general += f"\n{general}"
        await self.start(a=f"--load-time {load_s}")
        return await self.begin_stream("a", tokens=3)

    async def test_comments(self) -> None:
        """
        They come while it loads; the second load has an estimate.
        """
        client = await self.held("keepalive = 200 ms")
        heard = await client.until(b": swapgate: loading a, ")
        self.assertNotIn(b"x_sent_ns", heard)
        self.assertNotIn(b"of about", heard)
        body = (await client.answer()).body
        self.assertEqual(events_of(body)[-1], "[DONE]")
        await self.stop()
        await self.start(a="--load-time 1")
        client = await self.begin_stream("a")
        await client.until(b" s of about ")

    async def test_notices(self) -> None:
        """
        As reasoning, then the answer.
        """
        client = await self.held("keepalive = 200 ms\nnotice = reasoning")
        deltas = [
            event["choices"][0]["delta"]
            for event in events_of((await client.answer()).body)
            if event != "[DONE]"
        ]
        self.assertIn("loading a", deltas[0]["reasoning_content"])
        self.assertEqual(deltas[0]["role"], "assistant")

    async def test_a_load_that_fails(self) -> None:
        """
        An error event, and a proper end: nothing of an answer went out.
        """
        self.general += "\nkeepalive = 100 ms\nload_timeout = 1 s"
        await self.start(a="--load-time 30")
        client = await self.begin_stream("a")
        heard = await client.until(b"0\r\n\r\n")
        self.assertIn(b": swapgate: loading a", heard)
        *_, last, _ = heard.split(b"\n\n")
        error = json.loads(last.partition(b"data: ")[2])["error"]
        self.assertEqual(error["code"], "model_load_failed")

    async def test_unloaded_now(self) -> None:
        """
        A stream that is cut says why; the state shows the unload.
        """
        await self.start(a="")
        client = await self.begin_stream("a", tokens=500, interval_s=0.05)
        await client.until(b"x_sent_ns")
        answer = await self.ask("/swapgate/models/a/unload?now=1", {})
        self.assertEqual(answer.json["phase"], "stopped")
        self.assertIn(b"was unloaded", await client.closed())
        state = (await self.ask("/swapgate/state")).json
        self.assertEqual(state["swaps"][-1]["cause"], "asked for")

    async def test_events(self) -> None:
        """
        A listener sees a model come up.
        """
        await self.start(a="")
        listener = await self.connect()
        listener.send("/swapgate/events")
        await listener.until(b'"phase": "stopped"')
        await self.chat("a")
        await listener.until(b'"phase": "ready"')
