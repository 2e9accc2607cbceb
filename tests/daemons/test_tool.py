"""
Tool: commands as real processes, their answers, their bounds, their absence.
"""

import json
import os
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from swapgate.daemons.processes import group_lives
from swapgate.daemons.tool import Answer, ToolFailed, run
from tests.stand_ins import until_reaped

ENV = {"PATH": os.environ["PATH"], "GIVEN": "1"}

ABOUT_ITSELF = """
import json, os
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
print(json.dumps([os.getpid(), os.getsid(0), [*filter(is_open, range(256))]]))
"""


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


class ToolTests(TestCase):
    """
    One tool after the other.
    """

    timeout = 120

    def setUp(self) -> None:
        self.addCleanup(until_reaped)

    def run_shell(self, script: str, timeout_s: float = 20.0) -> Deferred[Answer]:
        return run(reactor, ("sh", "-c", script), ENV, timeout_s=timeout_s)

    async def test_answer(self) -> None:
        """
        Its status and what it said, on either side.
        """
        answer = await self.run_shell("echo $GIVEN $HOME; echo so >&2; exit 3")
        self.assertEqual(answer, Answer(3, "1\n", "so"))

    async def test_signal(self) -> None:
        """
        One that a signal ended.
        """
        self.assertEqual((await self.run_shell("kill -9 $$")).status, -9)

    async def test_looked_up_at_each_run(self) -> None:
        """
        A tool that is not there is named; once it is there, it is found.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        env = {"PATH": str(folder)}
        error = await self.assertFailure(run(reactor, ("tool", "x"), env), ToolFailed)
        self.assertEqual(str(error), "'tool' is not an executable on PATH")
        script = folder / "tool"
        script.write_text("#!/bin/sh\necho here $1\n")
        script.chmod(0o755)
        answer = await run(reactor, ("tool", "x"), env)
        self.assertEqual(answer.output, "here x\n")

    async def test_in_a_folder(self) -> None:
        """
        It runs in the folder that it is given.
        """
        answer = await run(reactor, ("pwd",), ENV, cwd="/usr")
        self.assertEqual(answer.output, "/usr\n")

    async def test_hangs(self) -> None:
        """
        At the bound it is killed, with all it has started, and named.
        """
        pid = Path(self.mktemp()).absolute()
        script = f"echo $$ > {pid}; sleep 60 & sleep 60"
        failing = self.run_shell(script, timeout_s=0.3)
        error = await self.assertFailure(failing, ToolFailed)
        self.assertIn("did not end within 0.3 s", str(error))
        while group_lives(int(pid.read_text())):
            await deferLater(reactor, 0.01)

    async def test_cancelled(self) -> None:
        """
        A cancelled run ends the tool.
        """
        pid = Path(self.mktemp()).absolute()
        running = self.run_shell(f"echo $$ > {pid}; sleep 60")
        while not (pid.exists() and pid.read_text()):
            await deferLater(reactor, 0.01)
        running.cancel()
        await self.assertFailure(running, CancelledError)
        while group_lives(int(pid.read_text())):
            await deferLater(reactor, 0.01)

    async def test_much_is_said(self) -> None:
        """
        The beginning of stdout and the end of stderr are kept, no more.
        """
        answer = await self.run_shell(
            "yes out | head -c 500000; yes noise | head -n 90000 >&2; echo end >&2"
        )
        self.assertEqual(len(answer.output), 65536)
        self.assertEqual(answer.complaint.splitlines()[-1], "end")
        self.assertEqual(len(answer.complaint.splitlines()), 6)

    async def test_leaves_a_daemon_behind(self) -> None:
        """
        What it has started goes on, and its hold on the pipes delays no answer.
        """
        answer = await self.run_shell("sleep 60 & echo $!")
        pid = int(answer.output)
        os.kill(pid, 0)
        os.kill(pid, 9)

    async def test_cannot_be_run(self) -> None:
        """
        What the system refuses to run is named, and no descriptor is lost.
        """
        # The reactor's own come as it starts.
        await deferLater(reactor, 0)
        before = descriptors()
        running = run(reactor, ("true",), ENV, cwd="/no/such/folder")
        error = await self.assertFailure(running, ToolFailed)
        self.assertIn("'true' cannot be run: ", str(error))
        self.assertIn("No such file or directory: '/no/such/folder'", str(error))
        tool = Path(self.mktemp()).absolute()
        tool.write_bytes(b"\x7fELF, and no more")
        tool.chmod(0o755)
        error = await self.assertFailure(run(reactor, (str(tool),), ENV), ToolFailed)
        self.assertIn(f"Exec format error: '{tool}'", str(error))
        self.assertEqual(descriptors(), before)

    async def test_its_own_session(self) -> None:
        """
        And no descriptor of ours, not even one that is meant to be inherited.
        """
        ours = os.open(os.devnull, os.O_RDONLY)
        self.addCleanup(os.close, ours)
        os.set_inheritable(ours, True)
        answer = await run(reactor, (sys.executable, "-c", ABOUT_ITSELF), ENV)
        pid, session, open_descriptors = json.loads(answer.output)
        self.assertEqual(pid, session)
        self.assertEqual(open_descriptors, [0, 1, 2])
