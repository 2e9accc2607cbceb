"""
Units of systemd: what systemctl says, and real processes behind a stand-in.
"""

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import SystemdSpec
from swapgate.daemons.control import Observation, ServiceState, port_answers
from swapgate.daemons.external import ExternalDaemon
from swapgate.daemons.processes import find
from swapgate.daemons.systemd import Systemctl, read_show
from tests.daemons.kinds import KindCase

# No other timer has this length, so it can be held.
STOP_TIMEOUT_S = 4321.0


class ReadingTests(SynchronousTestCase):
    """
    What systemctl says.
    """

    def test_show(self) -> None:
        """
        Each state of a unit.
        """
        failed = "Result = exit-code, ExecMainStatus = 1"
        for text, observation in {
            "ActiveState=active\nMainPID=9": Observation(ServiceState.UP, 9),
            # RemainAfterExit, and no process.
            "ActiveState=active\nSubState=exited\nMainPID=0": Observation(
                ServiceState.UP
            ),
            # On its way up: it need not be started once more.
            "ActiveState=activating\nSubState=start\nMainPID=9": Observation(
                ServiceState.UP, 9
            ),
            "ActiveState=activating\nSubState=auto-restart\nMainPID=0\n"
            "Result=exit-code\nExecMainStatus=1": Observation(
                ServiceState.UP, None, True, failed
            ),
            "ActiveState=deactivating\nMainPID=9\nResult=success": Observation(
                ServiceState.IDLE, 9, True
            ),
            "ActiveState=inactive\nMainPID=0\nResult=success": Observation(
                ServiceState.ABSENT
            ),
            "ActiveState=inactive\nMainPID=0\nJob=77": Observation(ServiceState.UP),
            "ActiveState=failed\nResult=exit-code\nExecMainStatus=1": Observation(
                ServiceState.ABSENT, None, True, failed
            ),
        }.items():
            self.assertEqual(read_show(text + "\n"), observation)
        self.assertIsNone(read_show("Failed to connect to bus\n"))


class SystemdTests(KindCase):
    """
    One unit, m.service, on a port of its own.
    """

    held_s = (STOP_TIMEOUT_S,)

    def unit(self, scope: Any = "user", **options: Any) -> ExternalDaemon:
        service = SystemdSpec(unit="m.service", scope=scope)
        spec = self.spec(service, **options)
        control = Systemctl(service, self.timers, self.tools.environ)
        return ExternalDaemon(spec, control, self.timers)

    async def until_up(self, unit: ExternalDaemon) -> int:
        while not (
            unit.running
            and unit._observer.process
            and await port_answers(unit.upstream, reactor)
        ):
            await deferLater(reactor, 0.01)
        return int(self.tools.told("started")[-1]["pid"])

    async def test_from_launch_to_gone(self) -> None:
        """
        In either scope.
        """
        self.tools.unit("m.service", self.port, "--stop-time", "0.2")
        for scope in ("user", "system"):
            unit = self.unit(scope)
            gone = self.launch(unit)
            pid = await self.until_up(unit)
            self.assertIsNone(unit.port_conflict())
            unit.halt()
            self.assertEqual(await gone, "was stopped")
            self.assertFalse(find(pid))
            self.assertEqual(
                ["--user" in call for call in self.tools.calls("start")][-1],
                scope == "user",
            )

    async def test_crash(self) -> None:
        """
        Whether or not systemd would start it again, it is stopped.
        """
        for keep in (False, True):
            self.tools.unit("m.service", self.port, keep_alive=keep, throttle_s=10.0)
            unit = self.unit()
            gone = self.launch(unit)
            os.kill(await self.until_up(unit), 9)
            self.assertIn("ended by itself", await gone)

    async def test_exits_at_once(self) -> None:
        """
        The reason is systemd's.
        """
        self.tools.unit("m.service", self.port, "--exit-after", "0")
        why = await self.launch(self.unit())
        self.assertIn("ended by itself", why)

    async def test_no_such_unit(self) -> None:
        """
        systemctl's words are kept.
        """
        unit = self.unit()
        self.assertEqual(await self.launch(unit), "could not be started")
        self.assertIn("Unit m.service not found", unit.last_words())

    async def test_no_systemd(self) -> None:
        """
        Where systemctl cannot reach it, that is said.
        """
        self.tools.fault("show", status=1)
        unit = self.unit()
        self.assertEqual(await self.launch(unit), "could not be started")
        self.assertIn("systemctl cannot tell of m.service", unit.last_words())

    async def test_stopped_by_its_owner(self) -> None:
        """
        A stop that is not ours.
        """
        self.tools.unit("m.service", self.port)
        unit = self.unit()
        gone = self.launch(unit)
        await self.until_up(unit)
        self.tools.service("m.service").unload()
        self.assertEqual(await gone, "was stopped from outside")

    async def test_ignores_sigterm(self) -> None:
        """
        It is killed at stop_timeout.
        """
        self.tools.unit("m.service", self.port, "--ignore-sigterm")
        unit = self.unit(stop_timeout_s=STOP_TIMEOUT_S)
        gone = self.launch(unit)
        pid = await self.until_up(unit)
        unit.halt()
        while not self.tools.told("sigterm"):
            await deferLater(reactor, 0.01)
        self.timers.go_off()
        await gone
        self.assertFalse(find(pid))
