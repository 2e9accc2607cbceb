"""
`twistd swapgate` as a process of its own, for tests that watch it from outside.
"""

import os
import re
import signal
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from swapgate.daemons.processes import signal_group
from tests.rig import RigCase
from tests.test_tap import TWISTD, environment


class Gateway(ProcessProtocol):
    """
    A gateway that runs: what it logs, and how it ends.
    """

    def __init__(self) -> None:
        self.log = ""
        self.ended: Deferred[Any] = Deferred()
        self._looking: tuple[Deferred[None], re.Pattern[str], int] | None = None

    def outReceived(self, data: bytes) -> None:
        self.log += data.decode()
        if self._looking is not None:
            found, pattern, count = self._looking
            if len(pattern.findall(self.log)) >= count:
                self._looking = None
                found.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value)

    async def until(self, pattern: str, count: int = 1) -> list[str]:
        """
        Wait until it has logged this so often.
        """
        found: Deferred[None] = Deferred()
        self._looking = (found, re.compile(pattern), count)
        self.outReceived(b"")
        await found
        return re.findall(pattern, self.log)

    def signal(self, name: str) -> None:
        assert self.transport is not None
        self.transport.signalProcess(name)


class TwistdCase(RigCase):
    """
    `twistd swapgate` with daemons of its own, seen from another process.
    """

    # What a shell does before: limits, redirections; it ends with exec.
    shell = ""

    @property
    def config(self) -> Path:
        return self.journal.with_suffix(".cfg")

    async def serve(self, text: str) -> None:
        self.spawn_gateway(text)
        count = text.count("tcp:")
        self.ports = await self.gateway.until(r" starting on (\d+)", count)
        self.port = int(self.ports[0])

    def spawn_gateway(self, text: str) -> None:
        config = self.config
        self.assertNotIn("tcp:11430", text, "the port of a gateway that is in use")
        config.write_text(text)
        self.gateway = Gateway()
        spawner: Any = reactor
        argv = [*TWISTD, "swapgate", "--config", str(config)]
        if self.shell:
            argv = ["/bin/sh", "-c", f'{self.shell} "$@"', "sh", *argv]
        env = environment(HOME=str(config.parent))
        spawner.spawnProcess(self.gateway, argv[0], argv, env, str(config.parent))
        self.addCleanup(self.kill)

    async def kill(self) -> None:
        if not self.gateway.ended.called:
            self.gateway.signal("KILL")
            await self.gateway.ended
        # Nothing else ends what a killed gateway leaves behind.
        for entry in self.told("started"):
            signal_group(entry["pgid"], signal.SIGKILL)

    async def terminate(self) -> None:
        """
        Send SIGTERM and wait for an orderly end.
        """
        self.gateway.signal("TERM")
        await self.assert_ended_in_order()

    async def assert_ended_in_order(self) -> None:
        ended = await self.gateway.ended
        # twistd raises the signal again when all is done.
        if not isinstance(ended, ProcessDone):
            self.assertEqual(ended.signal, signal.SIGTERM, self.gateway.log)
        self.assertIn("Server Shut Down", self.gateway.log)
        self.assertNotIn("Traceback", self.gateway.log)

    def assert_no_daemon(self) -> None:
        for entry in self.told("started"):
            with self.assertRaises(ProcessLookupError):
                os.kill(entry["pid"], 0)
