"""
The gateway before daemons of launchd, systemd and others: stand-ins, real sockets.
"""

import json
import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from swapgate.daemons.processes import find
from swapgate.daemons.tool import TOOL_TIMEOUT_S
from tests.fake_keeper import Definition
from tests.fake_systemctl import definition
from tests.held_timers import HeldTimers
from tests.ports import free_port
from tests.rig import RigCase
from tests.stand_ins import StandIns

OF_KIND = {
    "launchd": "service = launchd\nplist = {state}/{name}.plist\n",
    "legacy": "service = launchd\nplist = {state}/{name}.plist\nverbs = load\n",
    "systemd": "service = systemd\nunit = {name}\n",
    "docker": (
        "service = command\nstart = docker start {name}\nstop = docker stop {name}\n"
        "status = docker inspect {name}\n"
    ),
    "kubernetes": (
        "service = command\nstart = kubectl scale deployment/{name} --replicas=1\n"
        "stop = kubectl scale deployment/{name} --replicas=0\n"
    ),
}


class KindsCase(RigCase):
    """
    Models a, b and c of any kind, of which one fits at a time.

    After each test: no two daemons have lived at one time.
    """

    def setUp(self) -> None:
        super().setUp()
        self.tools = StandIns(Path(self.mktemp()).absolute())
        self.journal = self.tools.journal
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{self.tools.bin}:{before}"
        self.addCleanup(os.environ.__setitem__, "PATH", before)
        self.addCleanup(self.tools.sweep)
        self.addCleanup(self.check_lives)
        self.ports = {name: free_port() for name in "abc"}

    def define(self, name: str, *options: str, keep: bool = False) -> None:
        """
        The daemon of a model, for every kind.
        """
        self.tools.plist(name, self.ports[name], *options, KeepAlive=keep)
        self.tools.unit(name, self.ports[name], *options, keep_alive=keep)

    def config(self, kind: str, **more: str) -> str:
        """
        A configuration of three models of one kind; `more` are options of theirs.
        """
        text = self.head()
        for name, port in self.ports.items():
            if not (self.tools.state / f"{name}.plist").exists():
                self.define(name)
            text += f"[model {name}]\nmemory = 8 GB\n{more.get(name, '')}\n"
            text += f"upstream = http://127.0.0.1:{port}\n"
            text += OF_KIND[kind].format(name=name, state=self.tools.state)
        return text

    async def begin(self, kind: str, **more: str) -> None:
        """
        Start the gateway with them.
        """
        await self.serve(self.config(kind, **more))

    def check_lives(self) -> None:
        """
        One daemon starts after the other's end, as the journal has it.
        """
        alive: set[int] = set()
        for entry in self.told():
            if entry["what"] == "started":
                self.assertEqual(alive, set(), f"{entry} beside another")
                alive.add(entry["pid"])
            elif entry["what"] in ("exited", "killed"):
                alive.discard(entry["pid"])

    async def note_end(self, name: str) -> None:
        """
        Write into the journal when a daemon is gone that cannot do so itself.
        """
        pid = self.told("started", name)[-1]["pid"]
        while find(pid):
            await deferLater(reactor, 0.002)
        with self.journal.open("a") as journal:
            entry = {"what": "killed", "name": name, "pid": pid}
            journal.write(json.dumps(entry) + "\n")


class SwapTests(KindsCase):
    """
    The same as with children.
    """

    async def swap(self, kind: str) -> None:
        # The process ends later than launchd forgets it.
        for name in "abc":
            self.define(name, "--stop-time", "0.2", "--load-time", "0.1")
        await self.begin(kind)
        for name in ("a", "b", "c", "a"):
            answer = await self.chat(name)
            self.assertEqual((answer.status, answer.json["model"]), (200, name))
        started = [entry["name"] for entry in self.told("started")]
        self.assertEqual(started, ["a", "b", "c", "a"])
        answers = await gatherResults(
            [Deferred.fromCoroutine(self.chat(name)) for name in "abcabc"]
        )
        self.assertEqual({answer.status for answer in answers}, {200})

    async def test_launchd(self) -> None:
        """
        Agents, by bootstrap and bootout.
        """
        await self.swap("launchd")

    async def test_legacy(self) -> None:
        """
        Agents, by load and unload.
        """
        await self.swap("legacy")

    async def test_systemd(self) -> None:
        """
        Units.
        """
        await self.swap("systemd")

    async def test_docker(self) -> None:
        """
        Containers.
        """
        await self.swap("docker")

    async def test_kubernetes(self) -> None:
        """
        Deployments.
        """
        await self.swap("kubernetes")

    async def test_left_and_taken_over(self) -> None:
        """
        The gateway goes, the agent stays, and the next gateway swaps it out.
        """
        await self.begin("launchd")
        await self.chat("a")
        await self.stop()
        self.assertEqual(self.told("exited"), [])
        await self.begin("launchd")
        self.assertEqual((await self.chat("a")).status, 200)
        self.assertEqual(len(self.told("started")), 1)
        self.assertEqual((await self.chat("b")).status, 200)


class FaultTests(KindsCase):
    """
    Faults of daemons, their owners and launchctl.
    """

    async def test_crash_with_keep_alive(self) -> None:
        """
        An agent that crashed while it served does not come back beside the next one.
        """
        self.define("a", keep=True)
        await self.begin("launchd")
        await self.chat("a")
        os.kill(self.told("started", "a")[0]["pid"], 9)
        await self.note_end("a")
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertIsNone(self.tools.service("local.a").record)

    async def test_crash_loop(self) -> None:
        """
        A failed load is reported, is unloaded, and delays no other model.
        """
        self.define("a", "--exit-after", "0", keep=True)
        for kind in ("launchd", "legacy"):
            await self.begin(kind)
            answer = await self.chat("a")
            self.assertEqual(answer.status, 409)
            self.assertEqual(answer.error["code"], "model_load_failed")
            self.assertIn("ended by itself", answer.error["message"])
            # Answered at once, and unloaded before another one is loaded.
            self.assertEqual((await self.chat("b")).status, 200)
            self.assertIsNone(self.tools.service("local.a").record)
            await self.stop()
            self.tools.service("local.b").unload()
            await self.until_told("exited", "b", count=1 + (kind == "legacy"))

    async def test_never_healthy(self) -> None:
        """
        It is unloaded at load_timeout.
        """
        self.define("a", "--never-healthy", keep=True)
        await self.begin("launchd", a="load_timeout = 500 ms")
        answer = await self.chat("a")
        self.assertIn("not healthy within 0.5 s", answer.error["message"])
        self.assertEqual((await self.chat("b")).status, 200)

    async def test_load_fails_with_status_0(self) -> None:
        """
        What launchctl printed is in the error, though its exit status was 0.
        """
        await self.begin("legacy")
        self.tools.fault("load", status=0, say="Load failed: 122: bad ownership")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409)
        self.assertIn("Load failed: 122", answer.error["message"])

    async def test_missing_launchctl(self) -> None:
        """
        It is named, at once.
        """
        await self.begin("launchd")
        self.tools.remove("launchctl")
        answer = await self.chat("a")
        self.assertEqual(answer.status, 409)
        self.assertIn("'launchctl' is not an executable", answer.error["message"])

    async def test_hanging_launchctl(self) -> None:
        """
        One that does not end is an error within the bound, and blocks nothing.
        """
        self.reactor = timers = HeldTimers(TOOL_TIMEOUT_S)
        await self.begin("launchd")
        self.tools.fault("print", hang="before")
        asked = len(self.tools.calls("print"))
        answering = Deferred.fromCoroutine(self.chat("a"))
        while not answering.called:
            if len(self.tools.calls("print")) > asked:
                asked += 1
                timers.go_off()
            await deferLater(reactor, 0.01)
        answer = await answering
        self.assertEqual(answer.status, 409)
        self.assertIn("did not end within 10 s", answer.error["message"])
        self.tools.fault("print")
        self.assertEqual((await self.chat("b")).status, 200)

    async def test_ignores_sigterm(self) -> None:
        """
        It is killed at stop_timeout, and the next one starts after that.
        """
        self.define("a", "--ignore-sigterm")
        # No other timer has this length.
        self.reactor = timers = HeldTimers(4321.0)
        await self.begin("launchd", a="stop_timeout = 4321 s")
        await self.chat("a")
        pid = self.told("started", "a")[0]["pid"]
        noted = Deferred.fromCoroutine(self.note_end("a"))
        answering = Deferred.fromCoroutine(self.chat("b"))
        await self.until_told("sigterm", "a")
        timers.go_off()
        self.assertEqual((await answering).status, 200)
        await noted
        self.assertFalse(find(pid))
        self.assertEqual(len(self.told("sigterm", "a")), 1)

    async def test_a_stop_that_does_not_end(self) -> None:
        """
        launchd keeps the label of one that is gone: waiting requests say so, and are
        served when it is over.
        """
        await self.begin("launchd", a="stop_timeout = 100 ms", b="keepalive = 200 ms")
        await self.chat("a")
        service = self.tools.service("local.a")
        service.hold()
        # On a slow machine it is killed before it can write that it ends.
        noted = Deferred.fromCoroutine(self.note_end("a"))
        client = await self.begin_stream("b")
        await client.until(b": swapgate: waiting for a to stop, ")
        state = (await self.ask("/swapgate/state")).json
        self.assertEqual(state["models"][0]["stuck"], "its service (state = SIGKILLed)")
        self.assertEqual(self.told("started", "b"), [])
        await noted
        service.release()
        await client.until(b"[DONE]")

    async def test_stopped_by_its_owner(self) -> None:
        """
        It is loaded again for the next request.
        """
        for kind, name in (("launchd", "local.a"), ("systemd", "a")):
            await self.begin(kind)
            count = len(self.told("exited"))
            await self.chat("a")
            self.tools.service(name).unload()
            await self.until_told("exited", count=count + 1)
            self.assertEqual((await self.chat("a")).status, 200)
            self.assertEqual((await self.chat("b")).status, 200)
            await self.stop()
            self.tools.service(
                name.replace("a", "b") if name == "a" else "local.b"
            ).unload()
            await self.until_told("exited", count=count + 3)

    async def test_started_by_its_owner(self) -> None:
        """
        It is found, and swapped out like any other.
        """
        await self.begin("systemd")
        self.tools.service("a").load(_definition(self.tools, "a"))
        await self.until_told("asked", "a")
        while "finished" not in {e["what"] for e in self.told("", "a")}:
            await self.chat("a")
            await deferLater(reactor, 0.01)
        self.assertEqual((await self.chat("b")).status, 200)
        self.assertEqual(len(self.told("started", "a")), 1)


def _definition(tools: StandIns, name: str) -> Definition:
    found = definition(tools.state, name)
    assert found is not None
    return found
