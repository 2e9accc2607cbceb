"""
The files of one model's snapshots.
"""

import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.folder import (
    Folder,
    ModelRecord,
    Unusable,
    exclude_from_backups,
    identity,
    new_id,
    remove_other_folders,
    slot_file,
)
from swapgate.continuity.snapshots import Snapshot
from swapgate.continuity.speeds import Speeds
from tests.continuity.test_snapshots import snapshot


class FolderCase(SynchronousTestCase):
    """
    A folder below one that is not there yet.
    """

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "snapshots" / "m-1"
        self.folder = Folder(self.path)

    def saved(self, text: str = "what was said") -> Snapshot:
        """
        A snapshot whose file the daemon has just written.
        """
        snapshot_id = new_id()
        (self.path / slot_file(snapshot_id)).write_text(text)
        found = self.folder.seal(snapshot_id)
        assert found is not None
        return snapshot(
            "a",
            id=snapshot_id,
            size=found.size,
            mtime_ns=found.mtime_ns,
            ends=found.ends,
        )

    def names(self) -> set[str]:
        return {path.name for path in self.path.iterdir()} - {".nobackup"}


class PrepareTests(FolderCase):
    """
    A folder that is its user's alone.
    """

    def test_made(self) -> None:
        """
        It and the one above are made; what was open to others is closed.
        """
        self.folder.prepare()
        self.path.chmod(0o755)
        self.folder.prepare()
        for path in (self.path, self.path.parent):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o700)
        self.assertTrue((self.path / ".nobackup").exists())

    def test_a_link(self) -> None:
        """
        No link leads there.
        """
        self.path.parent.mkdir(parents=True)
        self.path.symlink_to(self.path.parent)
        with self.assertRaisesRegex(Unusable, "symbolic link"):
            self.folder.prepare()

    def test_a_file(self) -> None:
        """
        Nor is it a file.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_text("")
        with self.assertRaisesRegex(Unusable, "exists"):
            self.folder.prepare()

    def test_another_user(self) -> None:
        """
        Nor another user's.
        """
        self.folder.prepare()
        mine = os.geteuid()
        self.patch(os, "geteuid", lambda: mine + 1)
        with self.assertRaisesRegex(Unusable, "another user"):
            self.folder.prepare()

    def test_backups(self) -> None:
        """
        Time Machine is told to leave it out, where there is one.
        """
        told: list[Any] = []
        library = SimpleNamespace(setxattr=lambda *args: told.append(args))
        for platform in ("linux", "darwin"):
            exclude_from_backups(self.path, platform, lambda _: library)
        [(path, name, value, size, *rest)] = told
        self.assertEqual(path, os.fsencode(self.path))
        self.assertEqual(name, b"com.apple.metadata:com_apple_backup_excludeItem")
        self.assertIn(b"com.apple.backupd", value)
        self.assertEqual((size, rest), (len(value), [0, 0]))
        exclude_from_backups(self.path, "darwin", lambda _: SimpleNamespace())


class ScanTests(FolderCase):
    """
    What is there when a gateway starts.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder.prepare()
        self.kept = self.saved()
        self.folder.finish(self.kept, [])

    def scan(self) -> list[Snapshot]:
        found, _ = self.folder.scan("m")
        return found

    def test_whole(self) -> None:
        """
        What was kept is found again.
        """
        self.assertEqual(self.scan(), [self.kept])
        self.assertEqual(len(self.names()), 2)

    def test_superseded(self) -> None:
        """
        What takes its place deletes it, once it is surely there.
        """
        later = self.saved("what was said, and more")
        self.folder.finish(later, [self.kept.id])
        self.assertEqual(self.scan(), [later])

    def test_not_whole(self) -> None:
        """
        Half of one, another's, or a file that was changed goes.
        """

        def file() -> Path:
            return self.path / slot_file(self.kept.id)

        def record() -> Path:
            return file().with_suffix(".json")

        def link() -> None:
            file().rename(self.path / "own")
            file().symlink_to(self.path / "nowhere")

        for spoil in (
            lambda: file().unlink(),
            lambda: record().unlink(),
            lambda: record().rename(self.path / f"{new_id()}.json"),
            link,
            lambda: file().write_text("what was sung"),
            lambda: record().write_text('{"id": 1}'),
            lambda: os.utime(file(), (1, 1)),
        ):
            spoil()
            self.assertEqual(self.scan(), [])
            self.assertEqual(self.names() - {"own"}, set())
            self.kept = self.saved()
            self.folder.finish(self.kept, [])

    def test_another_model(self) -> None:
        """
        A record that was copied from another model's folder is not believed.
        """
        self.assertEqual(self.folder.scan("other")[0], [])

    def test_left_alone(self) -> None:
        """
        What is not called as ours is left alone.
        """
        for name in ("a.bin", "0123.slot", "swapgate.json", f"x{self.kept.id}.json"):
            (self.path / name).write_text("mine")
        (self.path / f"{self.kept.id}.json.new").write_text("half")
        self.scan()
        self.folder.delete_all()
        self.assertEqual(len(self.names()), 4)

    def test_no_folder(self) -> None:
        """
        Where there is none there is nothing.
        """
        self.assertEqual(Folder(self.path / "none").scan("m"), ([], ModelRecord()))


class FileTests(FolderCase):
    """
    One snapshot's files.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder.prepare()

    def test_private(self) -> None:
        """
        Only its user reads them.
        """
        self.folder.finish(self.saved(), [])
        for path in self.path.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_no_file(self) -> None:
        """
        What was not saved, or leads elsewhere, is no snapshot.
        """
        name = new_id()
        self.assertIsNone(self.folder.seal(name))
        (self.path / slot_file(name)).symlink_to("/etc/hosts")
        self.assertIsNone(self.folder.seal(name))

    def test_ends(self) -> None:
        """
        A file is known by its head and its tail, its size and its time.
        """
        path = self.path / "x"
        path.write_bytes(bytes(1_000_000))
        before = identity(path)
        assert before is not None
        with path.open("r+b") as file:
            file.seek(999_999)
            file.write(b"x")
        after = identity(path)
        assert after is not None
        self.assertNotEqual(before.ends, after.ends)
        self.assertEqual(evolve(after, ends="", mtime_ns=0).size, 1_000_000)
        self.assertIsNone(identity(self.path))

    def test_record(self) -> None:
        """
        What is known of the model is kept; a full disk is no failure.
        """
        record = ModelRecord("v", "why", 1, True, Speeds(reading=[5.0]))
        self.folder.write_record(record)
        self.assertEqual(self.folder.read_record(), record)
        Folder(self.path / "none").write_record(record)

    def test_disk(self) -> None:
        """
        Its file system's space.
        """
        disk = self.folder.disk()
        self.assertLess(0, disk.free)
        self.assertLessEqual(disk.free, disk.total)

    def test_other_folders(self) -> None:
        """
        Folders of models that are gone go, but for what is not ours in them.
        """
        root = self.path.parent
        self.folder.finish(self.saved(), [])
        self.folder.write_record(ModelRecord())
        for name in ("kept", "own"):
            Folder(root / name).prepare()
        (root / "own" / "notes").write_text("mine")
        (root / "file").write_text("mine")
        remove_other_folders(str(root), ["kept"])
        found = sorted(path.name for path in root.iterdir())
        self.assertEqual(found, ["file", "kept", "own"])
        remove_other_folders(str(root / "none"), [])
