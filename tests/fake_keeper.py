"""
What the stand-ins for service managers share: it keeps real processes, as they do.

A `Service` is a folder. The tool writes and reads there; a keeper, which
is a process of its own, runs the daemon, sees its end, and starts it again if it is to.
Nothing but the standard library, so that a tool is up in 30 ms.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_LOOK_S = 0.01
# What launchd and systemd tell of a program that cannot be run.
_CANNOT_RUN = 78


class Definition(NamedTuple):
    """
    What is run, and what happens when it ends.
    """

    argv: list[str]
    run_at_load: bool = True
    keep_alive: bool = False
    throttle_s: float = 0.1
    # From SIGTERM to SIGKILL; None: never.
    exit_timeout_s: float | None = None
    stderr: str = os.devnull
    # The record is there until the process is gone.
    record_lasts: bool = False
    # What it says of a service that was sent SIGTERM, and then SIGKILL.
    ending: tuple[str, str] = ("stopping", "stopping")


class Service:
    """
    One service of a stand-in, known by its name.
    """

    def __init__(self, state: Path, name: str) -> None:
        self.folder = state / "services" / name.replace("/", "_")
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self, name: str) -> dict[str, Any] | None:
        with suppress(OSError):
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
            return found
        return None

    def _write(self, name: str, facts: dict[str, Any]) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(facts))
        new.replace(self.folder / name)

    @property
    def record(self) -> dict[str, Any] | None:
        """
        What is known of it; None where it is not loaded.
        """
        return self._read("record")

    @property
    def last(self) -> dict[str, Any]:
        """
        How its last process ended, loaded or not.
        """
        return self._read("last") or {"code": None, "signal": None, "runs": 0}

    @property
    def being_taken_apart(self) -> bool:
        """
        Whether the keeper of an earlier load is still there.
        """
        keeper = self._read("keeper")
        return keeper is not None and _runs(keeper["pid"])

    def load(self, definition: Definition) -> None:
        """
        Give it a keeper, detached from us; return when its first process runs.
        """
        self._write("record", {"pid": None, "state": "not running"})
        (self.folder / "last").unlink(missing_ok=True)
        for flag in ("unload", "kick", "gone"):
            (self.folder / flag).unlink(missing_ok=True)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            until = time.monotonic() + 5
            while definition.run_at_load and time.monotonic() < until:
                if self.last["runs"]:
                    break
                time.sleep(_LOOK_S)
            return
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, 256)
        self._write("keeper", {"pid": os.getpid()})
        try:
            self._keep(definition)
        finally:
            (self.folder / "keeper").unlink(missing_ok=True)
            os._exit(0)

    @property
    def is_unloaded(self) -> bool:
        """
        Whether it is known still, and on its way out.
        """
        return self.record is not None and (self.folder / "unload").exists()

    @property
    def gone_for_s(self) -> float:
        """
        How long ago it was forgotten after an unload; 0 where it never was.
        """
        gone = self._read("gone")
        return 0 if gone is None else time.monotonic() - gone["at_s"]

    def unload(self) -> None:
        """
        Have it stopped; return at once.
        """
        with self._locked():
            (self.folder / "unload").touch()
            definition = self._read("definition") or {}
            if not definition.get("record_lasts"):
                (self.folder / "record").unlink(missing_ok=True)

    def kick(self) -> None:
        """
        Run it, if it does not run.
        """
        with self._locked():
            record = self.record
            if record is not None and record["pid"] is None:
                (self.folder / "kick").touch()

    def hold(self) -> None:
        """
        It is never forgotten, though its process is gone.
        """
        (self.folder / "hold").touch()

    def release(self) -> None:
        """
        It may be forgotten.
        """
        (self.folder / "hold").unlink(missing_ok=True)

    def _note(self, **facts: Any) -> None:
        with self._locked():
            record = self.record
            if record is not None:
                self._write("record", record | facts)

    def _keep(self, definition: Definition) -> None:
        self._write("definition", definition._asdict())
        unload, kick = self.folder / "unload", self.folder / "kick"
        runs = 0
        waits = not definition.run_at_load
        while not unload.exists():
            if waits and not kick.exists():
                time.sleep(_LOOK_S)
                continue
            kick.unlink(missing_ok=True)
            runs += 1
            began = time.monotonic()
            code = self._run(definition, runs)
            facts = {"code": max(code, 0), "signal": -code if code < 0 else None}
            self._write("last", facts | {"runs": runs})
            waits = not definition.keep_alive
            self._note(pid=None, state="not running" if waits else "spawn scheduled")
            while not unload.exists() and not waits:
                if time.monotonic() - began >= definition.throttle_s:
                    break
                time.sleep(_LOOK_S)
        while (self.folder / "hold").exists():
            self._note(state=definition.ending[1])
            time.sleep(_LOOK_S)
        with self._locked():
            (self.folder / "record").unlink(missing_ok=True)
            self._write("gone", {"at_s": time.monotonic()})

    def _run(self, definition: Definition, runs: int) -> int:
        """
        One process from its start to its end: how it ended.
        """
        with Path(definition.stderr).open("ab") as stderr:
            try:
                process = subprocess.Popen(
                    definition.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError:
                return _CANNOT_RUN
        self._note(pid=process.pid, state="running")
        self._write("last", self.last | {"runs": runs})
        self._write("process", {"pid": process.pid})
        kill_at = None
        while process.poll() is None:
            if kill_at is None and (self.folder / "unload").exists():
                self._note(state=definition.ending[0])
                process.terminate()
                kill_at = time.monotonic() + (definition.exit_timeout_s or 1e9)
            if kill_at is not None and time.monotonic() >= kill_at:
                self._note(state=definition.ending[1])
                process.kill()
            time.sleep(_LOOK_S)
        assert process.returncode is not None
        return process.returncode


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return True


def sweep(state: Path) -> None:
    """
    End whatever is left of the services, for the end of a test.
    """
    for folder in (state / "services").glob("*"):
        (folder / "unload").touch()
        (folder / "hold").unlink(missing_ok=True)
        until = time.monotonic() + 5
        while (folder / "keeper").exists() and time.monotonic() < until:
            with suppress(OSError, ValueError):
                pid = json.loads((folder / "process").read_text())["pid"]
                if _runs(pid):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_LOOK_S)


def tool(work: Callable[[Path, list[str]], int]) -> NoReturn:
    """
    Be the tool: note the call, do what the test has arranged, do the work.
    """
    state, argv = Path(sys.argv[1]), sys.argv[2:]
    with (state / "calls").open("a") as calls:
        calls.write(json.dumps(argv) + "\n")
    faults: dict[str, Any] = {}
    with suppress(OSError):
        faults = json.loads((state / "faults").read_text())
    verb = next((word for word in argv if not word.startswith("-")), "")
    fault = faults.get(verb, {})
    time.sleep(fault.get("delay_s", 0))
    if "hang" in fault and fault["hang"] == "before":
        time.sleep(1e6)
    status = fault.get("status")
    if status is None:
        status = work(state, argv)
    elif "say" in fault:
        print(fault["say"], file=sys.stderr)
    if fault.get("hang") == "after":
        time.sleep(1e6)
    sys.stdout.flush()
    os._exit(status)


def say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
