"""
ExternalDaemon: its life, with a control that does what the test says.
"""

import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from swapgate.config.values import Upstream
from swapgate.daemons.control import Control, Observation, ServiceState, port_answers
from swapgate.daemons.external import ExternalDaemon
from swapgate.daemons.processes import find
from swapgate.daemons.tool import Answer, ToolFailed
from tests.doubles import model, owner
from tests.held_timers import HeldTimers
from tests.ports import free_port
from tests.rig import told_in
from tests.stand_ins import FAKE

# No other timer has this length, so it can be held.
STOP_TIMEOUT_S = 4321.0
ABSENT = Observation(ServiceState.ABSENT)


@define(eq=False)
class FakeControl(Control):
    """
    Shows what the test has put there, and remembers what it was told.
    """

    observation: Observation | None = ABSENT
    observation_after_start: Observation | None = None
    slow: bool = False
    port_counts: bool = True
    has_status: bool = True
    in_the_way: str | None = None
    started: Answer = Answer(0)
    told: list[str] = field(factory=list)
    process: subprocess.Popen[bytes] | None = None
    argv: tuple[str, ...] = ()
    starting: Deferred[None] = field(factory=lambda: succeed(None))
    bugs: list[Exception] = field(factory=list)
    keeps_record: bool = False
    observation_after_stop: Observation = ABSENT

    async def look(self) -> Observation:
        self.told.append("look")
        if self.bugs:
            raise self.bugs.pop()
        if self.observation is None:
            raise ToolFailed("the tool is ill")
        return self.observation

    async def start(self) -> Answer:
        self.told.append("start")
        await self.starting
        if self.argv:
            self.run()
        self.observation = self.observation_after_start or self.observation
        return self.started

    async def preflight(self) -> str | None:
        return self.in_the_way

    def run(self) -> int:
        self.process = subprocess.Popen(self.argv, start_new_session=True)
        self.observation = Observation(ServiceState.UP, self.process.pid)
        return self.process.pid

    async def stop(self) -> Answer:
        """
        As launchd does it: the record goes at once, the process when it likes.
        """
        self.told.append("stop")
        if self.observation is not None and not self.keeps_record:
            self.observation = self.observation_after_stop
        if self.process is not None:
            self.process.terminate()
        return Answer(0)

    def count(self, what: str) -> int:
        return self.told.count(what)


def free_to_bind(port: int) -> bool:
    """
    Whether nothing is left of connections to a daemon that had this port.
    """
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class ExternalDaemonTests(TestCase):
    """
    One life after the other.
    """

    timeout = 120

    def setUp(self) -> None:
        self.port = free_port()
        self.journal = Path(self.mktemp()).absolute()
        self.control = FakeControl()
        self.timers = HeldTimers(STOP_TIMEOUT_S)
        self.addCleanup(self.clean_up)

    async def clean_up(self) -> None:
        if self.control.process is not None:
            self.control.process.kill()
            self.control.process.wait()

    def fake(self, *options: str) -> tuple[str, ...]:
        """
        The argv of a real daemon on our port.
        """
        argv = (sys.executable, "-S", str(FAKE), "--port", str(self.port))
        return (*argv, "--journal", str(self.journal), *options)

    def daemon(self, **options: Any) -> ExternalDaemon:
        upstream = Upstream(scheme="http", host="127.0.0.1", port=self.port)
        spec = model("m", upstream=upstream, **options)
        return ExternalDaemon(spec, self.control, self.timers)

    def launch(self, daemon: ExternalDaemon) -> Deferred[str]:
        gone: Deferred[str] = Deferred()
        daemon.launch(owner(gone.callback))
        return gone

    async def up(
        self, *options: str, **spec: Any
    ) -> tuple[ExternalDaemon, Deferred[str]]:
        """
        A daemon that is launched and answers.
        """
        self.control.argv = self.fake(*options)
        daemon = self.daemon(**spec)
        gone = self.launch(daemon)
        await self.until_answered(daemon)
        # Its pid is known as well.
        while daemon._observer.process is None:
            await deferLater(reactor, 0.01)
        return daemon, gone

    async def until_answered(self, daemon: ExternalDaemon) -> None:
        while not await port_answers(daemon.upstream, reactor):
            await deferLater(reactor, 0.01)

    async def test_launched_and_halted(self) -> None:
        """
        It is gone when its process is, not when its record is.
        """
        daemon, gone = await self.up("--stop-time", "0.4")
        self.assertTrue(daemon.running)
        self.assertIsNone(daemon.port_conflict())
        self.control.told.clear()
        daemon.halt()
        daemon.halt()
        while not self.control.count("stop"):
            await deferLater(reactor, 0.01)
        self.assertIs(self.control.observation, ABSENT)
        self.assertFalse(gone.called)
        self.assertEqual(await gone, "was stopped")
        assert self.control.process is not None
        self.assertEqual(self.control.process.poll(), 0)
        self.assertFalse(daemon.running)
        self.assertEqual(daemon.port_conflict(), "it has ended")
        self.assertEqual(self.control.count("stop"), 1)
        # Its pid was known: the tool, which takes its time, is not asked before.
        self.assertEqual(self.control.told[0], "stop")

    async def test_too_few_descriptors(self) -> None:
        """
        A daemon that cannot be looked into for want of them is not distrusted.
        """
        daemon, gone = await self.up()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            self.assertIsNone(daemon.port_conflict())
            self.assertTrue(daemon.serving)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        daemon.halt()
        await gone

    async def test_up_already(self) -> None:
        """
        A launch of what is up takes it, and starts nothing.
        """
        self.control.argv = self.fake()
        pid = self.control.run()
        daemon = self.daemon()
        gone = self.launch(daemon)
        await self.until_answered(daemon)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")
        self.assertEqual(self.control.count("start"), 0)
        self.assertFalse(find(pid))

    async def test_a_port_that_outlives_its_process(self) -> None:
        """
        It is not gone while its port answers.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            self.control.observation = Observation(ServiceState.UP)
            daemon = self.daemon()
            gone = self.launch(daemon)
            daemon.halt()
            while self.control.count("look") < 2:
                await deferLater(reactor, 0.01)
            self.control.observation = ABSENT
            await deferLater(reactor, 0.2)
            self.assertFalse(gone.called)
            self.assertEqual(daemon.remains(), f"a listener on port {self.port}")
        self.assertEqual(await gone, "was stopped")

    async def test_ignores_sigterm(self) -> None:
        """
        After stop_timeout its process is killed.
        """
        options = {"stop_timeout_s": STOP_TIMEOUT_S}
        daemon, gone = await self.up("--ignore-sigterm", **options)
        daemon.halt()
        while not told_in(self.journal, "sigterm"):
            await deferLater(reactor, 0.01)
        self.timers.go_off()
        await gone
        assert self.control.process is not None
        self.assertEqual(self.control.process.wait(), -signal.SIGKILL)

    async def test_killed(self) -> None:
        """
        kill() does not wait for stop_timeout.
        """
        daemon, gone = await self.up("--ignore-sigterm", stop_timeout_s=60)
        assert self.control.process is not None
        daemon.halt()
        while daemon.remains() != f"process {self.control.process.pid}":
            await deferLater(reactor, 0.01)
        daemon.kill()
        await gone
        self.assertEqual(self.control.process.wait(), -signal.SIGKILL)

    async def test_ends_by_itself(self) -> None:
        """
        A crash is an end; the service manager is told not to start it again.
        """
        daemon, gone = await self.up()
        assert self.control.process is not None
        self.control.observation = Observation(
            ServiceState.IDLE, None, True, "last exit code = 9"
        )
        self.control.process.kill()
        self.control.process.wait()
        self.assertFalse(daemon.running)
        self.assertEqual(await gone, "ended by itself (last exit code = 9)")
        self.assertEqual(self.control.count("stop"), 1)

    async def test_started_anew(self) -> None:
        """
        One that took its place at once is stopped, and proven gone too.
        """
        _, gone = await self.up("--stop-time", "0.3")
        first = self.control.process
        assert first is not None
        first.kill()
        first.wait()
        second = self.control.run()
        self.assertEqual(await gone, "ended by itself")
        self.assertFalse(find(second))

    async def test_stopped_by_its_owner(self) -> None:
        """
        What the user has stopped is gone, and called so.
        """
        daemon, gone = await self.up()
        await self.control.stop()
        self.assertEqual(await gone, "was stopped from outside")
        self.assertFalse(daemon.running)

    async def test_without_a_pid(self) -> None:
        """
        Where no pid is told, looks tell.
        """
        self.control.observation = Observation(ServiceState.UP)
        gone = self.launch(self.daemon())
        await deferLater(reactor, 0.1)
        self.assertFalse(gone.called)
        self.control.observation = ABSENT
        self.assertEqual(await gone, "was stopped from outside")

    async def test_remains(self) -> None:
        """
        What has ended and is still known is cleared away before the launch.
        """
        self.control.observation = Observation(ServiceState.IDLE, None, True)
        daemon, gone = await self.up()
        wanted = [told for told in self.control.told if told != "look"]
        self.assertEqual(wanted, ["stop", "start"])
        daemon.halt()
        await gone

    async def test_start_that_leads_to_nothing(self) -> None:
        """
        Looking tells, whatever the tool has returned; its words are kept.
        """
        for status in (0, 5):
            self.control.started = Answer(status, complaint="Load failed: 5")
            daemon = self.daemon()
            self.assertEqual(await self.launch(daemon), "could not be started")
            self.assertEqual(daemon.last_words(), "Load failed: 5")
            self.assertFalse(daemon.running)

    async def test_over_before_the_first_look(self) -> None:
        """
        What started and ended between two looks has ended, as one seen in between.
        """
        self.control.observation_after_start = Observation(
            ServiceState.ABSENT, None, True, "Result = x"
        )
        why = await self.launch(self.daemon())
        self.assertEqual(why, "ended by itself (Result = x)")

    async def test_start_that_fails_and_works(self) -> None:
        """
        The tool complains, and the daemon is there.
        """
        self.control.started = Answer(37, complaint="already in progress")
        daemon, gone = await self.up()
        self.assertTrue(daemon.running)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")

    async def test_slow(self) -> None:
        """
        After a slow start absence is no failure yet; after a failed one it is.
        """
        self.control.slow = True
        daemon = self.daemon()
        gone = self.launch(daemon)
        await deferLater(reactor, 0.2)
        self.assertFalse(gone.called)
        self.assertTrue(daemon.running)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")
        self.control.started = Answer(1, complaint="no such container")
        self.assertEqual(await self.launch(daemon), "could not be started")
        self.assertEqual(daemon.last_words(), "no such container")

    async def test_slow_and_halted(self) -> None:
        """
        A start that is not wanted any more is not waited for.
        """
        self.control.slow = True
        self.control.starting = Deferred()
        daemon = self.daemon()
        gone = self.launch(daemon)
        while not self.control.count("start"):
            await deferLater(reactor, 0.01)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")
        self.assertEqual(self.control.count("stop"), 1)

    async def test_known_and_idle(self) -> None:
        """
        What is known and does not run is started; where that fails it is stopped.
        """
        self.control.observation = Observation(ServiceState.IDLE)
        daemon, gone = await self.up()
        self.assertEqual(self.control.count("start"), 1)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")
        self.control.argv, self.control.observation = (), Observation(ServiceState.IDLE)
        self.control.started = Answer(3, complaint="no such service")
        self.assertEqual(await self.launch(daemon), "could not be started")
        self.assertEqual(daemon.last_words(), "no such service")
        self.assertEqual(self.control.count("stop"), 2)

    async def test_halted_while_it_is_started(self) -> None:
        """
        A start that takes its time is not waited for.
        """
        self.control.starting = Deferred()
        daemon = self.daemon()
        gone = self.launch(daemon)
        while not self.control.count("start"):
            await deferLater(reactor, 0.01)
        daemon.halt()
        self.assertEqual(await gone, "was stopped")

    async def test_no_look_succeeds(self) -> None:
        """
        Where a tool does not work nothing is launched, and its error is told.
        """
        self.control.observation = None
        daemon = self.daemon()
        self.assertEqual(await self.launch(daemon), "could not be started")
        self.assertEqual(daemon.last_words(), "the tool is ill")
        self.assertEqual(self.control.count("start"), 0)
        found: Any = await daemon.adopt(owner(self.fail))
        self.assertFalse(found)

    async def test_no_look_succeeds_at_its_end(self) -> None:
        """
        It is not called gone before a look succeeds.
        """
        daemon, gone = await self.up()
        self.control.observation = None
        daemon.halt()
        assert self.control.process is not None
        while self.control.process.poll() is None:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.2)
        self.assertFalse(gone.called)
        self.assertEqual(daemon.remains(), "the tool is ill")
        self.control.observation = ABSENT
        self.assertEqual(await gone, "was stopped")

    async def test_a_bug(self) -> None:
        """
        Whatever goes wrong here is logged, and no proof that the daemon is gone.
        """
        _, gone = await self.up("--stop-time", "0.3")
        process = self.control.process
        assert process is not None
        # One ends its life, the next one meets us while we end it.
        self.control.bugs = [KeyError("b"), KeyError("a")]
        self.control.observation = Observation(ServiceState.IDLE)
        process.kill()
        process.wait()
        self.control.argv = self.fake("--stop-time", "0.3")
        second = self.control.run()
        self.assertEqual(await gone, "cannot be run: 'b'")
        self.assertFalse(find(second))
        self.assertEqual(self.control.count("stop"), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    async def test_a_bug_while_detached(self) -> None:
        """
        The end of a daemon that is detached is not waited for.
        """
        daemon, gone = await self.up()
        self.control.bugs = [KeyError("a")]
        process = self.control.process
        assert process is not None
        process.kill()
        process.wait()
        while self.control.bugs:
            await deferLater(reactor, 0.01)
        await daemon.detach()
        self.assertFalse(gone.called)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    async def test_a_stranger_on_the_port(self) -> None:
        """
        Nothing is launched beside another listener.
        """
        with socket.create_server(("127.0.0.1", self.port)):
            why = await self.launch(self.daemon())
        self.assertIn(f"port {self.port} is in use", why)
        self.assertEqual(self.control.count("start"), 0)

    async def test_a_stranger_in_its_place(self) -> None:
        """
        Where the system shows listeners, another process is not taken for the daemon.
        """
        self.control.argv = self.fake("--listen-late", "60")
        daemon = self.daemon()
        gone = self.launch(daemon)
        while daemon._observer.process is None:
            await deferLater(reactor, 0.01)
        with socket.create_server(("127.0.0.1", self.port)):
            if sys.platform.startswith("linux"):
                self.assertIn("another process", daemon.port_conflict() or "")
                self.assertFalse(daemon.serving)
        daemon.halt()
        await gone

    async def test_halted_before_its_launch(self) -> None:
        """
        A launch that is taken back at once starts nothing.
        """
        daemon = self.daemon()
        gone = self.launch(daemon)
        daemon.halt()
        self.assertEqual(await gone, "stopped before its launch")
        self.assertEqual(self.control.count("start"), 0)

    async def test_a_dead_one_s_port_is_taken_again(self) -> None:
        """
        Its death is told at once, and its end is proven though its port is taken again.
        """
        self.control.argv = self.fake("--stop-time", "0.3")
        daemon = self.daemon()
        died: Deferred[str] = Deferred()
        gone: Deferred[str] = Deferred()
        daemon.launch(owner(gone.callback, died.callback))
        await self.until_answered(daemon)
        while not daemon.serving:
            await deferLater(reactor, 0.01)
        process = self.control.process
        assert process is not None
        # The manager's record stays for a while.
        self.control.keeps_record = True
        process.kill()
        process.wait()
        while not free_to_bind(self.port):
            await deferLater(reactor, 0.01)
        with socket.create_server(("127.0.0.1", self.port)):
            self.assertFalse(daemon.serving)
            self.assertEqual(await died, "ended by itself")
            self.assertFalse(gone.called)
            self.control.keeps_record = False
            self.control.observation = ABSENT
            self.assertEqual(await gone, "ended by itself")

    async def test_what_it_has_left_counts(self) -> None:
        """
        It is not gone while what it started runs, in its group or out of it.
        """
        for escape in ("", "setsid "):
            command = " ".join(self.fake("--stop-time", "0.3"))
            self.control.argv = ("sh", "-c", f"{escape}{command} & wait")
            daemon = self.daemon()
            gone = self.launch(daemon)
            await self.until_answered(daemon)
            while daemon._observer.process is None:
                await deferLater(reactor, 0.01)
            self.assertIsNone(daemon.port_conflict())
            self.assertTrue(daemon.serving)
            [relative] = daemon._observer.relatives
            assert self.control.process is not None
            self.control.process.kill()
            self.control.process.wait()
            self.control.observation = ABSENT
            await deferLater(reactor, 0.2)
            self.assertFalse(gone.called)
            relative.kill()
            await gone

    async def test_what_stands_in_the_way(self) -> None:
        """
        The tool, the port, then what the kind knows; nothing where it is up already.
        """
        daemon = self.daemon()
        self.assertIsNone(await daemon.preflight())
        # A look is not made again at once.
        self.assertIsNone(await daemon.preflight())
        self.assertEqual(self.control.count("look"), 1)
        daemon = self.daemon()
        self.control.in_the_way = "no such unit"
        self.assertEqual(await daemon.preflight(), "no such unit")
        with socket.create_server(("127.0.0.1", self.port)):
            self.assertIn("is in use", await daemon.preflight() or "")
            self.control.observation = Observation(ServiceState.UP)
            self.assertIsNone(await self.daemon().preflight())
        self.control.observation = None
        daemon, looks = self.daemon(), self.control.count("look")
        self.assertFalse(await daemon.adopt(owner(self.fail)))
        self.assertEqual(await daemon.preflight(), "the tool is ill")
        # One that hangs is not waited for twice.
        self.assertEqual(self.control.count("look") - looks, 1)

    async def test_adopted(self) -> None:
        """
        What is up is taken over, and its end is told; what is not is not.
        """
        daemon = self.daemon()
        self.assertFalse(await daemon.adopt(owner(self.fail)))
        self.control.argv = self.fake()
        self.control.run()
        await self.until_answered(daemon)
        gone: Deferred[str] = Deferred()
        self.assertTrue(await daemon.answers())
        self.assertTrue(await daemon.adopt(owner(gone.callback)))
        self.assertTrue(daemon.running)
        self.assertIsNone(daemon.port_conflict())
        daemon.halt()
        self.assertEqual(await gone, "was stopped")


class StatusTests(SynchronousTestCase):
    """
    A daemon that only a status tells of, which may fail; time is a Clock.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.control = FakeControl(slow=True, port_counts=False)
        self.control.observation_after_start = Observation(ServiceState.UP)
        upstream = Upstream(scheme="http", host="10.0.0.1", port=80)
        self.daemon = ExternalDaemon(
            model("m", upstream=upstream), self.control, self.clock
        )
        self.gone: list[str] = []
        self.healthy, self.used = True, False
        self.owner = owner(
            self.gone.append,
            in_use=lambda: self.used,
            is_healthy=lambda: succeed(self.healthy),
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    def launch(self) -> None:
        self.daemon.launch(self.owner)
        self.pass_time(1)
        self.assertTrue(self.daemon.running)

    def test_not_up_before_it_says_so(self) -> None:
        """
        Whatever answers on its port, it is not there before its status says yes.
        """
        self.control.observation_after_start = ABSENT
        self.daemon.launch(self.owner)
        self.pass_time(5)
        self.assertFalse(self.daemon.running)
        self.control.observation = Observation(ServiceState.UP)
        self.pass_time(2)
        self.assertTrue(self.daemon.running)
        self.assertTrue(self.daemon.serving)

    def test_one_that_fails(self) -> None:
        """
        Failures are no end while its health answers, and several are one otherwise.
        """
        self.launch()
        self.control.observation = Observation(ServiceState.ABSENT, sure=False)
        self.pass_time(60)
        self.assertEqual((self.gone, self.control.count("stop")), ([], 0))
        self.healthy = False
        self.pass_time(10)
        self.assertEqual(self.gone, ["was stopped from outside"])

    def test_one_passing_fault(self) -> None:
        """
        One failure is none, whatever its health says.
        """
        self.launch()
        self.healthy = False
        self.control.observation = Observation(ServiceState.ABSENT, sure=False)
        self.pass_time(1)
        self.control.observation = Observation(ServiceState.UP)
        self.pass_time(60)
        self.assertEqual((self.gone, self.control.count("stop")), ([], 0))

    def test_a_tool_that_is_ill(self) -> None:
        """
        A tool that tells nothing at all is not believed to say no.
        """
        self.launch()
        self.healthy, self.control.observation = False, None
        self.pass_time(60)
        self.assertEqual((self.gone, self.control.count("stop")), ([], 0))

    def test_a_clear_no(self) -> None:
        """
        A sure look is believed at once.
        """
        self.launch()
        self.control.observation = ABSENT
        self.pass_time(2)
        self.assertEqual(self.gone, ["was stopped from outside"])

    def test_not_asked_while_it_answers(self) -> None:
        """
        A stream shows that it lives; its status is not asked meanwhile.
        """
        self.launch()
        self.used = True
        self.pass_time(2)
        looks = self.control.count("look")
        self.pass_time(30)
        self.assertEqual(self.control.count("look"), looks)
        self.used = False
        self.pass_time(5)
        self.assertGreater(self.control.count("look"), looks)

    def test_stopped_with_a_status_that_fails(self) -> None:
        """
        What was stopped and is not found in several looks is gone.
        """
        self.launch()
        self.daemon.halt()
        self.control.observation_after_stop = Observation(
            ServiceState.ABSENT, sure=False
        )
        self.pass_time(10)
        self.assertEqual(self.gone, ["was stopped"])
