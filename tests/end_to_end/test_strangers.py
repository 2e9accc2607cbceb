"""
Daemons that die, do not listen yet or cannot start, and other servers on their ports.

Real processes and sockets, with the stand-ins of service managers.
"""

import os
import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from swapgate.daemons.processes import find
from tests.end_to_end.test_kinds import KindsCase
from tests.fake_systemctl import definition


class Stranger(Resource):
    """
    A server that answers every path with 200, and counts its requests.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.prompts = 0

    def render(self, request: Request) -> bytes:
        self.prompts += request.method == b"POST"
        return b'{"model": "a", "choices": []}'


class StrangersCase(KindsCase):
    """
    Daemons, and a server that is none of them.
    """

    async def take(self, name: str) -> Stranger:
        """
        Another server takes a model's port as soon as it can.
        """
        stranger = Stranger()
        site = Site(stranger)
        site.noisy = False
        net: Any = reactor
        while True:
            try:
                port = net.listenTCP(self.ports[name], site, interface="127.0.0.1")
            except CannotListenError:
                # What is left of the last daemon's connections.
                await deferLater(reactor, 0.01)
            else:
                self.addCleanup(port.stopListening)
                return stranger


class StrangerTests(StrangersCase):
    """
    A port that another server takes.
    """

    async def killed(self, name: str) -> None:
        pid = self.told("started", name)[-1]["pid"]
        os.kill(pid, signal.SIGKILL)
        await self.note_end(name)

    async def in_place_of_a_dead_daemon(self, kind: str, **more: str) -> None:
        """
        It gets no prompt, the model's request gets an error, and others are served.
        """
        await self.begin(kind, **more)
        self.assertEqual((await self.chat("a")).status, 200)
        await self.killed("a")
        stranger = await self.take("a")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409, answer.body)
        self.assertIn(f"port {self.ports['a']} is in use", answer.error["message"])
        # Its memory is free, though another process has its port now.
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertEqual(stranger.prompts, 0)

    async def test_in_place_of_a_dead_agent(self) -> None:
        """
        One of launchd.
        """
        await self.in_place_of_a_dead_daemon("launchd")

    async def test_in_place_of_a_dead_unit(self) -> None:
        """
        One of systemd.
        """
        # So long its port may be its own still.
        await self.in_place_of_a_dead_daemon("systemd", a="stop_timeout = 100 ms")

    async def test_before_the_start(self) -> None:
        """
        It is not taken for the daemon while `status` still says no.
        """
        self.tools.fault("start", delay_s=60)
        await self.begin("docker", a="load_timeout = 1 s")
        stranger = await self.take("a")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409, answer.body)
        self.assertEqual(stranger.prompts, 0)


class FoundTests(KindsCase):
    """
    Daemons that others started, and that do not listen yet.
    """

    async def found(self, kind: str) -> None:
        """
        At the start its manager is queried: its memory counts, port or no port.
        """
        for name in "ab":
            self.define(name, "--listen-late", "1")
        await self.begin(kind)
        asked = Deferred.fromCoroutine(self.chat("a"))
        asked.addErrback(lambda _: None)
        await self.until_told("started", "a")
        # As SIGKILL leaves it: it runs on, and does not listen.
        await self.stop()
        await asked
        await self.begin(kind)
        self.assertEqual((await self.chat("b")).status, 200)

    async def test_an_agent(self) -> None:
        """
        One of launchd.
        """
        await self.found("launchd")

    async def test_a_unit(self) -> None:
        """
        One of systemd.
        """
        await self.found("systemd")

    async def test_a_container(self) -> None:
        """
        One that `status` reports.
        """
        await self.found("docker")

    async def test_started_a_moment_ago(self) -> None:
        """
        Before each load as well: by its owner, while the gateway was idle.
        """
        self.define("a", "--listen-late", "1")
        await self.begin("systemd")
        await self.chat("c")
        service = definition(self.tools.state, "a")
        assert service is not None
        self.tools.service("c").unload()
        await self.until_told("exited", "c")
        self.tools.service("a").load(service)
        self.assertEqual((await self.chat("b")).status, 200)


class ObstacleTests(StrangersCase):
    """
    What cannot start evicts nothing.
    """

    async def still_there(self, why: str) -> None:
        """
        The error says why b cannot start; a was not touched.
        """
        answer = await self.chat("b")
        self.assertEqual(answer.status, 409, answer.body)
        self.assertIn(why, answer.error["message"])
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started", "a")), 1)
        self.assertEqual(self.told("sigterm", "a"), [])

    async def test_a_program(self) -> None:
        """
        An agent's program is not there.
        """
        await self.begin("launchd")
        self.tools.plist("b", self.ports["b"], ProgramArguments=["/no/such/server"])
        await self.chat("a")
        await self.still_there("'/no/such/server' is not an executable")

    async def test_a_model_file(self) -> None:
        """
        An agent's model file is not there.
        """
        await self.begin("launchd")
        argv = [*self.tools.argv("b", self.ports["b"]), "-m", "/no/such/model.gguf"]
        self.tools.plist("b", self.ports["b"], ProgramArguments=argv)
        await self.chat("a")
        await self.still_there("the model file /no/such/model.gguf is not there")

    async def test_a_unit(self) -> None:
        """
        systemd knows of no such unit.
        """
        await self.begin("systemd")
        (self.tools.state / "units" / "b").unlink()
        await self.chat("a")
        await self.still_there("systemd has no unit b to start: not-found")

    async def test_a_port(self) -> None:
        """
        Another server has the port.
        """
        await self.begin("launchd")
        await self.chat("a")
        await self.take("b")
        await self.still_there(f"port {self.ports['b']} is in use")


class OneBadLookTests(KindsCase):
    """
    A status that cannot tell.
    """

    async def test_a_healthy_one_is_left_alone(self) -> None:
        """
        However often it fails, nothing is stopped whose health answers.
        """
        await self.begin("docker")
        self.assertEqual((await self.chat("a")).status, 200)
        self.tools.fault("inspect", status=1, say="Cannot connect to the daemon")
        count = len(self.tools.calls("inspect"))
        while len(self.tools.calls("inspect")) < count + 5:
            await deferLater(reactor, 0.02)
        self.assertEqual(self.tools.calls("stop"), [])
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)

    async def test_a_dead_one_is_noticed(self) -> None:
        """
        Several looks that found nothing, and a health that does not answer, are an end.
        """
        await self.begin("docker")
        await self.chat("a")
        self.tools.fault("inspect", status=1, say="No such container")
        pid = self.told("started", "a")[-1]["pid"]
        os.kill(pid, signal.SIGKILL)
        await self.note_end("a")
        while not self.tools.calls("stop"):
            await deferLater(reactor, 0.02)
        self.assertIsNone(find(pid))
        self.tools.fault("inspect")
        self.assertEqual((await self.chat("a")).status, 200)


class RenamedTests(KindsCase):
    """
    A model that has another name after SIGHUP.
    """

    async def test_during_an_answer(self) -> None:
        """
        The answer ends whole; the new name's daemon starts after the old one's end.
        """
        await self.begin("launchd")
        client = await self.begin_stream("a", tokens=20, interval_s=0.05)
        await client.until(b"data:")
        text = self.config("launchd").replace("[model a]", "[model z]")
        (self.journal.parent / "test.cfg").write_text(text)
        assert self.service is not None
        self.service.reload()
        asked = Deferred.fromCoroutine(self.chat("z"))
        answer = await client.answer()
        self.assertIn(b"[DONE]", answer.body)
        self.assertEqual((await asked).status, 200)
        self.assertEqual(len(self.told("started")), 2)
