"""
Daemons of commands: a container and a deployment, by stand-ins for their tools.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from swapgate.config.daemon_kinds import CommandSpec
from swapgate.config.expand import Command
from swapgate.daemons.command import Commands
from swapgate.daemons.control import port_answers
from swapgate.daemons.external import ExternalDaemon
from swapgate.daemons.tool import TOOL_TIMEOUT_S
from tests.daemons.kinds import KindCase
from tests.doubles import owner

DOCKER = {
    "start": "docker start m",
    "stop": "docker stop m",
    "status": "docker inspect --format {{.State.Running}} m",
}
# No other timer has these lengths, so they can be held.
LOAD_TIMEOUT_S, STOP_TIMEOUT_S = 4321.0, 1234.0
KUBERNETES = {
    "start": "kubectl scale deployment/m --replicas=1",
    "stop": "kubectl scale deployment/m --replicas=0",
}


class CommandTests(KindCase):
    """
    One daemon, m, on a port of its own.
    """

    held_s = (LOAD_TIMEOUT_S, STOP_TIMEOUT_S + TOOL_TIMEOUT_S)

    def daemon(self, commands: dict[str, str], **options: Any) -> ExternalDaemon:
        words = {k: Command(words=tuple(v.split())) for k, v in commands.items()}
        service = CommandSpec(
            start=words["start"],
            stop=words["stop"],
            status=words.get("status"),
            cwd=str(self.tools.state),
        )
        spec = self.spec(service, **options)
        control = Commands(spec, service, self.timers, self.tools.environ)
        return ExternalDaemon(spec, control, self.timers)

    async def until_answered(self, daemon: ExternalDaemon) -> None:
        while not await port_answers(daemon.upstream, reactor):
            await deferLater(reactor, 0.01)

    async def test_from_launch_to_gone(self) -> None:
        """
        With a status and without one; nothing is gone before its process is.
        """
        self.tools.unit("m", self.port, "--listen-late", "0.3", "--stop-time", "0.3")
        for commands in (DOCKER, KUBERNETES):
            daemon = self.daemon(commands)
            gone = self.launch(daemon)
            await self.until_answered(daemon)
            self.assertTrue(daemon.running)
            self.assertIsNone(daemon.port_conflict())
            daemon.halt()
            self.assertEqual(await gone, "was stopped")
            self.assertEqual(self.tools.told()[-1]["what"], "exited")

    async def test_adopted(self) -> None:
        """
        What is up is taken over; its end is noticed.
        """
        self.tools.unit("m", self.port)
        for commands in (DOCKER, KUBERNETES):
            daemon = self.daemon(commands)
            self.assertFalse(await daemon.adopt(owner(self.fail)))
            service = self.tools.service("m")
            first = self.daemon(commands)
            gone_first = self.launch(first)
            while not first._was_up:
                await deferLater(reactor, 0.01)
            await self.until_answered(daemon)
            gone: Deferred[str] = Deferred()
            self.assertTrue(await daemon.adopt(owner(gone.callback)))
            service.unload()
            self.assertEqual(await gone, "was stopped from outside")
            await gone_first

    async def test_fails(self) -> None:
        """
        The tool's words are kept.
        """
        for commands, words in (
            (DOCKER, "No such container: m"),
            (KUBERNETES, 'deployments.apps "m" not found'),
        ):
            daemon = self.daemon(commands)
            self.assertEqual(await self.launch(daemon), "could not be started")
            self.assertIn(words, daemon.last_words())

    async def test_a_start_that_takes_long(self) -> None:
        """
        It is ended when it is not wanted any more, or at load_timeout.
        """
        self.tools.fault("scale", delay_s=60)
        options = {"load_timeout_s": LOAD_TIMEOUT_S, "stop_timeout_s": STOP_TIMEOUT_S}
        daemon = self.daemon(KUBERNETES, **options)
        gone = self.launch(daemon)
        for calls in (1, 2):
            # One that starts it, and one that stops it, which hangs, too.
            while len(self.tools.calls("scale")) < calls:
                await deferLater(reactor, 0.01)
            self.timers.go_off()
        self.assertEqual(await gone, "could not be started")
        self.assertIn("did not end within 4321 s", daemon.last_words())

    async def test_no_such_tool(self) -> None:
        """
        It is named.
        """
        self.tools.remove("docker")
        daemon = self.daemon(DOCKER)
        self.assertEqual(await self.launch(daemon), "could not be started")
        self.assertIn("'docker' is not an executable", daemon.last_words())
