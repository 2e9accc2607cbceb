"""
What the tests of launchd, systemd and commands share: one daemon, m, run by stand-ins.
"""

from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from swapgate.config.daemon_kinds import ServiceSpec
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons.external import ExternalDaemon
from tests.doubles import owner
from tests.held_timers import HeldTimers
from tests.ports import free_port
from tests.stand_ins import StandIns, until_reaped


class KindCase(TestCase):
    """
    Tools of a folder of its own, a free port, and timers that the test holds.
    """

    timeout = 120
    #: The lengths of the timers that are held.
    held_s: ClassVar[tuple[float, ...]]

    def setUp(self) -> None:
        self.tools = StandIns(Path(self.mktemp()).absolute())
        self.addCleanup(self.tools.sweep)
        self.addCleanup(until_reaped)
        self.port = free_port()
        self.timers = HeldTimers(*self.held_s)

    def spec(self, service: ServiceSpec, **options: Any) -> ModelSpec:
        upstream = Upstream(scheme="http", host="127.0.0.1", port=self.port)
        return ModelSpec(
            name="m", memory_bytes=1, service=service, upstream=upstream, **options
        )

    def launch(self, daemon: ExternalDaemon) -> Deferred[str]:
        gone: Deferred[str] = Deferred()
        daemon.launch(owner(gone.callback))
        return gone
