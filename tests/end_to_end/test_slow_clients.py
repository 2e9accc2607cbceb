"""
Slow clients, as slowhttptest has them: each is cut in time, and delays no other.
"""

import os
import re
import shutil

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutput
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SkipTest

from tests.rig import RigCase

TOOL = shutil.which("slowhttptest")
CLIENTS = 40
DEADLINES = """
header_timeout = 1 s
body_timeout = 1 s
body_rate = 1 MiB/s
keep_alive_timeout = 1 s
send_timeout = 1 s
"""
# A listing of 0.7 MB, so that ten of them fill whatever buffers there are.
NAMES = ", ".join(f"{n:06}" + "x" * 94 for n in range(4000))


class SlowClientTests(RigCase):
    """
    Each kind of slowness, by many clients at once.
    """

    general = DEADLINES

    def setUp(self) -> None:
        super().setUp()
        if TOOL is None:
            if os.environ.get("CI"):
                self.fail("slowhttptest is not installed, which .ci/run sees to")
            raise SkipTest("slowhttptest is not installed: slow clients are not tested")

    async def attack(self, path: str, *options: str) -> int:
        """
        Run slow clients beside others; return how many requests got a 408.
        """
        await self.start(a="")
        assert self.service is not None
        options = (*options, "-c", str(CLIENTS), "-r", "100", "-i", "1", "-l", "40")
        url = f"http://127.0.0.1:{self.port}{path}"
        with capturedLogs() as logged:
            attack: Deferred[bytes] = getProcessOutput(
                TOOL, [*options, "-u", url], env=os.environ, reactor=reactor
            )
            other = await self.connect()
            while not attack.called:
                other.send("/v1/chat/completions", {"model": "a"})
                self.assertEqual((await other.answer()).status, 200)
            said = (await attack).decode()
            # Beyond ten a second they have one line.
            self.service._site._log_limit.sum_up()
        self.assertIn("No open connections left", said)
        await other.closed()
        self.assertEqual(len(self.service._site.channels), 0)
        lines = [event.get("status") for event in logged].count(408)
        said = "\n".join(map(str, map(formatEvent, logged)))
        sums = re.findall(r"\b(\d+) of 408", said)
        return lines + sum(map(int, sums))

    async def test_slow_headers(self) -> None:
        """
        One header line after the other, without end.
        """
        self.assertEqual(await self.attack("/health", "-H"), CLIENTS)

    async def test_slow_bodies(self) -> None:
        """
        A few bytes at a time of a body that was announced.
        """
        kind = ("-f", "application/json")
        slow = await self.attack("/v1/chat/completions", "-B", *kind)
        self.assertEqual(slow, CLIENTS)

    async def test_slow_reading(self) -> None:
        """
        Large answers, ten to a connection, read at 1 KiB a second.
        """
        self.extra = {"a": f"aliases = {NAMES}"}
        pace = ("-n", "1", "-z", "1024", "-w", "512", "-y", "1024")
        self.assertEqual(await self.attack("/v1/models", "-X", "-k", "10", *pace), 0)
