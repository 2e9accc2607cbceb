"""
Folder: the snapshot files of one model, and what is kept beside each. It blocks.

1. A snapshot is two files, ID.slot, which the daemon writes, and ID.json, which says
   what it is and for which daemon it is good. A file without the other is deleted.
2. The folder is its user's alone, as private as the conversations; no backup has it.
3. A name holds nothing of a request. What is not called as ours is left alone.
"""

import ctypes
import os
import plistlib
import re
import secrets
import shutil
import sys
from collections.abc import Container, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from attrs import define
from msgspec import Struct, field

from swapgate.continuity.snapshots import Disk, Snapshot
from swapgate.continuity.speeds import Speeds
from swapgate.continuity.validity import FileIdentity

_OURS: Final = re.compile(r"([0-9a-f]{16})\.(?:slot|json)(?:\.new)?")
_RECORD: Final = "swapgate.json"
# So much of a file's head, and of its tail, tells it from another one of its size.
_END: Final = 64 * 1024
_NO_BACKUP: Final = ".nobackup"
# What Time Machine looks for on a folder, and what stands there.
_EXCLUDED: Final = b"com.apple.metadata:com_apple_backup_excludeItem"
_BY: Final = plistlib.dumps("com.apple.backupd", fmt=plistlib.FMT_BINARY)

T = TypeVar("T")


class ModelRecord(Struct):
    """
    What is known of a model's snapshots as a whole.

    :ivar validity: for which daemon the rest holds.
    :ivar mark: why no time is spent on them any more; "" if it is.
    :ivar failures: how often in a row a restore has helped nothing.
    :ivar proven: a restore has helped.
    """

    validity: str = ""
    mark: str = ""
    failures: int = 0
    proven: bool = False
    speeds: Speeds = field(default_factory=Speeds)


class Unusable(Exception):
    """
    The folder cannot be used, for this reason.
    """


def new_id() -> str:
    return secrets.token_hex(8)


def slot_file(snapshot_id: str) -> str:
    """
    The name of the file that the daemon writes.
    """
    return f"{snapshot_id}.slot"


@define(frozen=True)
class Folder:
    """
    One model's folder.
    """

    path: Path

    def prepare(self) -> None:
        """
        Make it, or make sure of it.

        :raises Unusable: where it is another user's, or cannot be made.
        """
        try:
            if self.path.is_symlink():
                raise Unusable(f"{self.path} is a symbolic link; write where it leads")
            for path in (self.path.parent, self.path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_uid != os.geteuid():
                raise Unusable(f"{self.path} belongs to another user")
            self.path.chmod(0o700)
            mark = self.path / _NO_BACKUP
            if not mark.exists():
                mark.touch(mode=0o600)
                exclude_from_backups(self.path)
        except OSError as error:
            raise Unusable(f"{self.path}: {error.strerror}") from error

    def scan(self, model: str) -> tuple[list[Snapshot], ModelRecord]:
        """
        What is in it and whole, after everything else of ours is deleted.
        """
        good = {}
        for name in self._names():
            if name.endswith(".json"):
                snapshot = self._read(name, Snapshot)
                if snapshot is not None and self._is_good(snapshot, name, model):
                    good[snapshot.id] = snapshot
        for name in self._names():
            known = name.partition(".")[0] in good and not name.endswith(".new")
            if not known:
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)
        return list(good.values()), self.read_record()

    def read_record(self) -> ModelRecord:
        """
        What is known of the model as a whole.
        """
        return self._read(_RECORD, ModelRecord) or ModelRecord()

    def _is_good(self, snapshot: Snapshot, name: str, model: str) -> bool:
        named = (snapshot.model, f"{snapshot.id}.json") == (model, name)
        return named and self.is_intact(snapshot)

    def _names(self) -> list[str]:
        with suppress(OSError):
            names = [each.name for each in self.path.iterdir()]
            return [name for name in names if _OURS.fullmatch(name)]
        return []

    def is_intact(self, snapshot: Snapshot) -> bool:
        """
        Whether its file is the one that was saved.
        """
        found = identity(self.path / slot_file(snapshot.id))
        expected = (snapshot.size, snapshot.mtime_ns, snapshot.ends)
        return found is not None and expected == (
            found.size,
            found.mtime_ns,
            found.ends,
        )

    def seal(self, snapshot_id: str) -> FileIdentity | None:
        """
        Make a file that was just saved private; None where it is no file.
        """
        path = self.path / slot_file(snapshot_id)
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        # Not ours, where the daemon is another user's: the folder hides it.
        with suppress(OSError):
            os.fchmod(file, 0o600)
        os.close(file)
        return identity(path)

    def finish(self, snapshot: Snapshot, superseded: Iterable[str]) -> None:
        """
        Write what it is beside its file, once that is surely on the disk; then delete
        those in whose place it comes.

        :raises OSError: where it cannot be written.
        """
        file = os.open(self.path / slot_file(snapshot.id), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        self.write(snapshot)
        self.delete(superseded)

    def write(self, snapshot: Snapshot) -> None:
        """
        Write what it is beside its file.

        :raises OSError: where it cannot be written.
        """
        self._write(f"{snapshot.id}.json", snapshot)

    def write_record(self, record: ModelRecord) -> None:
        """
        Write what is known of the model.
        """
        # A full disk, say: it will be measured again.
        with suppress(OSError):
            self._write(_RECORD, record)

    def _write(self, name: str, value: object) -> None:
        path = self.path / name
        new = self.path / f"{name}.new"
        with open(new, "wb", opener=_private) as file:
            file.write(msgspec.json.encode(value))
        new.replace(path)

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError):
            return None

    def delete(self, snapshot_ids: Iterable[str]) -> None:
        """
        Delete both files of each, as far as they are there.
        """
        for each in snapshot_ids:
            for name in (f"{each}.json", slot_file(each)):
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    def delete_all(self) -> None:
        """
        Delete all that is ours in it.
        """
        self.delete({name.partition(".")[0] for name in self._names()})

    def disk(self) -> Disk:
        """
        The space of its file system.
        """
        usage = shutil.disk_usage(self.path)
        return Disk(free=usage.free, total=usage.total)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def identity(path: Path) -> FileIdentity | None:
    """
    Which file this is; None where it is none that can be read.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest = sha256(file.read(_END))
            file.seek(max(status.st_size - _END, 0))
            digest.update(file.read(_END))
    except OSError:
        return None
    return FileIdentity(
        str(path), status.st_size, status.st_mtime_ns, digest.hexdigest()[:32]
    )


def remove_other_folders(root: str, names: Container[str]) -> None:
    """
    Delete what is ours in the folders of models that are kept no more, and these.
    """
    with suppress(OSError):
        for path in Path(root).iterdir():
            if path.name not in names and path.is_dir() and not path.is_symlink():
                Folder(path).delete_all()
                for name in (_RECORD, f"{_RECORD}.new", _NO_BACKUP):
                    (path / name).unlink(missing_ok=True)
                with suppress(OSError):
                    path.rmdir()


def exclude_from_backups(
    path: Path, platform: str = sys.platform, load: Any = ctypes.CDLL
) -> None:
    """
    Have Time Machine leave it out; elsewhere there is nothing to be told.
    """
    if platform != "darwin":
        return
    with suppress(OSError, AttributeError):
        # The os module has this on Linux only.
        load(None).setxattr(os.fsencode(path), _EXCLUDED, _BY, len(_BY), 0, 0)
