"""
State folder: its lock, and what an earlier gateway left, with real processes.
"""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from swapgate.state_folder import FolderTaken, StateFolder

IGNORING = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(flush=True); time.sleep(600)"
)


class StateCase(TestCase):
    """
    A folder, and gateways that use it one after the other.
    """

    timeout = 120

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.folder = self.open()

    def open(self) -> StateFolder:
        """
        The folder as the next gateway sees it.
        """
        folder = StateFolder(str(self.path), reactor)
        self.addCleanup(folder.release)
        return folder

    def next_gateway(self) -> StateFolder:
        self.folder.release()
        folder = self.open()
        folder.acquire()
        return folder

    def orphan(self, *argv: str) -> "subprocess.Popen[bytes]":
        """
        A process in a session of its own, as a crash would leave it.
        """
        process = subprocess.Popen(
            argv or ("sleep", "600"), start_new_session=True, stdout=subprocess.PIPE
        )

        def clean_up() -> None:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

        self.addCleanup(clean_up)
        return process

    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            (self.path / "children.json").read_text()
        )
        return found


class FolderTests(StateCase):
    """
    The folder itself.
    """

    def test_only_ours_to_see(self) -> None:
        """
        The folder is 0700, whatever it was; its files are 0600.
        """
        self.path.mkdir(mode=0o755)
        self.folder.acquire()
        self.folder._save()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        for file in self.path.iterdir():
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600, file)

    def test_one_gateway_at_a_time(self) -> None:
        """
        The second one is refused until the first has left.
        """
        self.folder.acquire()
        other = self.open()
        taken = self.assertRaises(FolderTaken, other.acquire)
        said = f"process {os.getpid()} has the folder {self.path}"
        self.assertEqual(str(taken), said)
        self.assertRaises(FolderTaken, other.check_free)
        self.folder.release()
        other.acquire()

    def test_of_another_user(self) -> None:
        """
        Neither his folder nor one that he has chosen by a symbolic link; our own links,
        and root's, are as good as the folder itself.
        """
        for real, way, said in (
            ("folder", "folder", "folder belongs to another user"),
            ("real", "link", "link is a symbolic link of another user"),
            ("top/a/b", "way/a/b", "way is a symbolic link of another user"),
        ):
            parent = Path(self.mktemp()).absolute()
            parent.mkdir()
            path, top = parent / way, parent / way.split("/")[0]
            (parent / real).mkdir(parents=True)
            if way != real:
                top.symlink_to(parent / real.split("/")[0])
            if os.geteuid() == 0:
                os.chown(top, 4711, -1, follow_symlinks=False)
            owner = top.lstat().st_uid
            (parent / real).chmod(0o755)
            folder = StateFolder(str(path), reactor, user=owner + 1)
            error = self.assertRaises(OSError, folder.acquire)
            self.assertIn(f"{parent}/{said}", str(error))
            self.assertEqual(stat.S_IMODE((parent / real).stat().st_mode), 0o755)
            self.assertEqual(list((parent / real).iterdir()), [])

    def test_through_our_own_link(self) -> None:
        """
        It leads where we want it to.
        """
        self.path.symlink_to(Path(self.mktemp()).absolute())
        self.path.resolve().mkdir()
        self.folder.acquire()
        self.assertTrue((self.path.resolve() / "lock").is_file())

    def test_broken_record_of_loads(self) -> None:
        """
        Passed over, and reported.
        """
        self.folder.acquire()
        for broken in ("", "{", "\xff", "[" * 100_000, '{"a":' * 100_000):
            (self.path / "loads.json").write_text(broken, "latin-1")
            with capturedLogs() as logged:
                self.assertEqual(self.folder.load_times(), None)
            [event] = logged
            self.assertIn("the record of loads is broken", formatEvent(event))

    def test_links_in_the_folder(self) -> None:
        """
        What is no file of ours is neither read nor written, wherever it leads.
        """
        self.path.mkdir()
        target = Path(self.mktemp()).absolute()
        target.write_text('{"a": [1.0]}')
        names = ("lock", "loads.json", "loads.json.new", "children.json.new")
        for name in names:
            (self.path / name).symlink_to(target)
        self.assertRaises(OSError, self.folder.acquire)
        (self.path / "lock").unlink()
        self.folder.acquire()
        self.assertEqual(self.folder.load_times(), None)
        self.folder.save_load_times({"a": [2.0]})
        self.folder._save()
        self.assertEqual(target.read_text(), '{"a": [1.0]}')

    def test_leaving_twice(self) -> None:
        """
        A folder that was left can be left.
        """
        self.folder.release()
        self.folder.acquire()
        self.folder.release()
        self.folder.release()

    async def test_cannot_be_written(self) -> None:
        """
        A disk that takes nothing is a line in the log, and no more.
        """
        self.folder.acquire()
        (self.path / "children.json.new").mkdir()
        self.folder.note_start(self.orphan().pid)
        self.assertFalse((self.path / "children.json").exists())


class OrphanTests(StateCase):
    """
    Children of a gateway that is no more.
    """

    async def test_ended(self) -> None:
        """
        A child that is known again is ended, and forgotten.
        """
        self.folder.acquire()
        orphan = self.orphan()
        self.folder.note_start(orphan.pid)
        self.folder.note_argv(orphan.pid)
        await self.next_gateway().end_orphans()
        self.assertEqual(await deferToThread(orphan.wait), -signal.SIGTERM)
        self.assertEqual(self.records(), [])

    async def test_killed(self) -> None:
        """
        One that ignores SIGTERM is killed.
        """
        self.folder.acquire()
        orphan = self.orphan(sys.executable, "-c", IGNORING)
        assert orphan.stdout is not None
        await deferToThread(orphan.stdout.readline)
        self.folder.note_start(orphan.pid)
        await self.next_gateway().end_orphans()
        self.assertEqual(await deferToThread(orphan.wait), -signal.SIGKILL)

    async def test_strangers_are_spared(self) -> None:
        """
        The same pid with another birth, boot or command line is another process.
        """
        self.folder.acquire()
        orphan = self.orphan()
        self.folder.note_start(orphan.pid)
        self.folder.note_argv(orphan.pid)
        [record] = self.records()
        folder = self.next_gateway()
        for change in (
            {"born": 1.0},
            {"boot": "another"},
            {"argv": ["another", "command"]},
        ):
            with self.subTest(change=change):
                changed = json.dumps([record | change])
                (self.path / "children.json").write_text(changed)
                await folder.end_orphans()
                self.assertIsNone(orphan.poll())

    async def test_ended_children_are_forgotten(self) -> None:
        """
        What ended in order leaves no record.
        """
        self.folder.acquire()
        orphan = self.orphan()
        self.folder.note_start(orphan.pid)
        self.assertEqual([record["pid"] for record in self.records()], [orphan.pid])
        self.folder.note_end(orphan.pid)
        self.folder.note_end(orphan.pid)
        self.assertEqual(self.records(), [])

    async def test_gone_already(self) -> None:
        """
        A record of what has ended meanwhile does no harm.
        """
        self.folder.acquire()
        orphan = self.orphan("true")
        await deferToThread(orphan.wait)
        (self.path / "children.json").write_text(
            json.dumps([{"pid": orphan.pid, "born": 1.0, "boot": "", "argv": []}])
        )
        await self.next_gateway().end_orphans()
        self.folder.note_start(orphan.pid)
        self.folder.note_argv(orphan.pid)

    async def test_broken_record(self) -> None:
        """
        A record that cannot be read is reported, and nothing is ended for it.
        """
        self.folder.acquire()
        orphan = self.orphan()
        for broken in ("", "{", '[{"pid": 1}]', "[1]", '"x"', "[" * 100_000):
            with self.subTest(broken=broken):
                (self.path / "children.json").write_text(broken)
                await self.folder.end_orphans()
        self.assertIsNone(orphan.poll())

    async def test_first_start(self) -> None:
        """
        Without a record there is nothing to do.
        """
        self.folder.acquire()
        clearing = Deferred.fromCoroutine(self.folder.end_orphans())
        await clearing
