"""
Spawned processes: their session, their pipes, and the report of their end.
"""

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from swapgate.daemons import processes
from swapgate.daemons.processes import group_lives
from swapgate.daemons.spawn import SessionProcess, child_environment
from tests.gate import ROOT
from tests.stand_ins import until_reaped

ENV = {"PATH": os.environ["PATH"]}

# A reactor that is told of no signal.
_WITHOUT_SIGNALS = """
import os, signal, sys
from twisted.internet import reactor
from swapgate.daemons.tool import run
def start():
    run(reactor, ("sh", "-c", "echo here; exit 3"), os.environ).addCallbacks(tell, tell)
def tell(answer):
    print(answer.status, answer.output, signal.getsignal(signal.SIGCHLD))
    reactor.stop()
reactor.callWhenRunning(start)
reactor.run(installSignalHandlers=False)
"""


def no_pidfd(_: int) -> int:
    """
    As on macOS, or where there are no descriptors left.
    """
    raise OSError


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


class SpawnTests(TestCase):
    """
    With a pidfd where the system has them, and with a thread that waits.
    """

    timeout = 30

    def shell(self, script: str, *, thread: bool = False) -> SessionProcess:
        process = (
            SessionProcess(reactor, no_pidfd) if thread else SessionProcess(reactor)
        )
        process.start(("sh", "-c", script), ENV, "/", stdout=True)
        self.addCleanup(until_reaped)
        self.addCleanup(process.signal, signal.SIGKILL)
        return process

    async def test_its_end_is_reported(self) -> None:
        """
        Its status, or the signal that ended it; then it is reaped, and its pid unused.
        """
        for thread in (False, True):
            process = self.shell("echo out; echo err >&2; exit 7", thread=thread)
            self.assertTrue(process.running)
            self.assertEqual(await process.exited, 7)
            self.assertFalse(process.running)
            self.assertRaises(ChildProcessError, os.waitpid, process.pid, 0)
            await process.read_the_rest()
            self.assertEqual(
                (process.output(), process.last_words(9)), ("out\n", "err")
            )
            process = self.shell("sleep 60", thread=thread)
            process.signal(signal.SIGTERM)
            self.assertEqual(await process.exited, -signal.SIGTERM)
            # What has its pid now is another process.
            process.signal(signal.SIGKILL)

    async def test_a_signal_meets_the_group(self) -> None:
        """
        At once after the start, too: by then it leads its own session.
        """
        for _ in range(10):
            process = self.shell("sleep 60 & sleep 60")
            self.assertEqual(os.getsid(process.pid), process.pid)
            process.signal(signal.SIGKILL)
            self.assertEqual(await process.exited, -signal.SIGKILL)
            while group_lives(process.pid):
                await deferLater(reactor, 0.01)

    def test_an_end_is_seen_before_its_report(self) -> None:
        """
        poll() reaps what has ended; the report that comes after it is of no account.
        """
        process = self.shell("exit 5")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertTrue(process.running)
        process.poll()
        self.assertFalse(process.running)
        self.assertEqual(self.successResultOf(process.exited), 5)

    async def test_a_pidfd_that_tells_too_early(self) -> None:
        """
        A debugger that traces it reaps it first: until then there is no status.
        """
        early, other_end = os.pipe()
        os.close(other_end)
        process = SessionProcess(reactor, lambda _: early)
        process.start(("sleep", "60"), ENV, "/")
        self.addCleanup(until_reaped)
        while "pidfd" in process._readers:
            await deferLater(reactor, 0.01)
        self.assertTrue(process.running)
        process.signal(signal.SIGKILL)
        self.assertEqual(await process.exited, -signal.SIGKILL)

    async def test_freed_at_its_end(self) -> None:
        """
        Tools run all the time: what they leave must not wait for the cycle collector.
        """
        for thread in (False, True):
            process = (
                SessionProcess(reactor, no_pidfd) if thread else SessionProcess(reactor)
            )
            process.start(("true",), ENV, "/", stdout=True)
            gone = weakref.ref(process)
            gc.disable()
            self.addCleanup(gc.enable)
            await process.exited
            await process.read_the_rest()
            del process
            while gone() is not None:
                await deferLater(reactor, 0.01)

    def test_reaped_by_the_thread(self) -> Deferred[int]:
        """
        No signal leaves between that and its report: the pid may be another process's.
        """
        process = self.shell("exit 0", thread=True)
        while process._popen.returncode is None:
            # The reactor must not turn.
            time.sleep(0.001)
        self.assertTrue(process.running)
        signalled: list[object] = []
        self.patch(processes, "signal_group", lambda *of: signalled.append(of))
        process.signal(signal.SIGKILL)
        self.assertEqual(signalled, [])
        return process.exited

    async def test_nothing_is_left_open(self) -> None:
        """
        Its pipes and its pidfd are closed in the end, also where a process holds them.
        """
        # The reactor's own come as it starts.
        await deferLater(reactor, 0)
        before = descriptors()
        process = self.shell("setsid sleep 60 & echo $!")
        await process.exited
        await process.read_the_rest()
        self.assertEqual(descriptors(), before)
        os.kill(int(process.output()), signal.SIGKILL)

    def test_cannot_be_run(self) -> None:
        """
        What is not there is named.
        """
        before = descriptors()
        process = SessionProcess(reactor)
        with self.assertRaisesRegex(FileNotFoundError, "'no-such-engine'"):
            process.start(("no-such-engine",), ENV, "/")
        self.assertFalse(process.running)
        self.assertEqual(descriptors(), before)

    def test_cannot_be_watched(self) -> None:
        """
        A process whose end could not be reported does not stay.
        """
        started: list[int] = []

        def fail(pid: int) -> int:
            started.append(pid)
            raise RuntimeError("can't start new thread")

        process = SessionProcess(reactor, fail)
        self.addCleanup(until_reaped)
        with self.assertRaises(RuntimeError):
            process.start(("sleep", "60"), ENV, "/")
        self.assertFalse(process.running)
        self.assertRaises(ProcessLookupError, os.kill, started[0], 0)

    def test_no_signal_is_needed(self) -> None:
        """
        The end of a process is noticed by a reactor that has no handler of SIGCHLD.
        """
        told = subprocess.run(
            [sys.executable, "-c", _WITHOUT_SIGNALS],
            capture_output=True,
            cwd=ROOT,
            text=True,
            check=True,
        )
        self.assertEqual(told.stdout, f"3 here\n {signal.SIG_DFL}\n")


class EnvironmentTests(SynchronousTestCase):
    """
    What a child sees of our environment.
    """

    def test_the_little_it_needs(self) -> None:
        """
        Paths, home, user, language and folders pass; all else only where it is named.
        """
        environ = {
            "PATH": "/bin",
            "HOME": "/h",
            "USER": "u",
            "LANG": "C",
            "LC_ALL": "C",
            "TMPDIR": "/t",
            "XDG_CACHE_HOME": "/c",
            "API_KEY": "k",
            "LD_PRELOAD": "evil",
        }
        self.assertEqual(
            child_environment(environ, {"MORE": "1", "HOME": "/other"}),
            {
                "PATH": "/bin",
                "HOME": "/other",
                "USER": "u",
                "LANG": "C",
                "LC_ALL": "C",
                "TMPDIR": "/t",
                "XDG_CACHE_HOME": "/c",
                "MORE": "1",
            },
        )
