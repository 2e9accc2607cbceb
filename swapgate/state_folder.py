"""
State folder: what outlives the gateway. Its lock, its children, how long loads took.

1. One gateway has the folder, by a lock that ends with the process.
2. Only its user reads or writes there, and no symbolic link leads out of it.
3. A process is ended as an orphan only if pid, start time, boot and, once it was up,
   argv are those of a noted child: a pid may belong to another process by now.
"""

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from attrs import asdict, evolve, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.daemons import processes

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# How long an orphan may take to end after SIGTERM, and again after SIGKILL.
_ORPHAN_S = 0.9
_POLL_S = 0.02


class FolderTaken(Exception):
    """
    Another gateway has this state folder: the message names its process.
    """


@frozen
class ChildRecord:
    """
    A child process: what it takes to recognise it later.

    :param born: see `processes.born`.
    :param argv: as the system shows it once it is up; before that it may still change.
    """

    pid: int
    born: float
    boot: str
    argv: tuple[str, ...]


class StateFolder:
    """
    One gateway's folder, for one user.
    """

    _log = Logger()

    def __init__(self, path: str, reactor: Any, *, user: int | None = None) -> None:
        """
        :param user: the user id of its owner; None: this process's.
        """
        self._path = Path(path)
        self._user = os.geteuid() if user is None else user
        self._reactor = reactor
        self._lock: int | None = None
        self._children: dict[int, ChildRecord] = {}

    def acquire(self) -> None:
        """
        Make the folder and lock it until this process ends.

        :raises FolderTaken: while another gateway has it.
        :raises OSError: if it cannot be made or opened, or belongs to another user, or
            is reached through another user's link.
        """
        self._check_links()
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.stat().st_uid != self._user:
            raise PermissionError(
                f"{self._path} belongs to another user; write a state_dir of your own"
            )
        self._path.chmod(0o700)
        self._lock = self._locked(os.O_CREAT)
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    def check_free(self) -> None:
        """
        Check that it is not locked at this moment; nothing is made or changed.

        :raises FolderTaken: while another gateway has it.
        """
        # Without a folder there is no gateway; `acquire` will tell what else is wrong.
        with suppress(OSError):
            os.close(self._locked(0))

    def _locked(self, create: int) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | create
        lock = _private(str(self._path / "lock"), flags)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(lock, 20).decode("ascii", "replace").strip()
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                process = f"process {pid}" if pid.isdigit() else "a process"
                raise FolderTaken(f"{process} has the folder {self._path}") from None
            raise
        return lock

    def _check_links(self) -> None:
        """
        No link of another user leads there; root's may, as /tmp is one on macOS.
        """
        path = self._path.absolute()
        for part in (*path.parents, path):
            if part.is_symlink() and part.lstat().st_uid not in (0, self._user):
                raise PermissionError(
                    f"{part} is a symbolic link of another user; write a state_dir "
                    "that does not lead through it"
                )

    def release(self) -> None:
        """
        Unlock it for the next gateway.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def note_start(self, pid: int) -> None:
        """
        Note a child that has been started.
        """
        with suppress(psutil.Error, OSError):
            born = processes.born(psutil.Process(pid))
            self._children[pid] = ChildRecord(pid, born, _boot(), ())
            self._save()

    def note_argv(self, pid: int) -> None:
        """
        Note the command line of a child that is up: it will exec no other program.
        """
        record = self._children.get(pid)
        if record is not None and not record.argv:
            with suppress(psutil.Error, OSError):
                argv = tuple(psutil.Process(pid).cmdline())
                self._children[pid] = evolve(record, argv=argv)
                self._save()

    def note_end(self, pid: int) -> None:
        """
        Forget a child of which nothing is left.
        """
        if self._children.pop(pid, None) is not None:
            self._save()

    def _save(self) -> None:
        self._write("children", [asdict(record) for record in self._children.values()])

    def save_load_times(self, times: Mapping[str, list[float]]) -> None:
        """
        Write how long loads took.
        """
        self._write("loads", times)

    def load_times(self) -> Any:
        """
        What save_load_times wrote; None where there is none.
        """
        return self._read("loads", lambda times: times)

    def _read(self, what: str, understand: Callable[[Any], Any]) -> Any:
        """
        A record as it is understood; None where there is none, or where it is broken.
        """
        path = self._path / f"{what}.json"
        try:
            with open(path, encoding="utf-8", opener=_private) as file:
                return understand(json.load(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._log.warn(
                "the record of {what} is broken: {error}", what=what, error=error
            )
            return None

    def _write(self, what: str, value: object) -> None:
        path = self._path / f"{what}.json"
        new = path.with_name(f"{path.name}.new")
        try:
            with open(new, "w", opener=_private) as file:
                json.dump(value, file)
            new.replace(path)
        except OSError as error:
            # A full disk, say. It matters only if we crash before the next success.
            self._log.warn("cannot write {path}: {error}", path=str(new), error=error)

    async def end_orphans(self) -> None:
        """
        End the children that an earlier gateway left, if they are surely its own.
        """
        records = self._read("children", _understand_children) or ()
        await gatherResults(
            [Deferred.fromCoroutine(self._end(r.pid)) for r in records if _is_ours(r)]
        )
        self._save()

    async def _end(self, group: int) -> None:
        self._log.warn("ending {pid}, left by a gateway", pid=group)
        for number in (signal.SIGTERM, signal.SIGKILL):
            processes.signal_group(group, number)
            end_s = self._reactor.seconds() + _ORPHAN_S
            while processes.group_lives(group) and self._reactor.seconds() < end_s:
                await deferLater(self._reactor, _POLL_S)
        if processes.group_lives(group):
            self._log.error("{pid} cannot be ended; its memory is lost", pid=group)


def _private(path: str, flags: int) -> int:
    # A symbolic link would lead out of the folder.
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _understand_children(found: Any) -> list[ChildRecord]:
    return [ChildRecord(**{**each, "argv": tuple(each["argv"])}) for each in found]


def _boot() -> str:
    """
    The machine's boot id, "" where there is none: pids begin anew with each boot.

    psutil has only the time of the boot, which moves with a clock that is set.
    """
    with suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def _is_ours(record: ChildRecord) -> bool:
    """
    Whether the process with this pid is the one that was noted.
    """
    if record.boot != _boot():
        return False
    try:
        process = psutil.Process(record.pid)
        if processes.born(process) != record.born or not processes.runs(process):
            return False
        return not record.argv or record.argv == tuple(process.cmdline())
    except psutil.Error:
        return False
