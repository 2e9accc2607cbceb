"""
Weights: the demo's model is joined once, verified, and never half of it.
"""

import hashlib
import os
import sys
import threading
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.demo import INSTALL, DemoError
from swapgate.demo.weights import (
    NAME,
    assemble_packaged,
    cache_folder,
    ready_weights,
    stamp,
)
from tests.demo_rig import MODEL, MODEL_SHA256, folder_of, one_line


class CacheFolderTests(SynchronousTestCase):
    """
    The joined model lies where the platform keeps what can be made again.
    """

    def test_by_platform(self) -> None:
        """
        XDG_CACHE_HOME when it is absolute, ~/.cache, ~/Library/Caches on macOS.
        """
        for environ, system, folder in [
            ({"HOME": "/h"}, "linux", "/h/.cache/swapgate"),
            ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", "/x/swapgate"),
            ({"HOME": "/h", "XDG_CACHE_HOME": "x"}, "linux", "/h/.cache/swapgate"),
            ({"XDG_CACHE_HOME": "/x"}, "linux", "/x/swapgate"),
            ({"HOME": "/h"}, "darwin", "/h/Library/Caches/swapgate"),
        ]:
            self.assertEqual(cache_folder(environ, system), Path(folder))

    def test_homeless(self) -> None:
        """
        Without any of them one line names the variables.
        """
        with self.assertRaises(DemoError) as caught:
            cache_folder({}, "linux")
        self.assertIn(
            "neither HOME nor XDG_CACHE_HOME", one_line(self, caught.exception)
        )


class WeightsTests(SynchronousTestCase):
    """
    The model is joined once, whole or not at all.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self) / "cache"
        self.joined = 0

    def assemble(self, target: Path) -> None:
        self.joined += 1
        target.write_bytes(MODEL)

    def ready(self) -> Path:
        return ready_weights(self.folder, self.assemble, MODEL_SHA256)

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def test_joined_once(self) -> None:
        """
        The first launch joins the model, the second finds it; nothing else is left.
        """
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertEqual(self.ready(), self.folder / NAME)
        self.assertEqual(self.joined, 1)
        self.assertEqual(self.left(), {NAME, f"{NAME}.lock", f"{NAME}.verified"})

    def test_warm_launch_reads_no_model(self) -> None:
        """
        With its marker in place the file is not read again: an unreadable one passes.
        """
        self.folder.mkdir()
        (self.folder / NAME).write_bytes(b"as long as the marker says so")
        mark = stamp(self.folder / NAME, MODEL_SHA256)
        (self.folder / f"{NAME}.verified").write_text(mark)
        self.ready()
        self.assertEqual(self.joined, 0)

    def test_without_marker(self) -> None:
        """
        A whole file whose marker is lost is hashed, kept, and marked again.
        """
        self.ready()
        (self.folder / f"{NAME}.verified").unlink()
        self.ready()
        self.assertEqual(self.joined, 1)
        self.assertIn(f"{NAME}.verified", self.left())

    def test_truncated(self) -> None:
        """
        A file cut short since it was verified is replaced, whatever its time.
        """
        target = self.ready()
        verified = target.stat().st_mtime_ns
        target.write_bytes(MODEL[:10])
        os.utime(target, ns=(verified, verified))
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertEqual(self.joined, 2)

    def test_corrupt(self) -> None:
        """
        A file of the right length with other bytes and another time is replaced.
        """
        target = self.ready()
        changed = target.stat().st_mtime_ns + 1
        target.write_bytes(MODEL[::-1])
        os.utime(target, ns=(changed, changed))
        self.assertEqual(self.ready().read_bytes(), MODEL)

    def test_another_model(self) -> None:
        """
        A marker for another sha256, left by an older demo, counts for nothing.
        """
        self.ready()
        other = hashlib.sha256(b"new").hexdigest()

        def assemble(target: Path) -> None:
            target.write_bytes(b"new")

        target = ready_weights(self.folder, assemble, other)
        self.assertEqual(target.read_bytes(), b"new")

    def test_left_over_part(self) -> None:
        """
        What a killed join left behind does not end up in the model.
        """
        self.folder.mkdir()
        (self.folder / f"{NAME}.part").write_bytes(b"x" * 1000)
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertNotIn(f"{NAME}.part", self.left())

    def test_wrong_sum(self) -> None:
        """
        A package with other bytes is refused, in one line, and leaves nothing behind.
        """
        for complaint in (None, ValueError("sha256"), FileNotFoundError("part02")):

            def assemble(target: Path, complaint: Exception | None = complaint) -> None:
                target.write_bytes(b"not the model")
                if complaint is not None:
                    raise complaint

            with self.assertRaises(DemoError) as caught:
                ready_weights(self.folder, assemble, MODEL_SHA256)
            text = one_line(self, caught.exception)
            self.assertIn("damaged", text)
            self.assertIn(INSTALL, text)
            self.assertEqual(self.left(), {f"{NAME}.lock"})

    def test_failed_join_keeps_the_old_file(self) -> None:
        """
        A join that fails half-way never touches the file under its own name.
        """
        self.folder.mkdir()
        (self.folder / NAME).write_bytes(b"old")

        def assemble(target: Path) -> None:
            target.write_bytes(MODEL[:5])
            raise OSError(28, "No space left on device")

        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder, assemble, MODEL_SHA256)
        self.assertIn("No space left on device", one_line(self, caught.exception))
        self.assertEqual((self.folder / NAME).read_bytes(), b"old")

    def test_cache_cannot_be_made(self) -> None:
        """
        A cache folder that cannot be made is one line with its place and the reason.
        """
        self.folder.write_text("a file")
        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder / "below", self.assemble, MODEL_SHA256)
        text = one_line(self, caught.exception)
        self.assertIn(str(self.folder / "below"), text)
        self.assertIn("Not a directory", text)

    def test_three_at_once(self) -> None:
        """
        Of three that come together one joins, and the others wait for it.
        """
        all_here = threading.Barrier(3)
        found: list[bytes] = []

        def launch() -> None:
            all_here.wait(10)
            found.append(self.ready().read_bytes())

        # flock tells open files apart, not processes: threads are as good here.
        threads = [threading.Thread(target=launch) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        self.assertEqual(found, [MODEL] * 3)
        self.assertEqual(self.joined, 1)

    def test_package(self) -> None:
        """
        The package is told where to write, and the user why this launch takes longer.
        """
        package = folder_of(self) / "a_model_package_for_this_test.py"
        package.write_text(
            "def assemble(target, overwrite):\n"
            f"    assert overwrite and target.write_bytes({MODEL!r})\n"
        )
        sys.path.insert(0, str(package.parent))
        self.addCleanup(sys.path.remove, str(package.parent))
        self.addCleanup(sys.modules.pop, package.stem)
        target = package.with_name("model.part")
        with redirect_stderr(StringIO()) as complained:
            assemble_packaged(target, package.stem)
        self.assertEqual(target.read_bytes(), MODEL)
        self.assertEqual(
            complained.getvalue(),
            f"swapgate demo: joining the model in {target.parent}\n",
        )

    def test_package_missing(self) -> None:
        """
        Without the model's package one line says what to install.
        """

        def assemble(target: Path) -> None:
            assemble_packaged(target, "no_such_package_at_all")

        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder, assemble, MODEL_SHA256)
        self.assertIn(INSTALL, one_line(self, caught.exception))
