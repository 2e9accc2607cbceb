"""
Stand-ins for the tools of service managers, on a PATH of their own.
"""

import json
import plistlib
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater

from swapgate.daemons.spawn import SessionProcess
from tests.fake_keeper import Service, sweep
from tests.rig import told_in, whole_lines

reactor: Any = _reactor
_FOLDER = Path(__file__).resolve().parent
FAKE = _FOLDER / "fake_llama.py"
# As a package, `tests` would import more than a tool that is up in 30 ms can bear.
_SCRIPT = """\
#!{python} -IS
import sys, types
tests = sys.modules["tests"] = types.ModuleType("tests")
tests.__path__ = [{folder!r}]
from tests.fake_{name} import main
from tests.fake_keeper import tool
sys.argv.insert(1, {state!r})
tool(main)
"""


async def until_reaped() -> None:
    """
    Wait for the end of tools that were killed: until then the reactor watches them.
    """
    while any(
        isinstance(getattr(each, "proc", None), SessionProcess)
        for each in reactor.getReaders()
    ):
        await deferLater(reactor, 0.01)


class StandIns:
    """
    A folder of tools, the state behind them, and the faults that a test arranges.
    """

    def __init__(self, folder: Path) -> None:
        self.bin, self.state = folder / "bin", folder / "state"
        self.journal = folder / "journal"
        self.bin.mkdir(parents=True)
        (self.state / "units").mkdir(parents=True)
        for name in ("launchctl", "systemctl", "kubectl", "docker"):
            self.install(name)

    def install(self, name: str) -> None:
        """
        Put a tool on the PATH, again if it was removed.
        """
        script = self.bin / name
        text = _SCRIPT.format(
            python=sys.executable,
            folder=str(_FOLDER),
            name=name,
            state=str(self.state),
        )
        script.write_text(text)
        script.chmod(0o755)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    @property
    def environ(self) -> dict[str, str]:
        """
        A gateway's environment: the tools, and no others of their names.
        """
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.state)}

    def fault(self, verb: str, **what: Any) -> None:
        """
        From now on: `hang` ("before", "after"), `delay_s`, or `status` and `say`.
        """
        file = self.state / "faults"
        faults = json.loads(file.read_text()) if file.exists() else {}
        faults[verb] = what
        file.write_text(json.dumps(faults))

    def arrange(self, **what: Any) -> None:
        """
        From now on launchd is like that, see `tests.fake_launchctl.Arranged`.
        """
        file = self.state / "arranged"
        arranged = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(arranged | what))

    def calls(self, verb: str = "") -> list[list[str]]:
        file = self.state / "calls"
        calls: list[list[str]] = [json.loads(line) for line in whole_lines(file)]
        return [call for call in calls if verb in ("", *call)]

    def service(self, name: str) -> Service:
        return Service(self.state, name)

    def argv(self, name: str, port: int, *options: str) -> list[str]:
        """
        The daemon that a service runs.
        """
        argv = [sys.executable, "-S", str(FAKE), "--port", str(port), "--name", name]
        return [*argv, "--journal", str(self.journal), *options]

    def plist(self, name: str, port: int, *options: str, **more: Any) -> Path:
        """
        Write an agent's plist; `more` are keys of its own.
        """
        facts = {
            "Label": f"local.{name}",
            "ProgramArguments": self.argv(name, port, *options),
            "RunAtLoad": True,
            "ThrottleInterval": 0.1,
        }
        path = self.state / f"{name}.plist"
        path.write_bytes(plistlib.dumps(facts | more))
        return path

    def unit(self, name: str, port: int, *options: str, **more: Any) -> None:
        """
        Write what systemctl, kubectl and docker call NAME.
        """
        facts = {"argv": self.argv(name.removesuffix(".service"), port, *options)}
        (self.state / "units" / name).write_text(json.dumps(facts | more))

    def told(self, what: str = "", name: str = "") -> list[dict[str, Any]]:
        """
        What the daemons wrote into their journal.
        """
        return told_in(self.journal, what, name)

    def sweep(self) -> None:
        sweep(self.state)
