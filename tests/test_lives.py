"""
Which processes run: real ones, zombies too.
"""

import subprocess
import sys

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from swapgate.daemons import lives


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


class LivesTests(TestCase):
    """
    A process from its start to its end.
    """

    async def test_one_life(self) -> None:
        """
        It runs until it is dead, be it a zombie; a later one of its pid is another.
        """
        with sleeper() as process:
            for find in (lives.find, lives.ask_ps):
                found = await find(reactor, process.pid)
                assert found is not None
                self.assertEqual(found.pid, process.pid)
                self.assertTrue(found.born)
                self.assertEqual(found, await find(reactor, process.pid))
            alive = await lives.find(reactor, process.pid)
            assert alive is not None
            self.assertTrue(await lives.runs(reactor, alive))
            self.assertTrue(lives.seems_to_run(process.pid))
            other = lives.Process(process.pid, "another birth")
            self.assertFalse(await lives.runs(reactor, other))
            # Nobody could tell us its birth: it is taken for the same.
            unknown = lives.Process(process.pid, "")
            self.assertTrue(await lives.runs(reactor, unknown))
            process.kill()
            if sys.platform.startswith("linux"):
                while lives.seems_to_run(process.pid):
                    pass
                self.assertIsNone(await lives.ask_ps(reactor, process.pid))
                self.assertFalse(await lives.runs(reactor, alive))
        self.assertIsNone(await lives.find(reactor, process.pid))
        self.assertIsNone(await lives.ask_ps(reactor, process.pid))
