"""
Agents of launchd: what launchctl says, and real processes behind a stand-in.
"""

import os
import plistlib
import socket
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import LaunchdSpec
from swapgate.daemons.control import Observation, ServiceState, port_answers
from swapgate.daemons.external import ExternalDaemon
from swapgate.daemons.launchd import Launchctl, read_list, read_print
from swapgate.daemons.processes import find
from swapgate.daemons.tool import TOOL_TIMEOUT_S, Answer, ToolFailed
from tests import fake_launchctl
from tests.daemons.kinds import KindCase
from tests.doubles import owner
from tests.held_timers import HeldTimers

# No other timer has this length, so it can be held.
STOP_TIMEOUT_S = 4321.0
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
        for facts, observation in {
            "\tstate = running\n\truns = 1\n\tpid = 913\n"
            "\tlast exit code = (never exited)\n": Observation(ServiceState.UP, 913),
            "\tstate = not running\n\tlast exit code = (never exited)\n": Observation(
                ServiceState.IDLE
            ),
            "\tstate = spawn scheduled\n\tlast exit code = 78: EX_CONFIG\n": (
                Observation(
                    ServiceState.UP, None, True, "last exit code = 78: EX_CONFIG"
                )
            ),
            "\tstate = not running\n\tlast terminating signal = Killed: 9\n": (
                Observation(
                    ServiceState.IDLE, None, True, "last terminating signal = Killed: 9"
                )
            ),
            "\tstate = running\n\tpid = 914\n\tlast exit code = 1\n": Observation(
                ServiceState.UP, 914
            ),
            # Told to end, and known until its process is gone.
            "\tstate = SIGTERMed\n\tpid = 915\n": Observation(
                ServiceState.IDLE, 915, True, "state = SIGTERMed"
            ),
            "\tstate = SIGKILLed\n": Observation(
                ServiceState.IDLE, None, True, "state = SIGKILLed"
            ),
            "\tstate = xpcproxy\n\tpid = 916\n": Observation(ServiceState.UP, 916),
            # Not understood, which is no word of its being idle.
            "\tstate = running\n": None,
            "\tstate = running\n\tpid = ?\n": None,
            "\truns = 1\n": None,
        }.items():
            self.assertEqual(read_print(head + facts + NESTED), observation, facts)
        self.assertIsNone(read_print(""))

    def test_list(self) -> None:
        """
        The legacy verb writes a dictionary, and no pid where nothing runs.
        """
        head = '{\n\t"LimitLoadToSessionType" = "Aqua";\n\t"Label" = "local.gemma";\n'
        for facts, observation in {
            '\t"LastExitStatus" = 0;\n\t"PID" = 913;\n': Observation(
                ServiceState.UP, 913
            ),
            '\t"LastExitStatus" = 0;\n': Observation(ServiceState.IDLE),
            '\t"LastExitStatus" = 256;\n': Observation(
                ServiceState.IDLE, None, True, "LastExitStatus = 256"
            ),
            '\t"PID" = "913";\n': None,
        }.items():
            more = '\t"ProgramArguments" = (\n\t\t"serve";\n\t);\n};\n'
            self.assertEqual(read_list(head + facts + more), observation)
        self.assertIsNone(read_list("PID\tStatus\tLabel\n"))


class LaunchdCase(KindCase):
    """
    One agent, `local.m`, on a port of its own.
    """

    held_s = (STOP_TIMEOUT_S, TOOL_TIMEOUT_S)

    def setUp(self) -> None:
        super().setUp()
        self.service = self.tools.service("local.m")

    def agent(
        self, plist: Path, verbs: Any = "bootstrap", **options: Any
    ) -> ExternalDaemon:
        service = LaunchdSpec(plist=str(plist), verbs=verbs)
        spec = self.spec(service, **options)
        control = Launchctl(service, self.timers, self.tools.environ)
        return ExternalDaemon(spec, control, self.timers)

    def told_to_end(self) -> bool:
        record = self.service.record
        return record is None or record["state"] == "SIGTERMed"

    async def until(self, true: Any) -> None:
        while not true():
            await deferLater(reactor, 0.01)

    async def up(
        self,
        *options: str,
        verbs: str = "bootstrap",
        keep: bool = False,
        hangs: bool = False,
        **spec: Any,
    ) -> tuple[ExternalDaemon, Deferred[str], int]:
        """
        An agent that is launched and answers, and the pid of its process.
        """
        plist = self.tools.plist("m", self.port, *options, KeepAlive=keep)
        agent = self.agent(plist, verbs, **spec)
        gone = self.launch(agent)
        while not await port_answers(agent.upstream, reactor):
            await deferLater(reactor, 0.01)
        if hangs:
            self.timers.go_off()
        await self.until(lambda: agent.running)
        await self.until(lambda: agent._observer.process)
        return agent, gone, self.tools.told("started")[-1]["pid"]


class LaunchdTests(LaunchdCase):
    """
    From bootstrap to proven gone, in either verbs.
    """

    async def test_from_launch_to_gone(self) -> None:
        """
        Its label is known until its process is gone, and it is stopped once.
        """
        for verbs, stop in (("bootstrap", "bootout"), ("load", "unload")):
            agent, gone, pid = await self.up("--stop-time", "0.3", verbs=verbs)
            self.assertIsNone(agent.port_conflict())
            agent.halt()
            await self.until(self.told_to_end)
            self.assertTrue(find(pid))
            self.assertFalse(gone.called)
            self.assertEqual(await gone, "was stopped")
            self.assertFalse(find(pid))
            self.assertEqual(len(self.tools.calls(stop)), 1)

    async def test_forgotten_before_it_is_gone(self) -> None:
        """
        The process outlives its record, and so does what we count.
        """
        self.tools.arrange(forgets=True)
        for verbs in ("bootstrap", "load"):
            agent, gone, pid = await self.up("--stop-time", "0.3", verbs=verbs)
            agent.halt()
            await self.until(lambda: self.service.record is None)
            self.assertTrue(find(pid))
            self.assertFalse(gone.called)
            self.assertEqual(await gone, "was stopped")
            self.assertFalse(find(pid))

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
        # A tool may take its time here.
        self.timers = HeldTimers(STOP_TIMEOUT_S)
        plist = self.tools.plist("m", self.port, ProgramArguments=[])
        launched = [
            (agent := self.agent(plist, verbs), self.launch(agent), words)
            for verbs, words in (
                ("bootstrap", "Bootstrap failed: 5: Input/output error"),
                ("load", "Load failed: 5: Input/output error"),
            )
        ]
        for verb in ("bootstrap", "load"):
            await self.until(lambda verb=verb: len(self.tools.calls(verb)) > 1)
        # It is not tried for ever.
        self.timers.go_off()
        for agent, gone, words in launched:
            self.assertEqual(await gone, "could not be started")
            self.assertIn(words, agent.last_words())

    async def test_no_plist(self) -> None:
        """
        A file that is not there, is no plist, or has no label.
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
        self.assertTrue(await second.adopt(owner(gone.callback)))
        third = self.agent(plist)
        gone_third = self.launch(third)
        await self.until(lambda: third.running)
        first.halt()
        for ended in (gone_first, gone, gone_third):
            await ended
        self.assertFalse(find(pid))
        self.assertEqual(len(self.tools.calls("bootstrap")), 1)
        self.assertFalse(await self.agent(plist).adopt(owner(self.fail)))

    async def test_stopped_by_its_owner(self) -> None:
        """
        A bootout that is not ours.
        """
        agent, gone, _ = await self.up()
        self.service.unload()
        self.assertEqual(await gone, "was stopped from outside")
        self.assertFalse(agent.running)

    async def test_ignores_sigterm(self) -> None:
        """
        We kill it at stop_timeout, long before launchd would.
        """
        agent, gone, pid = await self.up(
            "--ignore-sigterm", stop_timeout_s=STOP_TIMEOUT_S
        )
        agent.halt()
        await self.until(lambda: self.tools.told("sigterm"))
        self.timers.go_off()
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
        plist = self.tools.plist("m", self.port, "--stop-time", "0.7")
        for forgets in (False, True):
            self.tools.arrange(forgets=forgets)
            self.assertEqual(fake_launchctl.load(self.tools.state, str(plist)), 0)
            count = len(self.tools.told("listening"))
            await self.until(lambda n=count: len(self.tools.told("listening")) > n)
            self.service.unload()
            before = len(self.tools.calls("bootstrap"))
            answer = await self.control().start()
            self.assertEqual(answer, Answer(0))
            self.assertGreater(len(self.tools.calls("bootstrap")) - before, 1)
            self.service.unload()
            await self.until(lambda: not self.service.being_taken_apart)

    def control(self, verbs: Any = "bootstrap") -> Launchctl:
        plist = str(self.tools.state / "m.plist")
        service = LaunchdSpec(plist=plist, verbs=verbs)
        return Launchctl(service, reactor, self.tools.environ)

    async def test_nothing_to_be_stopped(self) -> None:
        """
        Whatever launchctl says of an absent label is no complaint.
        """
        self.tools.plist("m", self.port)
        for status in (3, 5, 36):
            self.tools.arrange(bootout_absent=status)
            self.assertEqual(await self.control().stop(), Answer(0))
        agent, gone, pid = await self.up("--stop-time", "60")
        agent.halt()
        await self.until(lambda: self.service.is_unloaded)
        answer = await self.control().stop()
        self.assertEqual(
            answer.complaint, "Boot-out failed: 36: Operation now in progress"
        )
        os.kill(pid, 9)
        await gone


class BrokenTests(LaunchdCase):
    """
    What launchd does otherwise than it should, alone and in pairs.
    """

    async def serve_once(self, agent: ExternalDaemon) -> str:
        gone = self.launch(agent)
        while not await port_answers(agent.upstream, reactor):
            await deferLater(reactor, 0.01)
        await self.until(lambda: agent._observer.process)
        agent.halt()
        return await gone

    async def test_a_bootstrap_that_spawns_nothing(self) -> None:
        """
        The agent is started, whatever its plist says.
        """
        self.tools.arrange(spawns=False)
        for verbs in ("bootstrap", "load"):
            for keep in (True, False):
                plist = self.tools.plist("m", self.port, KeepAlive=keep)
                why = await self.serve_once(self.agent(plist, verbs))
                self.assertEqual(why, "was stopped")

    async def test_found_idle(self) -> None:
        """
        An agent that is loaded and does not run is started, not waited for: one that
        never ran, and one that has ended.
        """
        self.tools.arrange(spawns=False)
        for verbs, verb in (("bootstrap", "kickstart"), ("load", "start")):
            for exits in ((), ("--exit-after", "0.1")):
                plist = self.tools.plist("m", self.port, *exits)
                self.assertEqual(fake_launchctl.load(self.tools.state, str(plist)), 0)
                if exits:
                    self.service.kick()
                    await self.until(lambda: self.service.last["code"] is not None)
                    self.tools.plist("m", self.port)
                before = len(self.tools.calls(verb))
                agent = self.agent(plist, verbs)
                self.assertEqual(await self.serve_once(agent), "was stopped")
                self.assertEqual(agent.last_words(), "")
                self.assertEqual(len(self.tools.calls(verb)) - before, 1)

    async def test_spawns_nothing_and_the_port_is_taken(self) -> None:
        """
        What listens there is not taken for the agent.
        """
        self.tools.arrange(spawns=False)
        plist = self.tools.plist("m", self.port)
        self.assertEqual(fake_launchctl.load(self.tools.state, str(plist)), 0)
        with socket.create_server(("127.0.0.1", self.port)):
            self.assertFalse(await self.agent(plist).adopt(owner(self.fail)))
            why = await self.launch(self.agent(plist))
        self.assertIn(f"port {self.port} is in use", why)
        self.assertEqual(self.tools.told("started"), [])

    async def test_a_kickstart_that_fails(self) -> None:
        """
        It is no failure where the agent runs.
        """
        self.tools.arrange(kickstart=37)
        plist = self.tools.plist("m", self.port)
        agent = self.agent(plist)
        self.assertEqual(await self.serve_once(agent), "was stopped")
        self.assertEqual(agent.last_words(), "")
        self.tools.fault("kickstart", status=3, say="Could not kickstart service: 3")
        self.tools.arrange(spawns=False)
        self.assertEqual(await self.launch(agent), "could not be started")
        self.assertIn("Could not kickstart", agent.last_words())
        self.assertIsNone(self.service.record)

    async def test_input_output_error_for_a_while(self) -> None:
        """
        After a bootout, though the label is absent: tried again, also after a crash.
        """
        self.tools.arrange(eio_s=0.7)
        for verbs in ("bootstrap", "load"):
            agent, gone, pid = await self.up(verbs=verbs, keep=True)
            agent.halt()
            await gone
            agent, gone, pid = await self.up(verbs=verbs, keep=True)
            os.kill(pid, 9)
            self.assertIn("ended by itself", await gone)
            why = await self.serve_once(agent)
            self.assertEqual(why, "was stopped")

    async def test_input_output_error_and_halted(self) -> None:
        """
        A halted daemon does not wait for that.
        """
        for verbs, verb in (("bootstrap", "bootstrap"), ("load", "load")):
            self.tools.arrange(eio_s=0.0)
            agent, gone, _ = await self.up(verbs=verbs)
            agent.halt()
            await gone
            self.tools.arrange(eio_s=1e6)
            before = len(self.tools.calls(verb))
            gone = self.launch(agent)
            while len(self.tools.calls(verb)) < before + 2:
                await deferLater(reactor, 0.01)
            agent.halt()
            self.assertEqual(await gone, "was stopped")
            self.assertIsNone(self.service.record)

    async def test_disabled(self) -> None:
        """
        The remedy is told at once, whatever the version calls it.
        """
        remedy = f"launchctl enable gui/{os.getuid()}/local.m"
        plist = self.tools.plist("m", self.port)
        for status, word in ((119, "disabled"), (5, "disabled"), (5, "true")):
            self.tools.arrange(disabled={"local.m": status}, disabled_word=word)
            for verbs in ("bootstrap", "load"):
                agent = self.agent(plist, verbs)
                self.assertEqual(await self.launch(agent), "could not be started")
                self.assertIn(remedy, agent.last_words())
        self.assertEqual(len(self.tools.calls("bootstrap")), 3)

    async def test_no_graphical_session(self) -> None:
        """
        As by SSH: there is no such domain, which is told with what helps.
        """
        plist = self.tools.plist("m", self.port)
        for status in (112, 125):
            self.tools.arrange(gui=False, no_gui=status)
            agent = self.agent(plist)
            self.assertEqual(await self.launch(agent), "could not be started")
            self.assertIn("`verbs = load`", agent.last_words())
        why = await self.serve_once(self.agent(plist, "load"))
        self.assertEqual(why, "was stopped")

    async def test_not_understood(self) -> None:
        """
        What launchctl says in words that are new to us is nothing known.
        """
        plist = self.tools.plist("m", self.port)
        for verbs, verb in (("bootstrap", "print"), ("load", "list")):
            self.tools.fault(verb, status=0)
            agent = self.agent(plist, verbs)
            self.assertEqual(await self.launch(agent), "could not be started")
            self.assertEqual(
                agent.last_words(), f"launchctl {verb} local.m was not understood"
            )


class TriesTests(SynchronousTestCase):
    """
    How long a load is tried again, on a clock that the test moves.
    """

    def test_input_output_error_without_end(self) -> None:
        """
        After 10 s its words are told.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        plist = folder / "m.plist"
        plist.write_bytes(plistlib.dumps({"Label": "local.m"}))
        for verbs, status in (("bootstrap", 5), ("load", 0)):
            clock = Clock()
            service = LaunchdSpec(plist=str(plist), verbs=cast(Any, verbs))
            control = LoadsNothing(service, clock, status)
            answer = Deferred.fromCoroutine(control.start())
            clock.pump([0.5] * 19)
            self.assertNoResult(answer)
            clock.pump([0.5] * 2)
            told = self.successResultOf(answer)
            self.assertEqual(told, Answer(5, "", "Load failed: 5: EIO"))
            self.assertEqual(control.ran.count(verbs), 21)
            self.assertEqual({*control.ran} & {"kickstart", "start"}, set())


class LoadsNothing(Launchctl):
    """
    A launchctl by which nothing can be loaded.
    """

    def __init__(self, service: LaunchdSpec, clock: Clock, status: int) -> None:
        super().__init__(service, clock, {})
        self.ran: list[str] = []
        self._status = status

    async def _run(self, *argv: str) -> Answer:
        self.ran.append(argv[0])
        match argv[0]:
            case "print" | "list":
                return Answer(113, "", "Could not find service")
            case "print-disabled":
                raise ToolFailed("it is ill")
            case _:
                return Answer(self._status, "", "Load failed: 5: EIO")


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
        gone = self.launch(agent)
        await self.until(lambda: self.tools.calls("print"))
        self.timers.go_off()
        self.assertEqual(await gone, "could not be started")
        self.assertIn("did not end within 10 s", agent.last_words())
        self.assertEqual(self.tools.calls("bootstrap"), [])

    async def test_after_its_work(self) -> None:
        """
        A bootstrap that hangs once it has worked: looking tells that it has.
        """
        self.tools.fault("bootstrap", hang="after")
        agent, gone, pid = await self.up(hangs=True)
        agent.halt()
        self.assertEqual(await gone, "was stopped")
        self.assertFalse(find(pid))
