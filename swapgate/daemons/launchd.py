"""
Launchd: a daemon that is a launchd agent of macOS, controlled by launchctl.

1. `launchctl print` and `list` are read for facts; the exit codes of the verbs are not
   believed where a look can tell.
2. What launchd is known to do wrong for a while (EIO after an unload) is tried again,
   within a bound.
"""

import os
import plistlib
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from attrs import evolve
from twisted.internet.task import deferLater

from swapgate.config.daemon_kinds import LaunchdSpec
from swapgate.daemons.control import Observation, ServiceState
from swapgate.daemons.spawn import cannot_run, child_environment
from swapgate.daemons.tool import Answer, ToolFailed, run

# The PATH that launchd gives an agent.
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_ABSENT = "Could not find service"
# There is no such domain: the user has no graphical session.
_NO_DOMAIN, _DISABLED = (112, 125), 119
# EIO and EALREADY: launchd still takes the one before apart, for seconds after its
# label has gone, or the plist is bad.
_EIO, _EALREADY = 5, 37
_TRY_AGAIN_S, _TRY_FOR_S = 0.5, 10.0
# It waits for its ThrottleInterval, and will run again.
_SCHEDULED = "spawn scheduled"
# Its process has been told to end, and has not ended yet.
_ENDING = ("SIGTERMed", "SIGKILLed")


class Launchctl:
    """
    The control of one agent, by its label.
    """

    slow = False
    port_counts = has_status = True

    def __init__(
        self, service: LaunchdSpec, reactor: Any, environ: Mapping[str, str]
    ) -> None:
        self._service = service
        self._reactor = reactor
        self._env = child_environment(environ, {})
        self._domain = f"gui/{os.getuid()}"
        self._label = service.label
        self._legacy = service.verbs == "load"

    async def _run(self, *argv: str) -> Answer:
        return await run(self._reactor, ("launchctl", *argv), self._env)

    def _plist(self) -> dict[str, Any]:
        try:
            plist = plistlib.loads(Path(self._service.plist).read_bytes())
        except OSError as error:
            problem = error.strerror
        except (ExpatError, ValueError):
            problem = "it is no property list"
        else:
            if isinstance(plist, dict):
                return plist
            problem = "it is no dictionary"
        raise ToolFailed(f"{self._service.plist} cannot be read: {problem}")

    def _read_label(self) -> str:
        """
        Its label, which is kept once it has been read: the plist may vanish.
        """
        if self._label is None:
            label = self._plist().get("Label")
            if not (isinstance(label, str) and label):
                raise ToolFailed(f"{self._service.plist} has no Label")
            self._label = label
        return self._label

    def _target(self) -> str:
        """
        What the verbs call it.
        """
        label = self._read_label()
        return label if self._legacy else f"{self._domain}/{label}"

    async def look(self) -> Observation:
        label = self._read_label()
        verb, read = ("list", read_list) if self._legacy else ("print", read_print)
        answer = await self._run(verb, self._target())
        if answer.status == 0:
            observation = read(answer.output)
            if observation is None:
                raise ToolFailed(f"launchctl {verb} {label} was not understood")
            return observation
        absent = _ABSENT in answer.complaint or _ABSENT in answer.output
        # Where there is no domain, nothing is loaded into it.
        if absent or answer.status in _NO_DOMAIN:
            return Observation(ServiceState.ABSENT)
        raise ToolFailed(
            f"launchctl cannot tell of {label}: {answer.complaint or answer.status}"
        )

    async def preflight(self) -> str | None:
        try:
            plist = self._plist()
        except ToolFailed as error:
            return str(error)
        argv = [str(word) for word in plist.get("ProgramArguments") or ()]
        program = plist.get("Program") or (argv[0] if argv else None)
        if not program:
            return f"{self._service.plist} names no program"
        variables = plist.get("EnvironmentVariables") or {}
        env = {"PATH": str(variables.get("PATH", _PATH))}
        cwd = str(plist.get("WorkingDirectory", "/"))
        return cannot_run([str(program), *argv[1:]], env, cwd)

    async def start(self) -> Answer:
        """
        Load it and run it. Its RunAtLoad is not relied upon: now and then a bootstrap
        succeeds and spawns nothing.
        """
        self._plist()
        until_s = self._reactor.seconds() + _TRY_FOR_S
        while True:
            answer = await self._load()
            if not answer.status or _is_loaded(await self.look()):
                answer = await self._kickstart(answer)
            busy = answer.status in (_EIO, _EALREADY)
            if not busy or self._reactor.seconds() >= until_s:
                return answer
            await deferLater(self._reactor, _TRY_AGAIN_S)

    async def _load(self) -> Answer:
        """
        How loading it ended, with the remedy where one is known.
        """
        if self._legacy:
            answer = await self._run("load", self._service.plist)
            # It ends with 0 whatever has happened.
            if failed := re.search(r"failed: (\d+):", answer.complaint):
                answer = evolve(answer, status=int(failed[1]))
        else:
            answer = await self._run("bootstrap", self._domain, self._service.plist)
        target = f"{self._domain}/{self._read_label()}"
        if answer.status == _DISABLED or (
            answer.status == _EIO and await self._is_disabled()
        ):
            remedy = f"it is disabled; `launchctl enable {target}` lets it be loaded"
            return _with_complaint(evolve(answer, status=_DISABLED), remedy)
        if answer.status in _NO_DOMAIN:
            remedy = "this user is not logged in at the screen; log in, or "
            return _with_complaint(answer, f"{remedy}write `verbs = load`")
        return answer

    async def _is_disabled(self) -> bool:
        with suppress(ToolFailed):
            answer = await self._run("print-disabled", self._domain)
            line = rf'^\s*"{re.escape(self._read_label())}" => (disabled|true)$'
            return re.search(line, answer.output, re.MULTILINE) is not None
        return False

    async def _kickstart(self, loaded: Answer) -> Answer:
        """
        Run it, unless it runs already.
        """
        verb = "start" if self._legacy else "kickstart"
        answer = await self._run(verb, self._target())
        if answer.status and (await self.look()).state is ServiceState.UP:
            answer = Answer(0)
        if loaded.status and not answer.status:
            # It was loaded already: what loading has complained of is no failure.
            return answer
        return _with_complaint(answer, loaded.complaint)

    async def stop(self) -> Answer:
        if not self._legacy:
            answer = await self._run("bootout", self._target())
        elif Path(self._service.plist).exists():
            answer = await self._run("unload", self._service.plist)
        else:
            answer = await self._run("remove", self._target())
        # Of an absent label bootout says 3, 5 or 36, as the version may be.
        if answer.status and (await self.look()).absent:
            return Answer(0)
        return answer


def _is_loaded(observation: Observation) -> bool:
    """
    Whether it is loaded, and not being unloaded.
    """
    ending = observation.ended and observation.pid is not None
    return not observation.absent and not ending


def _with_complaint(answer: Answer, more: str) -> Answer:
    complaint = "\n".join(said for said in (answer.complaint, more) if said)
    return evolve(answer, complaint=complaint)


def read_print(output: str) -> Observation | None:
    """
    What `launchctl print` says of a service that it knows; None: not understood.
    """
    # Endpoints and the like, deeper down, have states of their own.
    facts = dict(re.findall(r"^\t(\w[\w ]*) = (.*)$", output, re.MULTILINE))
    if "state" not in facts or (facts["state"] == "running" and "pid" not in facts):
        return None
    code = facts.get("last exit code", "(never exited)")
    note = ", ".join(
        f"{name} = {facts[name]}"
        for name in ("last exit code", "last exit reason", "last terminating signal")
        if name in facts
    )
    ended = code != "(never exited)" or "last terminating signal" in facts
    observation = _observation(facts.get("pid"), ended, note)
    if observation is not None and facts["state"] == _SCHEDULED:
        return evolve(observation, state=ServiceState.UP)
    if observation is not None and facts["state"] in _ENDING:
        return Observation(
            ServiceState.IDLE, observation.pid, True, f"state = {facts['state']}"
        )
    return observation


def read_list(output: str) -> Observation | None:
    """
    What `launchctl list LABEL` says of a service that it knows; None: not understood.
    """
    facts = dict(re.findall(r'^\t"(\w+)" = (.*);$', output, re.MULTILINE))
    if "Label" not in facts:
        return None
    status = facts.get("LastExitStatus", "0")
    # 0 is also what stands there before the first run.
    return _observation(facts.get("PID"), status != "0", f"LastExitStatus = {status}")


def _observation(pid: str | None, ended: bool, note: str) -> Observation | None:
    if pid is None:
        return Observation(ServiceState.IDLE, None, ended, note if ended else "")
    if pid.isdecimal() and int(pid) > 0:
        return Observation(ServiceState.UP, int(pid))
    return None
