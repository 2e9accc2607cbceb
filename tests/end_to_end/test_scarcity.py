"""
Scarce resources: descriptors, disk.
"""

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater

from tests.rig import Client, events_of
from tests.rig_twistd import TwistdCase


class ScarcityTests(TwistdCase):
    """
    Nothing is lost, nothing blocks, and the gateway recovers.
    """

    async def wait_until_up(self) -> None:
        """
        Wait for a gateway that cannot log that it listens.
        """
        while True:
            try:
                await self.connect()
            except ConnectError:
                await deferLater(reactor, 0.02)
            else:
                return

    async def test_descriptors(self) -> None:
        """
        Excess clients get 503; answers in flight go on, and daemons stay up.
        """
        self.shell = "ulimit -n 100; exec"
        await self.start(a="", b="")
        stream = await self.begin_stream("a", tokens=60, interval_s=0.05)
        await stream.until(b"x_sent_ns")
        connection_limit = [await self.connect() for _ in range(150)]
        told: list[Client] = []
        for client in connection_limit:
            client.send("/v1/models")
        for client in connection_limit:
            answer = await client.answer()
            if answer.status == 503:
                self.assertEqual(answer.error["code"], "too_many_connections")
                self.assertEqual(answer.headers["retry-after"], "5")
                told.append(client)
            else:
                self.assertEqual(answer.status, 200)
        self.assertGreater(len(told), 100)
        # Admitted clients can use everything: a daemon, and a swap.
        inside = [client for client in connection_limit if client not in told]
        for client in inside:
            client.send("/v1/chat/completions", {"model": "b"})
        answers = await gatherResults(
            [Deferred.fromCoroutine(client.answer()) for client in inside]
        )
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(events_of((await stream.answer()).body)[-1], "[DONE]")
        for client in connection_limit:
            await self.hang_up(client)
        self.assertEqual((await self.chat("a")).status, 200)
        names = [entry["name"] for entry in self.told("started")]
        self.assertEqual(names, ["a", "b", "a"], "a daemon was stopped for nothing")
        await self.terminate()

    async def test_a_full_disk(self) -> None:
        """
        A log and a state folder that cannot be written lose no answer.
        """
        await self.start(a="", b="")
        await self.ask("/health")
        await self.terminate()
        self.shell = "exec >/dev/full 2>&1; exec"
        state = self.folder / "children.json.new"
        state.mkdir()
        text = self.text(a="", b="").replace("tcp:0", f"tcp:{self.port}")
        self.spawn_gateway(text)
        await self.wait_until_up()
        for name in ("a", "b", "a"):
            self.assertEqual((await self.chat(name)).status, 200)
        client = await self.begin_stream("a")
        self.assertEqual(events_of((await client.answer()).body)[-1], "[DONE]")
        self.gateway.signal("TERM")
        await self.gateway.ended
        self.assertEqual(len(self.told("started")), len(self.told("exited")))
