"""
A daemon that is an agent of macOS, seen and moved by launchctl.
"""

import os
import plistlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from twisted.internet.task import deferLater

from swapgate.config import LaunchdSpec, ModelSpec
from swapgate.daemons.child import child_environment
from swapgate.daemons.commands import Answer, ToolFailed, run
from swapgate.daemons.control import Sight, State
from swapgate.daemons.managed import Managed
from swapgate.daemons.obstacles import cannot_run

# What launchd gives an agent.
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_ABSENT = "Could not find service"
# EIO and EALREADY: launchd still takes the one before apart, or the plist is bad.
_BUSY, _TRY_AGAIN_S = (5, 37), 0.5


def launchd(
    spec: ModelSpec, service: LaunchdSpec, reactor: Any, environ: Mapping[str, str]
) -> Managed:
    """
    The daemon of an agent.
    """
    return Managed(spec, Launchctl(service, reactor, environ), reactor)


class Launchctl:
    """
    One agent, by its label.
    """

    slow = False
    port_counts = tells = True

    def __init__(
        self, service: LaunchdSpec, reactor: Any, environ: Mapping[str, str]
    ) -> None:
        self._service = service
        self._reactor = reactor
        self._env = child_environment(environ, {})
        self._domain = f"gui/{os.getuid()}"
        self._label = service.label

    async def _run(self, *argv: str) -> Answer:
        return await run(self._reactor, ("launchctl", *argv), self._env)

    def _plist(self) -> dict[str, Any]:
        try:
            with Path(self._service.plist).open("rb") as file:
                plist = plistlib.load(file)
        except OSError as error:
            problem = error.strerror
        except (plistlib.InvalidFileException, ExpatError, ValueError):
            problem = "it is no property list"
        else:
            if isinstance(plist, dict):
                return plist
            problem = "it is no dictionary"
        raise ToolFailed(f"{self._service.plist} cannot be read: {problem}")

    def _name(self) -> str:
        """
        Its label, which outlives the plist once it has been read.
        """
        if self._label is None:
            label = self._plist().get("Label")
            if not (isinstance(label, str) and label):
                raise ToolFailed(f"{self._service.plist} has no Label")
            self._label = label
        return self._label

    async def look(self) -> Sight:
        label = self._name()
        legacy = self._service.verbs == "load"
        if legacy:
            answer = await self._run("list", label)
        else:
            answer = await self._run("print", f"{self._domain}/{label}")
        if answer.status == 0:
            return (read_list if legacy else read_print)(answer.output)
        if _ABSENT in answer.complaint or _ABSENT in answer.output:
            return Sight(State.ABSENT)
        raise ToolFailed(
            f"launchctl cannot tell of {label}: {answer.complaint or answer.status}"
        )

    async def obstacle(self) -> str | None:
        try:
            plist = self._plist()
        except ToolFailed as error:
            return str(error)
        argv = [str(word) for word in plist.get("ProgramArguments") or ()]
        program = plist.get("Program") or (argv[0] if argv else None)
        if not program:
            return f"{self._service.plist} names no program"
        env = {"PATH": _PATH} | {
            str(name): str(value)
            for name, value in (plist.get("EnvironmentVariables") or {}).items()
        }
        cwd = str(plist.get("WorkingDirectory", "/"))
        return cannot_run([str(program), *argv[1:]], env, cwd)

    async def start(self) -> Answer:
        plist = self._plist()
        label = self._name()
        if self._service.verbs == "load":
            answer = await self._run("load", self._service.plist)
        else:
            answer = await self._bootstrap()
            if answer.status in _BUSY:
                await deferLater(self._reactor, _TRY_AGAIN_S)
                answer = await self._bootstrap()
        if plist.get("RunAtLoad") is True or plist.get("KeepAlive") is True:
            return answer
        # Being loaded does not yet run it.
        if self._service.verbs == "load":
            started = await self._run("start", label)
        else:
            started = await self._run("kickstart", f"{self._domain}/{label}")
        return answer if answer.status else started

    async def _bootstrap(self) -> Answer:
        return await self._run("bootstrap", self._domain, self._service.plist)

    async def stop(self) -> Answer:
        label = self._name()
        if self._service.verbs == "bootstrap":
            return await self._run("bootout", f"{self._domain}/{label}")
        if self._is_there():
            return await self._run("unload", self._service.plist)
        return await self._run("remove", label)

    def _is_there(self) -> bool:
        return Path(self._service.plist).exists()


def read_print(output: str) -> Sight:
    """
    What `launchctl print` says of a service that it knows.
    """
    # Endpoints and the like, deeper down, have states of their own.
    facts = dict(re.findall(r"^\t(\w[\w ]*) = (.*)$", output, re.MULTILINE))
    code = facts.get("last exit code", "(never exited)")
    note = ", ".join(
        f"{name} = {facts[name]}"
        for name in ("last exit code", "last exit reason", "last terminating signal")
        if name in facts
    )
    ended = code != "(never exited)" or "last terminating signal" in facts
    return _sight(facts.get("pid", ""), ended, note)


def read_list(output: str) -> Sight:
    """
    What `launchctl list LABEL` says of a service that it knows.
    """
    facts = dict(re.findall(r'^\t"(\w+)" = (.*);$', output, re.MULTILINE))
    status = facts.get("LastExitStatus", "0")
    # 0 is also what stands there before the first run.
    return _sight(facts.get("PID", ""), status != "0", f"LastExitStatus = {status}")


def _sight(pid: str, ended: bool, note: str) -> Sight:
    if pid.isdecimal() and int(pid) > 0:
        return Sight(State.UP, int(pid))
    return Sight(State.IDLE, None, ended, note if ended else "")
