"""
Agents of launchd: what launchctl says, and real processes behind a stand-in.
"""

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from swapgate.config import LaunchdSpec, ModelSpec, Upstream
from swapgate.daemons import Owner
from swapgate.daemons.control import Sight, State, port_answers
from swapgate.daemons.launchd import Launchctl, launchd, read_list, read_print
from swapgate.daemons.managed import Managed
from swapgate.daemons.processes import find, free_port
from tests.stand_ins import StandIns

NESTED = "\n\tresource coalition = {\n\t\tstate = active\n\t\tpid = 7\n\t}\n}\n"


class ReadingTests(SynchronousTestCase):
    """
    What launchctl says.
    """

    def test_print(self) -> None:
        """
        Only what stands at the first level counts.
        """
        head = "gui/501/local.gemma = {\n\tactive count = 1\n\ttype = LaunchAgent\n"
        for facts, sight in {
            "\tstate = running\n\truns = 1\n\tpid = 913\n"
            "\tlast exit code = (never exited)\n": Sight(State.UP, 913),
            "\tstate = not running\n\tlast exit code = (never exited)\n": Sight(
                State.IDLE
            ),
            "\tstate = spawn scheduled\n\tlast exit code = 78: EX_CONFIG\n": Sight(
                State.IDLE, None, True, "last exit code = 78: EX_CONFIG"
            ),
            "\tstate = not running\n\tlast terminating signal = Killed: 9\n": Sight(
                State.IDLE, None, True, "last terminating signal = Killed: 9"
            ),
            "\tstate = running\n\tpid = 914\n\tlast exit code = 1\n": Sight(
                State.UP, 914
            ),
        }.items():
            self.assertEqual(read_print(head + facts + NESTED), sight)

    def test_list(self) -> None:
        """
        The legacy verb writes a dictionary, and no pid where nothing runs.
        """
        head = '{\n\t"LimitLoadToSessionType" = "Aqua";\n\t"Label" = "local.gemma";\n'
        for facts, sight in {
            '\t"LastExitStatus" = 0;\n\t"PID" = 913;\n': Sight(State.UP, 913),
            '\t"LastExitStatus" = 0;\n': Sight(State.IDLE),
            '\t"LastExitStatus" = 256;\n': Sight(
                State.IDLE, None, True, "LastExitStatus = 256"
            ),
        }.items():
            more = '\t"ProgramArguments" = (\n\t\t"serve";\n\t);\n};\n'
            self.assertEqual(read_list(head + facts + more), sight)


class LaunchdCase(TestCase):
    """
    One agent, `local.m`, on a port of its own.
    """

    timeout = 120

    def setUp(self) -> None:
        self.tools = StandIns(Path(self.mktemp()).absolute())
        self.addCleanup(self.tools.sweep)
        self.port = free_port("127.0.0.1")
        self.service = self.tools.service("local.m")

    def agent(self, plist: Path, verbs: Any = "bootstrap", **options: Any) -> Managed:
        service = LaunchdSpec(plist=str(plist), verbs=verbs)
        upstream = Upstream(scheme="http", host="127.0.0.1", port=self.port)
        spec = ModelSpec(
            name="m", memory_bytes=1, service=service, upstream=upstream, **options
        )
        return launchd(spec, service, reactor, self.tools.environ)

    def launch(self, agent: Managed) -> Deferred[str]:
        gone: Deferred[str] = Deferred()
        agent.launch(Owner(gone.callback))
        return gone

    async def until(self, true: Any) -> None:
        while not true():
            await deferLater(reactor, 0.01)

    async def up(
        self, *options: str, verbs: str = "bootstrap", keep: bool = False, **spec: Any
    ) -> tuple[Managed, Deferred[str], int]:
        """
        An agent that is launched and answers, and the pid of its process.
        """
        plist = self.tools.plist("m", self.port, *options, KeepAlive=keep)
        agent = self.agent(plist, verbs, **spec)
        gone = self.launch(agent)
        while not await port_answers(agent.upstream, reactor):
            await deferLater(reactor, 0.01)
        await self.until(lambda: agent.running)
        await self.until(lambda: agent._ending.process)
        return agent, gone, self.tools.told("started")[-1]["pid"]


class LaunchdTests(LaunchdCase):
    """
    From bootstrap to proven gone, in either verbs.
    """

    async def test_from_launch_to_gone(self) -> None:
        """
        The process outlives its record, and so does what we count.
        """
        for verbs, stop in (("bootstrap", "bootout"), ("load", "unload")):
            agent, gone, pid = await self.up("--stop-time", "0.3", verbs=verbs)
            self.assertIsNone(agent.impostor())
            agent.halt()
            await self.until(lambda: self.service.record is None)
            self.assertTrue(find(pid))
            self.assertFalse(gone.called)
            self.assertEqual(await gone, "was stopped")
            self.assertFalse(find(pid))
            self.assertEqual(len(self.tools.calls(stop)), 1)

    async def test_keep_alive(self) -> None:
        """
        An agent that crashes is unloaded, or it would come again.
        """
        for verbs in ("bootstrap", "load"):
            _, gone, pid = await self.up(verbs=verbs, keep=True)
            os.kill(pid, 9)
            self.assertIn("ended by itself", await gone)
            self.assertIsNone(self.service.record)
            for started in self.tools.told("started"):
                self.assertFalse(find(started["pid"]))

    async def test_crash_loop(self) -> None:
        """
        A load that fails is told as one, and unloaded.
        """
        for verbs, note in (
            ("bootstrap", "last exit code = 3"),
            ("load", "LastExitStatus = 768"),
        ):
            exits = ("--exit-after", "0", "--exit-status", "3")
            plist = self.tools.plist("m", self.port, *exits, KeepAlive=True)
            why = await self.launch(self.agent(plist, verbs))
            # What launchd says of the last end is gone while it starts the next one.
            self.assertIn(why, (f"ended by itself ({note})", "ended by itself"))
            self.assertIsNone(self.service.record)

    async def test_cannot_be_run(self) -> None:
        """
        A program that is not there.
        """
        plist = self.tools.plist("m", self.port, ProgramArguments=["/no/such/engine"])
        why = await self.launch(self.agent(plist))
        self.assertIn("ended by itself", why)

    async def test_failed_load(self) -> None:
        """
        `load` returns 0 though nothing came of it; launchctl's words are kept.
        """
        plist = self.tools.plist("m", self.port, ProgramArguments=[])
        for verbs, words in (
            ("bootstrap", "Bootstrap failed: 5: Input/output error"),
            ("load", "Load failed: 5: Input/output error"),
        ):
            agent = self.agent(plist, verbs)
            self.assertEqual(await self.launch(agent), "could not be started")
            self.assertIn(words, agent.last_words())

    async def test_no_plist(self) -> None:
        """
        A file that is not there, is none, or names nobody.
        """
        path = self.tools.state / "bad.plist"
        agent = self.agent(path)
        for content, words in (
            (None, "No such file"),
            (b"no plist", "no property list"),
            (b'<?xml version="1.0"?><plist><array/></plist>', "no dictionary"),
            (b'<?xml version="1.0"?><plist><dict/></plist>', "has no Label"),
        ):
            if content is not None:
                path.write_bytes(content)
            self.assertEqual(await self.launch(agent), "could not be started")
            self.assertIn(words, agent.last_words())
        self.assertEqual(self.tools.calls(), [])

    async def test_not_run_at_load(self) -> None:
        """
        An agent that waits to be started is started.
        """
        for verbs in ("bootstrap", "load"):
            plist = self.tools.plist("m", self.port, RunAtLoad=False)
            agent = self.agent(plist, verbs)
            gone = self.launch(agent)
            while not await port_answers(agent.upstream, reactor):
                await deferLater(reactor, 0.01)
            agent.halt()
            self.assertEqual(await gone, "was stopped")

    async def test_up_already(self) -> None:
        """
        One that is loaded already is taken as it is, or adopted.
        """
        first, gone_first, pid = await self.up()
        plist = self.tools.state / "m.plist"
        second = self.agent(plist)
        gone: Deferred[str] = Deferred()
        self.assertTrue(await second.adopt(Owner(gone.callback)))
        third = self.agent(plist)
        gone_third = self.launch(third)
        await self.until(lambda: third.running)
        first.halt()
        for ended in (gone_first, gone, gone_third):
            await ended
        self.assertFalse(find(pid))
        self.assertEqual(len(self.tools.calls("bootstrap")), 1)
        self.assertFalse(await self.agent(plist).adopt(Owner(self.fail)))

    async def test_stopped_by_its_owner(self) -> None:
        """
        A bootout that is not ours.
        """
        agent, gone, _ = await self.up()
        self.service.unload()
        self.assertEqual(await gone, "was stopped by somebody else")
        self.assertFalse(agent.running)

    async def test_ignores_sigterm(self) -> None:
        """
        We kill it at stop_timeout, long before launchd would.
        """
        agent, gone, pid = await self.up("--ignore-sigterm", stop_timeout_s=0.3)
        agent.halt()
        await gone
        self.assertFalse(find(pid))
        self.assertEqual(len(self.tools.told("sigterm")), 1)

    async def test_missing(self) -> None:
        """
        launchctl is looked for on PATH at each use.
        """
        self.tools.remove("launchctl")
        agent = self.agent(self.tools.plist("m", self.port))
        self.assertEqual(await self.launch(agent), "could not be started")
        self.assertEqual(agent.last_words(), "'launchctl' is not an executable on PATH")
        self.tools.install("launchctl")
        gone = self.launch(agent)
        await self.until(lambda: agent.running)
        agent.halt()
        await gone

    async def test_the_plist_vanishes(self) -> None:
        """
        What was loaded can be unloaded without it.
        """
        for verbs in ("bootstrap", "load"):
            agent, gone, _ = await self.up(verbs=verbs)
            (self.tools.state / "m.plist").unlink()
            agent.halt()
            self.assertEqual(await gone, "was stopped")

    async def test_still_being_taken_apart(self) -> None:
        """
        A launch that comes while launchd still sees to the last one is tried again.
        """
        plist = self.tools.plist("m", self.port, "--stop-time", "0.3")
        control = Launchctl(LaunchdSpec(plist=str(plist)), reactor, self.tools.environ)
        await control.start()
        await self.until(lambda: self.tools.told("listening"))
        self.service.unload()
        answer = await control.start()
        self.assertEqual((answer.status, len(self.tools.calls("bootstrap"))), (0, 3))


class HangingTests(LaunchdCase):
    """
    A launchctl that does not end.
    """

    async def test_from_the_start(self) -> None:
        """
        Nothing is launched, and that is told within the bound.
        """
        self.tools.fault("print", hang="before")
        agent = self.agent(self.tools.plist("m", self.port))
        began_s = reactor.seconds()
        self.assertEqual(await self.launch(agent), "could not be started")
        self.assertIn("did not end within 10 s", agent.last_words())
        took_s = reactor.seconds() - began_s
        self.assertLess(took_s, 12)
        self.assertEqual(self.tools.calls("bootstrap"), [])

    async def test_after_its_work(self) -> None:
        """
        A bootstrap that hangs once it has worked: looking tells that it has.
        """
        self.tools.fault("bootstrap", hang="after")
        agent, gone, pid = await self.up()
        agent.halt()
        self.assertEqual(await gone, "was stopped")
        self.assertFalse(find(pid))
