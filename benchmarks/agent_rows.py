"""
What a swap costs where launchd runs the daemons: `launchctl` is a stand-in.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from attrs import frozen

from benchmarks.client import Client, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Install, Model, free_port, gateway, until_healthy
from swapgate.daemons.processes import find
from tests.stand_ins import StandIns

LOADS_S = {"a": 0.3, "b": 0.6, "c": 1.0}
ROUNDS, LOOKS = 4, 20


@frozen(kw_only=True)
class Agent(Model):
    """
    A stand-in daemon that a stand-in for launchd runs.
    """

    tools: StandIns

    def service(self) -> str:
        return f"service = launchd\nplist = {self.plist()}"

    def plist(self) -> Path:
        load_time = ("--load-time", str(self.load_s))
        return self.tools.plist(self.name, self.port, *load_time)

    def load(self) -> None:
        """
        Return when it can be asked.
        """
        self._launchctl("bootstrap", f"gui/{os.getuid()}", str(self.plist()))
        until_healthy(self.port)

    def unload(self) -> None:
        """
        Return when its process is gone.
        """
        record = self.tools.service(f"local.{self.name}").record
        assert record is not None
        self._launchctl("bootout", f"gui/{os.getuid()}/local.{self.name}")
        while find(record["pid"]):
            time.sleep(0.001)

    def look(self) -> float:
        """
        How long the tool takes to tell of it.
        """
        began = time.perf_counter()
        self._launchctl("print", f"gui/{os.getuid()}/local.{self.name}")
        return time.perf_counter() - began

    def _launchctl(self, *argv: str) -> None:
        tool = self.tools.bin / "launchctl"
        subprocess.run([tool, *argv], stdout=subprocess.DEVNULL, check=True)


def by_hand(other: Agent, wanted: Agent) -> float:
    """
    What a swap costs whoever knows all beforehand: a stop, a load, one answer.
    """
    other.load()
    began = time.perf_counter()
    other.unload()
    wanted.load()
    with Client(wanted.port) as client:
        client.time(post(wanted.name))
    took_s = time.perf_counter() - began
    wanted.unload()
    return took_s


def swaps(install: Install) -> list[Measured]:
    """
    Three agents in turns: from the request, while another one is idle, to the first
    byte; less the same by hand, with the same tool.
    """
    above_ms: dict[str, list[float]] = {name: [] for name in LOADS_S}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours, theirs = (StandIns(Path(folder, side)) for side in ("ours", "theirs"))
        for tools in (ours, theirs):
            stack.callback(tools.sweep)
        agents, twins = (
            [
                Agent(name=name, port=free_port(), load_s=load_s, tools=tools)
                for name, load_s in LOADS_S.items()
            ]
            for tools in (ours, theirs)
        )
        gate = stack.enter_context(gateway(install, *agents, tools=ours.bin))
        client = stack.enter_context(Client(gate.port))
        client.time(post(agents[-1].name))
        looks = len(ours.calls("print"))
        for _ in range(ROUNDS):
            for n, agent in enumerate(agents):
                own_s = by_hand(twins[n - 1], twins[n])
                took_s = client.time(post(agent.name))
                above_ms[agent.name].append((took_s - own_s) * 1000)
        looks_each = (len(ours.calls("print")) - looks) / ROUNDS / len(agents)
        look_ms = median(agents[-1].look() for _ in range(LOOKS)) * 1000
    medians_ms = {name: median(ms) for name, ms in above_ms.items()}
    detail = ", ".join(f"{LOADS_S[n]} s: {ms:.0f}" for n, ms in medians_ms.items())
    detail += f"; {looks_each:.0f} looks of {look_ms:.0f} ms each are in it"
    return [Measured(median(medians_ms.values()), 300, "ms", detail)]


AGENT_ROWS = [
    Row(
        "launchd",
        "swap among three agents of launchd, above the same by hand, median",
        swaps,
    )
]
