"""
What outlives the gateway? Its lock, a record of its children, how long loads took.
"""

import errno
import fcntl
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from attrs import asdict, evolve, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger

from swapgate.daemons import processes

_LOCK, _CHILDREN, _LOADS = "lock", "children.json", "loads.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# An orphan has so long to end by itself, and again when it is killed.
_PATIENCE_S = 0.9
_LOOK_S = 0.02


class FolderTaken(Exception):
    """
    Another gateway lives by this state folder: its process, and the folder.
    """


@frozen
class ChildRecord:
    """
    A process that we started: what it takes to know it again.

    :param born: see `processes.born`.
    :param argv: as the system shows it once it is up; before that it may still change.
    """

    pid: int
    born: float
    boot: str
    argv: tuple[str, ...]


class StateFolder:
    """
    One gateway's folder: nobody else's eyes, nobody else's gateway.
    """

    _log = Logger()

    def __init__(self, path: str, reactor: Any, *, user: int | None = None) -> None:
        """
        :param user: whose folder it is; None: that of the one who runs this.
        """
        self._path = Path(path)
        self._user = os.geteuid() if user is None else user
        self._reactor = reactor
        self._lock: int | None = None
        self._children: dict[int, ChildRecord] = {}

    def take(self) -> None:
        """
        Make it ours until we end, however we do.

        :raises FolderTaken: while another gateway has it.
        :raises OSError: if it cannot be made or opened, or another user decides where
            it is or what is in it.
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

    def look(self) -> None:
        """
        Whether it could be taken at this moment; nothing is made or changed.

        :raises FolderTaken: while another gateway has it.
        """
        # Where there is none there is no gateway; what else is wrong `take` will tell.
        with suppress(OSError):
            os.close(self._locked(0))

    def _locked(self, create: int) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | create
        lock = _private(str(self._path / _LOCK), flags)
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
        Root's symbolic links on the way are the system's, as /tmp is on macOS.
        """
        path = self._path.absolute()
        for place in (*path.parents, path):
            if place.is_symlink() and place.lstat().st_uid not in (0, self._user):
                raise PermissionError(
                    f"{place} is a symbolic link of another user; write a state_dir "
                    "that does not lead through it"
                )

    def leave(self) -> None:
        """
        Let the next gateway have it.
        """
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def note_start(self, pid: int) -> None:
        """
        This child runs now.
        """
        with suppress(psutil.Error, OSError):
            born = processes.born(psutil.Process(pid))
            self._children[pid] = ChildRecord(pid, born, _boot(), ())
            self._save()

    def note_argv(self, pid: int) -> None:
        """
        This child is up: it will not become another program any more.
        """
        record = self._children.get(pid)
        if record is not None and not record.argv:
            with suppress(psutil.Error, OSError):
                argv = tuple(psutil.Process(pid).cmdline())
                self._children[pid] = evolve(record, argv=argv)
                self._save()

    def note_end(self, pid: int) -> None:
        """
        Nothing of this child is left.
        """
        if self._children.pop(pid, None) is not None:
            self._save()

    def _save(self) -> None:
        self._keep(_CHILDREN, [asdict(record) for record in self._children.values()])

    def keep_load_times(self, times: Mapping[str, list[float]]) -> None:
        """
        Remember how long loads take here.
        """
        self._keep(_LOADS, times)

    def load_times(self) -> Any:
        """
        What was remembered of it; None where nothing was.
        """
        try:
            return self._kept(_LOADS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._log.warn("the record of loads is broken: {error}", error=error)
            return None

    def _kept(self, name: str) -> Any:
        path = self._path / name
        with open(path, encoding="utf-8", opener=_private) as file:
            return json.load(file)

    def _keep(self, name: str, value: object) -> None:
        new = self._path / f"{name}.new"
        try:
            with open(new, "w", opener=_private) as file:
                json.dump(value, file)
            new.replace(self._path / name)
        except OSError as error:
            # A full disk, say. Only a crash before the next success would notice.
            self._log.warn("cannot write {path}: {error}", path=str(new), error=error)

    async def end_orphans(self) -> None:
        """
        End what an earlier gateway left; whoever is not known for sure is spared.
        """
        await gatherResults(
            [Deferred.fromCoroutine(self._end_if_ours(r)) for r in self._recorded()]
        )
        self._save()

    async def _end_if_ours(self, record: ChildRecord) -> None:
        if _is_ours(record):
            self._log.warn("ending {pid}, left by a gateway", pid=record.pid)
            await self._end(record.pid)

    def _recorded(self) -> Sequence[ChildRecord]:
        try:
            found = self._kept(_CHILDREN)
            return [
                ChildRecord(**{**each, "argv": tuple(each["argv"])}) for each in found
            ]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._log.warn("the record of children is broken: {error}", error=error)
            return ()

    async def _end(self, group: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            processes.signal_group(group, number)
            end_s = self._reactor.seconds() + _PATIENCE_S
            while processes.group_lives(group) and self._reactor.seconds() < end_s:
                await deferLater(self._reactor, _LOOK_S)
        if processes.group_lives(group):
            self._log.error("{pid} cannot be ended; its memory is lost", pid=group)


def _private(path: str, flags: int) -> int:
    # A symbolic link would lead out of the folder, to whatever it names.
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _boot() -> str:
    """
    Which run of the machine this is, where it can be told: pids begin anew with it.
    """
    with suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    return ""


def _is_ours(record: ChildRecord) -> bool:
    """
    Whether the process that has this pid now is the one that was noted.
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
