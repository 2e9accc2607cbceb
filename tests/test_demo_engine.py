"""
Which llama-server do the demo's children run?
"""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import swapgate
from swapgate.demo import DemoError
from swapgate.demo.engine import INSTALL, find_engine, packaged_folder
from tests.demo_rig import executable, folder_of, one_line


class EngineTests(SynchronousTestCase):
    """
    The llama-server on PATH wins; the packaged one brings its libraries' folder.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.packaged = executable(self.folder / "package/llama-server").parent

    def test_first_on_path(self) -> None:
        """
        The first on PATH is taken, with the environment as it was.
        """
        (self.folder / "a").mkdir()
        first = executable(self.folder / "b/llama-server")
        executable(self.folder / "c/llama-server")
        path = os.pathsep.join(str(self.folder / name) for name in "abc")
        self.assertEqual(
            find_engine({"PATH": path, "HOME": "/h"}, self.packaged, "linux", "x86_64"),
            (first, {"PATH": path, "HOME": "/h"}),
        )

    def test_only_what_runs(self) -> None:
        """
        Folders, and files that may not be executed, are passed over.
        """
        (self.folder / "a/llama-server").mkdir(parents=True)
        executable(self.folder / "b/llama-server").chmod(0o644)
        path = os.pathsep.join(str(self.folder / name) for name in "ab")
        engine, _ = find_engine({"PATH": path}, self.packaged, "linux", "x86_64")
        self.assertEqual(engine, self.packaged / "llama-server")

    def test_not_from_the_working_folder(self) -> None:
        """
        An empty entry in PATH does not run whatever lies in the current folder.
        """
        here = Path.cwd()
        executable(self.folder / "llama-server")
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)
        with self.assertRaises(DemoError):
            find_engine({"PATH": ""}, None, "linux", "x86_64")

    def test_packaged(self) -> None:
        """
        The packaged engine finds the libraries beside it.
        """
        self.assertEqual(
            find_engine({"PATH": "/nowhere"}, self.packaged, "linux", "x86_64"),
            (
                self.packaged / "llama-server",
                {"PATH": "/nowhere", "LD_LIBRARY_PATH": str(self.packaged)},
            ),
        )

    def test_none(self) -> None:
        """
        Without an engine one line says what to install here.
        """
        for system, machine, remedy in [
            ("darwin", "arm64", "brew install llama.cpp"),
            ("linux", "x86_64", INSTALL),
            ("linux", "aarch64", "build llama.cpp and put its llama-server on PATH"),
        ]:
            with self.assertRaises(DemoError) as caught:
                find_engine({"PATH": "/nowhere"}, self.folder / "gone", system, machine)
            text = one_line(self, caught.exception)
            self.assertIn("no llama-server on PATH", text)
            self.assertIn(remedy, text)

    def test_package_is_found_without_import(self) -> None:
        """
        A package's binaries lie in its bin folder; a missing package is None.
        """
        self.assertEqual(
            packaged_folder("swapgate"), Path(swapgate.__file__).parent / "bin"
        )
        self.assertIsNone(packaged_folder("no_such_package_at_all"))
