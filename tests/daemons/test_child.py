"""
Child: daemons as real processes, their session, their end, their last words.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from swapgate.config.daemon_kinds import ChildSpec
from swapgate.config.expand import Command
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons.child import Child
from swapgate.daemons.processes import group_lives
from tests.doubles import owner
from tests.gate import ROOT
from tests.held_timers import HeldTimers
from tests.ports import free_port

FAKE = ROOT / "tests" / "fake_llama.py"
# No other timer has this length, so it can be held.
STOP_TIMEOUT_S = 4321.0
ENVIRON = {"PATH": os.environ["PATH"], "SECRET": "x", "LC_ALL": "C"}


@define
class Register:
    """
    What was noted of children, in order.
    """

    notes: list[tuple[str, int]] = field(factory=list)

    def note_start(self, pid: int) -> None:
        self.notes.append(("start", pid))

    def note_argv(self, pid: int) -> None:
        self.notes.append(("argv", pid))

    def note_end(self, pid: int) -> None:
        self.notes.append(("end", pid))


class ChildTests(TestCase):
    """
    One child after the other.
    """

    timeout = 120

    def setUp(self) -> None:
        self.journal = Path(self.mktemp())
        self.register = Register()
        self.timers = HeldTimers(STOP_TIMEOUT_S)

    def child(self, *argv: str, port: int | None = None, **options: Any) -> Child:
        """
        A child with this command, launched; `self.gone` is the reason of its end.
        """
        service = ChildSpec(
            command=Command(words=argv),
            env=(("GIVEN", "1"),),
            cwd=str(Path.cwd()),
        )
        upstream = port and Upstream(scheme="http", host="127.0.0.1", port=port)
        spec = ModelSpec(
            name="m",
            memory_bytes=1,
            service=service,
            upstream=upstream or None,
            **options,
        )
        child = Child(spec, service, self.timers, ENVIRON, self.register)
        self.gone = self.launch(child)
        return child

    def launch(self, child: Child) -> Deferred[str]:
        """
        Launch it, and see to it that it is gone when the test is over.
        """
        gone: Deferred[str] = Deferred()
        over: Deferred[None] = Deferred()

        def end(why: str) -> None:
            gone.callback(why)
            over.callback(None)

        def clean_up() -> Deferred[None]:
            child.kill()
            return over

        child.launch(owner(end))
        self.addCleanup(clean_up)
        return gone

    def fake(self, *options: str, port: int | None = None, **more: Any) -> Child:
        argv = (sys.executable, str(FAKE), "--port", "${port}", *options)
        return self.child(*argv, "--journal", str(self.journal), port=port, **more)

    async def until(self, what: str) -> dict[str, Any]:
        """
        The journal's first line that tells of `what`; the test's timeout bounds it.
        """
        while True:
            lines = self.journal.read_text() if self.journal.exists() else ""
            for line in lines.splitlines():
                if (entry := json.loads(line))["what"] == what:
                    found: dict[str, Any] = entry
                    return found
            await deferLater(reactor, 0.01)

    async def test_its_surroundings(self) -> None:
        """
        Its own session, no descriptor of ours, not even one that is meant to be
        inherited, a small environment, the port it got.
        """
        ours = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, ours)
        os.set_inheritable(ours, True)
        child = self.fake()
        started = await self.until("started")
        self.assertEqual(started["sid"], started["pid"])
        self.assertEqual(started["pgid"], started["pid"])
        self.assertEqual(started["fds"], [0, 1, 2])
        self.assertNotIn("SECRET", started["env"])
        self.assertLessEqual({"PATH", "LC_ALL", "GIVEN"}, set(started["env"]))
        self.assertEqual((await self.until("listening"))["port"], child.upstream.port)
        self.assertTrue(child.running)
        self.assertIsNone(child.port_conflict())

    async def test_stopped_politely(self) -> None:
        """
        SIGTERM ends it; it is gone once the process is reaped.
        """
        child = self.fake()
        pid = (await self.until("listening"))["pid"]
        child.halt()
        child.halt()
        self.assertEqual(await self.gone, "exited with status 0")
        self.assertFalse(group_lives(pid))
        self.assertFalse(child.running)
        self.assertEqual(child.port_conflict(), "its process has ended")
        self.assertEqual(self.register.notes, [("start", pid), ("end", pid)])

    async def test_ignores_sigterm(self) -> None:
        """
        After stop_timeout it is killed.
        """
        child = self.fake("--ignore-sigterm", stop_timeout_s=STOP_TIMEOUT_S)
        await self.until("listening")
        child.halt()
        await self.until("sigterm")
        self.timers.go_off()
        self.assertEqual(await self.gone, "was ended by SIGKILL")

    async def test_killed_at_once(self) -> None:
        """
        kill() does not wait for stop_timeout.
        """
        child = self.fake("--ignore-sigterm", stop_timeout_s=60.0)
        await self.until("listening")
        pid = (await self.until("started"))["pid"]
        child.halt()
        self.assertEqual(child.remains(), f"process {pid}")
        child.kill()
        self.assertEqual(await self.gone, "was ended by SIGKILL")

    async def test_grandchildren(self) -> None:
        """
        What a dead child leaves behind in its group goes with it.
        """
        self.fake("--grandchild")
        pid = (await self.until("listening"))["pid"]
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(await self.gone, "was ended by SIGKILL")
        self.assertFalse(group_lives(pid))

    async def test_a_wrapper(self) -> None:
        """
        A shell around the daemon ends together with it; its listener counts as ours.
        """
        fake = f"{sys.executable} {FAKE} --port ${{port}} --journal {self.journal}"
        child = self.child("sh", "-c", f"{fake}; exit 3")
        await self.until("listening")
        self.assertIsNone(child.port_conflict())
        child.halt()
        await self.gone
        self.assertFalse(group_lives((await self.until("started"))["pgid"]))

    async def test_last_words(self) -> None:
        """
        The tail of its stderr, without what a terminal would obey.
        """
        child = self.child(
            "sh",
            "-c",
            "yes noise | head -n 5000 >&2; printf 'bad \\033[2Jend\\n' >&2; exit 7",
        )
        self.assertEqual(await self.gone, "exited with status 7")
        words = child.last_words().splitlines()
        self.assertEqual(words[-1], "bad [2Jend")
        self.assertEqual(len(words), 10)

    async def test_a_fugitive_holds_stderr(self) -> None:
        """
        A process that left the session and keeps stderr open does not hold up the end.
        """
        self.child("sh", "-c", "setsid sleep 5 & echo gone >&2; exit 1")
        self.assertEqual(await self.gone, "exited with status 1")

    async def test_no_such_command(self) -> None:
        """
        A command that is not there is named.
        """
        self.child("no-such-engine", "--port", "1")
        self.assertEqual(
            await self.gone, "'no-such-engine' is not an executable on PATH"
        )

    async def test_no_such_folder(self) -> None:
        """
        A launch that fails in the child before the command runs ends like any other.
        """
        child = self.child("sh", "-c", "true")
        await self.gone
        service = ChildSpec(command=Command(words=("true",)), cwd="/no/such/folder")
        spec = ModelSpec(name="m", memory_bytes=1, service=service)
        child = Child(spec, service, reactor, ENVIRON, self.register)
        why = "the folder /no/such/folder is not there"
        self.assertEqual(await self.launch(child), why)

    async def test_the_port_is_taken(self) -> None:
        """
        Nothing is launched while another process answers on the port.
        """
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            port = stranger.getsockname()[1]
            self.fake(port=port)
            self.assertIn(f"port {port} is in use", await self.gone)
            self.assertFalse(self.journal.exists())

    async def test_killed_as_it_is_spawned(self) -> None:
        """
        A signal that comes at once after its start reaches it.
        """
        for _ in range(10):
            child = self.fake()
            while not child.running:
                await deferLater(reactor, 0)
            child.kill()
            self.assertEqual(await self.gone, "was ended by SIGKILL")

    async def test_halted_before_its_launch(self) -> None:
        """
        A launch that is taken back at once starts nothing.
        """
        self.fake().halt()
        self.assertEqual(await self.gone, "stopped before its launch")
        self.assertFalse(self.journal.exists())

    async def test_a_stranger_beside_it(self) -> None:
        """
        Where another process listens on the port too, the child is not to be trusted.
        """
        child = self.fake("--listen-late", "60")
        await self.until("started")
        port = child.upstream.port
        if sys.platform.startswith("linux"):
            self.assertEqual(
                child.port_conflict(),
                f"the daemon itself does not listen on port {port}; see its command",
            )
            with socket.create_server(("127.0.0.1", port)):
                self.assertEqual(
                    child.port_conflict(),
                    f"another process listens on port {port}; stop that process, or "
                    "give the model another port",
                )

    async def test_a_lost_port(self) -> None:
        """
        A free port that another process got first is chosen again.
        """
        # The first run has its port taken by a stranger and ends, as engines do.
        script = (
            'if mkdir "$0" 2>/dev/null; then'
            ' setsid "$1" -c "$2" "$3" "$0" &'
            ' until [ -e "$0/up" ]; do sleep 0.01; done;'
            ' exit 1; fi; shift 3; exec "$@"'
        )
        stranger = (
            "import os, socket, sys, time;"
            "s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
            "open(sys.argv[2] + '/pid', 'w').write(str(os.getpid()));"
            "open(sys.argv[2] + '/up', 'w');"
            "time.sleep(600)"
        )
        folder = Path(self.mktemp()).absolute()
        argv = (
            "sh",
            "-c",
            script.replace("$", "$$"),
            str(folder),
            sys.executable,
            stranger,
            "${port}",
        )
        fake = (sys.executable, str(FAKE), "--port", "${port}")
        child = self.child(*argv, *fake, "--journal", str(self.journal))
        first = child.upstream.port
        listening = await self.until("listening")
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)
        self.assertNotEqual(listening["port"], first)
        self.assertEqual(listening["port"], child.upstream.port)
        self.assertIsNone(child.port_conflict())
        self.assertTrue(child.serving)

    async def test_relaunched(self) -> None:
        """
        One whose port another process answers on has another try, unless it is fixed.
        """
        child = self.fake("--listen-late", "60")
        for _ in range(2):
            port = child.upstream.port
            await self.until_running(child)
            self.assertTrue(child.relaunch())
            while child.upstream.port == port:
                await deferLater(reactor, 0.01)
        await self.until_running(child)
        self.assertFalse(child.relaunch())
        fixed = self.fake("--listen-late", "60", port=free_port())
        await self.until_running(fixed)
        self.assertFalse(fixed.relaunch())

    async def until_running(self, child: Child) -> None:
        while not child.running:
            await deferLater(reactor, 0.01)

    async def test_what_stands_in_the_way(self) -> None:
        """
        A fixed port, a program: looked at without a launch.
        """
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            port = stranger.getsockname()[1]
            child = self.fake(port=port)
            self.assertIn(f"port {port} is in use", await child.preflight() or "")
            await self.gone
        self.assertIsNone(await self.fake().preflight())
        child = self.child("no-such-program", "${port}")
        self.assertIn("not an executable", await child.preflight() or "")
        self.assertFalse(await child.answers())

    async def test_a_death_while_it_is_looked_at(self) -> None:
        """
        The next process on its port is not blamed for its own end.
        """
        child = self.fake()
        pid = (await self.until("listening"))["pid"]
        process = child._process
        poll = process.poll

        def poll_and_lose_it() -> None:
            poll()
            process.poll = poll  # type: ignore[method-assign]
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        process.poll = poll_and_lose_it  # type: ignore[method-assign]
        self.assertEqual(child.port_conflict(), "its process has ended")

    async def test_twice(self) -> None:
        """
        One daemon can live again, on another port.
        """
        child = self.fake()
        await self.until("listening")
        child.halt()
        await self.gone
        self.journal.unlink()
        again = self.launch(child)
        await self.until("listening")
        child.halt()
        await again
