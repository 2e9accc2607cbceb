"""
The processes that are measured: stand-in daemons, and the gateway before them.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from benchmarks.client import HEALTH, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
STAND_IN = ROOT / "tests" / "fake_llama.py"
START_LIMIT_S = 30.0


def raise_descriptor_limit() -> None:
    """
    Allow a thousand connections and more, here and in every process started here.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@frozen(kw_only=True)
class Model:
    """
    A stand-in daemon, reachable through the gateway and directly.

    :param wish: how it answers a request that does not say so, in JSON.
    """

    name: str
    port: int
    load_s: float = 0.0
    journal: str = ""
    wish: str = ""

    def argv(self) -> list[str]:
        options: dict[str, object] = {
            "--port": self.port,
            "--name": self.name,
            "--load-time": self.load_s,
        }
        if self.journal:
            options["--journal"] = self.journal
        if self.wish:
            options["--wish"] = self.wish
        pairs = (str(part) for pair in options.items() for part in pair)
        return [sys.executable, str(STAND_IN), *pairs]

    def service(self) -> str:
        command = shlex.join(self.argv()).replace("$", "$$")
        return f"service = child\ncommand = {command}"

    def section(self) -> str:
        """
        Its part of the gateway's configuration.
        """
        return f"""
[model {self.name}]
memory = 6 GB
upstream = http://127.0.0.1:{self.port}
{self.service()}
"""


def model(name: str, load_s: float = 0.0) -> Model:
    return Model(name=name, port=free_port(), load_s=load_s)


@frozen
class Install:
    """
    Which swapgate is measured.

    :param name: as the table has it.
    :param python: beside it is the twistd that finds it.
    :param path: where it is looked for first, if that is not where `python` looks.
    """

    name: str
    python: Path
    path: Path | None = None


CHECKOUT = Install("this checkout", Path(sys.executable), ROOT)


@frozen
class Gateway:
    """
    A running gateway.
    """

    pid: int
    port: int


@contextmanager
def gateway(
    install: Install,
    *models: Model,
    tools: Path | None = None,
    options: str = "linger = 0",
) -> Iterator[Gateway]:
    """
    A gateway with room for one of these models at a time, until the block ends.

    :param tools: a folder before the others of PATH.
    :param options: of [swapgate]; no model lingers, as that is no cost of a swap.
    """
    # Whoever measures may run a gateway, too, with a configuration and a state folder.
    own = ("SWAPGATE_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if name not in own}
    if install.path is not None:
        env["PYTHONPATH"] = str(install.path)
    if tools is not None:
        env["PATH"] = f"{tools}:{env['PATH']}"
    twistd = install.python.with_name("twistd")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="swapgate-bench-") as name:
        folder = Path(name)
        env["HOME"] = name
        config = folder / "swapgate.cfg"
        config.write_text(
            f"[swapgate]\nlisten = tcp:{port}:interface=127.0.0.1\n"
            f"memory_budget = 10 GB\nstate_dir = ${{dir}}/state\n{options}\n"
            # The same bytes go to the daemons directly.
            "hosts = 127.0.0.1\n" + "".join(each.section() for each in models)
        )
        log = folder / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(twistd), "-n", "--pidfile=", "swapgate", "--config", str(config)],
                cwd=folder,
                env=env,
                stdout=out,
                stderr=out,
            )
        try:
            until_healthy(port, process)
            yield Gateway(process.pid, port)
        except Exception:
            sys.stderr.write(log.read_text(errors="replace")[-4000:])
            raise
        finally:
            stop(process)


def until_healthy(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """
    Ask for `/health` every millisecond until the answer is 200.
    """
    began = time.monotonic()
    while time.monotonic() - began < START_LIMIT_S:
        if process is not None and process.poll() is not None:
            break
        try:
            with Client(port) as client:
                client.send(HEALTH)
                if client.finish()[0] == 200:
                    return
        except ConnectionError:
            pass
        time.sleep(0.001)
    raise RuntimeError(f"nothing healthy on port {port}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(START_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def own_time(what: Model, request: bytes) -> float:
    """
    What a swap costs the daemon itself: its load, one answer, its stop.
    """
    what = evolve(what, port=free_port())
    began = time.perf_counter()
    process = subprocess.Popen(what.argv())
    try:
        until_healthy(what.port, process)
        loaded = time.perf_counter() - began
        with Client(what.port) as client:
            answered = client.time(request)
    finally:
        stopping = time.perf_counter()
        stop(process)
    return loaded + answered + time.perf_counter() - stopping


class Peak:
    """
    How far a process's resident memory rises above where it was, in MB.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._pid = pid
        self._seen_kb = 0
        self._over = threading.Event()
        self._base_kb = self._resident_kb("VmRSS")
        if self._status.exists():
            # Linux keeps the peak itself; this starts it anew.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        else:
            threading.Thread(target=self._watch, daemon=True).start()

    def growth_mb(self) -> float:
        self._over.set()
        self._seen_kb = max(self._seen_kb, self._resident_kb("VmHWM"))
        return (self._seen_kb - self._base_kb) / 1000

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._seen_kb = max(self._seen_kb, self._resident_kb("VmHWM"))

    def _resident_kb(self, field: str) -> int:
        if self._status.exists():
            found = re.search(rf"{field}:\s+(\d+)", self._status.read_text())
            return int(found[1]) if found else 0
        ps = ["ps", "-o", "rss=", "-p", str(self._pid)]
        return int(subprocess.check_output(ps))
