"""
Preflight: what is checked before a daemon is started.
"""

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.daemons.spawn import cannot_run

ENV = {"PATH": "/usr/bin:/bin"}


class PreflightTests(SynchronousTestCase):
    """
    A command that can be run, and those that cannot.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "m.gguf").touch()

    def why(self, *argv: str, cwd: str = "") -> str | None:
        return cannot_run(argv, ENV, cwd or str(self.folder))

    def test_nothing(self) -> None:
        """
        A program on PATH, or by its path; a model file as the command's folder has it.
        """
        for argv in (
            ("sh",),
            (sys.executable, "-m", "swapgate.engine"),
            ("sh", "-m", "m.gguf"),
            ("sh", "--model", str(self.folder / "m.gguf")),
            ("sh", "--model=m.gguf"),
            # No file, but a name in a hub.
            ("sh", "--model", "org/name"),
            ("sh", "-m"),
        ):
            with self.subTest(argv=argv):
                self.assertIsNone(self.why(*argv))

    def test_no_program(self) -> None:
        """
        One that is not there, or may not be run.
        """
        text = self.folder / "program"
        text.touch(0o644)
        for program in ("no-such-program", "/no/such/program", str(text)):
            said = f"{program!r} is not an executable on PATH"
            self.assertEqual(self.why(program), said)

    def test_no_folder(self) -> None:
        """
        The folder that it is to run in is not there.
        """
        said = "the folder /no/such is not there"
        self.assertEqual(self.why("sh", cwd="/no/such"), said)

    def test_no_model(self) -> None:
        """
        The model file is not there, or is a folder.
        """
        (self.folder / "d.gguf").mkdir()
        for argv, name in (
            (("sh", "-m", "x.gguf"), "x.gguf"),
            (("sh", "--model", "/no/x.gguf"), "/no/x.gguf"),
            (("sh", "--model=d.gguf"), "d.gguf"),
        ):
            said = f"the model file {self.folder / name} is not there"
            self.assertEqual(self.why(*argv), said)
