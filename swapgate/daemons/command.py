"""
Command: a daemon that the user's own commands start, stop and look at.

A container and a deployment in a cluster are such daemons.
"""

from collections.abc import Mapping
from typing import Any

from swapgate.config.daemon_kinds import CommandSpec
from swapgate.config.expand import Command
from swapgate.config.model import ModelSpec
from swapgate.config.values import Upstream
from swapgate.daemons.control import Observation, ServiceState, port_answers
from swapgate.daemons.spawn import cannot_run, child_environment
from swapgate.daemons.tool import TOOL_TIMEOUT_S, Answer, run

# Said with status 0 by tools for what does not run, as `docker inspect` does.
_NO = ("false", "0")


class Commands:
    """
    The control of such a daemon: its `start`, `stop` and `status` commands.

    Without `status` the port tells whether it is up. A `status` that fails may mean
    that the daemon is down, or that the tool could not ask: one look is no proof. Nor
    is one connection that has not reached a port off loopback.
    """

    slow = True

    def __init__(
        self,
        spec: ModelSpec,
        service: CommandSpec,
        reactor: Any,
        environ: Mapping[str, str],
    ) -> None:
        assert spec.upstream is not None, "the config sees to it"
        self._spec = spec
        self._service = service
        self._reactor = reactor
        self._upstream: Upstream = spec.upstream
        self._env = child_environment(environ, dict(service.env))
        self.has_status = service.status is not None
        self.port_counts = not self.has_status

    async def _run(self, command: Command, timeout_s: float) -> Answer:
        argv = command.argv(self._upstream.port)
        cwd = self._service.cwd
        return await run(self._reactor, argv, self._env, cwd=cwd, timeout_s=timeout_s)

    async def look(self) -> Observation:
        if self._service.status is None:
            if await port_answers(self._upstream, self._reactor):
                return Observation(ServiceState.UP)
            return Observation(ServiceState.ABSENT, sure=self._upstream.loopback)
        answer = await self._run(self._service.status, TOOL_TIMEOUT_S)
        if answer.status:
            return Observation(ServiceState.ABSENT, sure=False)
        says_no = answer.output.strip().lower() in _NO
        return Observation(ServiceState.ABSENT if says_no else ServiceState.UP)

    async def preflight(self) -> str | None:
        argv = self._service.start.argv(self._upstream.port)
        return cannot_run(argv, self._env, self._service.cwd)

    async def start(self) -> Answer:
        return await self._run(self._service.start, self._spec.load_timeout_s)

    async def stop(self) -> Answer:
        # The command may wait for the daemon's end, and may kill the daemon itself.
        timeout_s = self._spec.stop_timeout_s + TOOL_TIMEOUT_S
        return await self._run(self._service.stop, timeout_s)
