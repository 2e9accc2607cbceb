"""
The files and packages that an engine is made of.
"""

import plistlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import ChildSpec, LaunchdSpec, SystemdSpec
from swapgate.config.expand import Command
from swapgate.continuity import fingerprints
from swapgate.continuity.fingerprints import fingerprint, found_command
from tests.doubles import model


class FingerprintTests(SynchronousTestCase):
    """
    Of files that are there, and others.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.weights = self.folder / "m.gguf"
        self.weights.write_bytes(b"GGUF" + bytes(100))
        self.props: Any = {"model_path": str(self.weights)}

    def child(self, *words: str) -> str | None:
        command = Command(words=words)
        service = ChildSpec(command=command, cwd=str(self.folder))
        return fingerprint(model("m", service=service), self.props)

    def agent(self, **changes: Any) -> str | None:
        """
        That of an agent with this property list.
        """
        content = {
            "ProgramArguments": ["/no/llama-server", "-m", str(self.weights)],
            "EnvironmentVariables": {"A": "1"},
            **changes,
        }
        plist = self.folder / "agent.plist"
        plist.write_bytes(plistlib.dumps(content))
        service = LaunchdSpec(plist=str(plist))
        return fingerprint(model("m", service=service), self.props)

    def test_weights(self) -> None:
        """
        Other weights are another daemon.
        """
        before = self.child("llama-server")
        self.assertEqual(self.child("llama-server"), before)
        self.weights.write_bytes(b"GGUF" + bytes(99) + b"x")
        self.assertNotEqual(self.child("llama-server"), before)
        self.weights.unlink()
        self.assertIsNotNone(self.child("llama-server"))

    def test_program(self) -> None:
        """
        So is another program of the same name.
        """
        program = self.folder / "llama-server"
        program.write_text("#!/bin/sh")
        program.chmod(0o755)
        before = self.child(str(program))
        program.write_text("#!/bin/bash")
        self.assertNotEqual(self.child(str(program)), before)

    def test_package(self) -> None:
        """
        And another version of the engine that swapgate brings.
        """
        self.patch(fingerprints, "_PACKAGE", "no-such-package")
        without = self.child(sys.executable, "-m", "swapgate.engine")
        self.patch(fingerprints, "_PACKAGE", "twisted")
        self.assertTrue(version("twisted"))
        self.assertNotEqual(
            self.child(sys.executable, "-m", "swapgate.engine"), without
        )

    def test_agent(self) -> None:
        """
        What an agent runs is in its property list.
        """
        before = self.agent()
        self.assertEqual(self.agent(KeepAlive=True), before)
        words = ["/no/llama-server", "-m", str(self.weights), "-c", "5"]
        self.assertNotEqual(self.agent(ProgramArguments=words), before)
        self.assertNotEqual(self.agent(EnvironmentVariables={"A": "2"}), before)

    def test_no_list(self) -> None:
        """
        A property list that cannot be read tells nothing.
        """
        for content in (None, b"", b"<plist>", plistlib.dumps([])):
            plist = self.folder / "agent.plist"
            plist.unlink(missing_ok=True)
            if content is not None:
                plist.write_bytes(content)
            spec = model("m", service=LaunchdSpec(plist=str(plist)))
            self.assertEqual(found_command(spec).words, ())
            self.assertIsNotNone(fingerprint(spec, self.props))

    def test_too_little(self) -> None:
        """
        A daemon that does not say what it runs cannot be told from another.
        """
        spec = model("m", service=SystemdSpec(unit="x"))
        answers: list[Any] = [{}, [], {"model_path": 1}]
        for props in answers:
            self.assertIsNone(fingerprint(spec, props))
