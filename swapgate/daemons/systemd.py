"""
Systemd: a daemon that is a systemd unit, controlled by systemctl.
"""

from collections.abc import Mapping
from typing import Any

from swapgate.config.daemon_kinds import SystemdSpec
from swapgate.daemons.control import Observation, ServiceState
from swapgate.daemons.spawn import child_environment
from swapgate.daemons.tool import Answer, ToolFailed, run

_PROPERTIES = "LoadState,ActiveState,SubState,MainPID,Result,ExecMainStatus,Job"
_BUS = "DBUS_SESSION_BUS_ADDRESS"


class Systemctl:
    """
    The control of one unit, by its name.
    """

    slow = False
    port_counts = has_status = True

    def __init__(
        self, service: SystemdSpec, reactor: Any, environ: Mapping[str, str]
    ) -> None:
        self._service = service
        self._reactor = reactor
        self._load_state = ""
        bus = {_BUS: environ[_BUS]} if _BUS in environ else {}
        self._env = child_environment(environ, bus)

    async def _run(self, *argv: str) -> Answer:
        scope = ("--user",) if self._service.scope == "user" else ()
        unit = self._service.unit
        return await run(self._reactor, ("systemctl", *scope, *argv, unit), self._env)

    async def look(self) -> Observation:
        answer = await self._run("show", f"--property={_PROPERTIES}")
        observation = read_show(answer.output)
        self._load_state = read_properties(answer.output).get("LoadState", "")
        if answer.status or observation is None:
            raise ToolFailed(
                f"systemctl cannot tell of {self._service.unit}: "
                f"{answer.complaint or answer.status}"
            )
        return observation

    async def preflight(self) -> str | None:
        if self._load_state in ("", "loaded"):
            return None
        return f"systemd has no unit {self._service.unit} to start: {self._load_state}"

    async def start(self) -> Answer:
        # Without a wait for its notification: its health is polled.
        return await self._run("start", "--no-block", "--no-ask-password")

    async def stop(self) -> Answer:
        return await self._run("stop", "--no-block", "--no-ask-password")


def read_properties(output: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def read_show(output: str) -> Observation | None:
    """
    Read `systemctl show`; None where it does not tell the state.
    """
    facts = read_properties(output)
    if "ActiveState" not in facts:
        return None
    pid = int(facts.get("MainPID", "0") or 0) or None
    result, status = facts.get("Result", ""), facts.get("ExecMainStatus", "0")
    note = ""
    if result not in ("", "success"):
        note = f"Result = {result}, ExecMainStatus = {status}"
    match facts["ActiveState"]:
        case "active" | "reloading" | "refreshing":
            return Observation(ServiceState.UP, pid)
        case "activating":
            ended = facts.get("SubState", "").startswith("auto-restart")
            return Observation(ServiceState.UP, pid, ended, note)
        case "inactive" if facts.get("Job"):
            # Its start is in systemd's queue already.
            return Observation(ServiceState.UP)
        case "inactive" | "failed":
            return Observation(ServiceState.ABSENT, None, bool(note), note)
        case _:
            return Observation(ServiceState.IDLE, pid, True, note)
