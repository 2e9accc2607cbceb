"""
What is known of a model without loading it.
"""

import plistlib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama_models import listed
from swapgate.config.daemon_kinds import ChildSpec, LaunchdSpec, RemoteSpec
from swapgate.config.expand import Command
from tests.doubles import model


class ListedTests(SynchronousTestCase):
    """
    By the command line, where it is known.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "a.gguf").write_bytes(b"GGUF")
        self.argv = ("llama-server", "-m", "a.gguf", "-c", "4096", "--mmproj", "p")

    def test_known(self) -> None:
        """
        A child's stands in the configuration, an agent's in its plist.
        """
        plist = self.folder / "a.plist"
        told = {"ProgramArguments": self.argv, "WorkingDirectory": str(self.folder)}
        plist.write_bytes(plistlib.dumps(told))
        for service in (
            ChildSpec(command=Command(words=self.argv), cwd=str(self.folder)),
            LaunchdSpec(plist=str(plist)),
        ):
            with self.subTest(service=service):
                found = listed(model("a", service=service), 7.0)
                self.assertEqual(found.context_length, 4096)
                self.assertEqual(found.file_bytes, 4)
                self.assertGreater(found.modified_s, 7.0)
                self.assertEqual(found.capabilities, ("completion", "tools", "vision"))

    def test_unknown(self) -> None:
        """
        Nothing is made up.
        """
        broken = self.folder / "b.plist"
        broken.write_bytes(b"<plist>")
        for service in (
            RemoteSpec(),
            LaunchdSpec(plist=str(broken)),
            LaunchdSpec(plist=str(self.folder / "none.plist")),
            ChildSpec(command=Command(words=("x", "-m", "gone", "-c", "0")), cwd="/"),
        ):
            with self.subTest(service=service):
                found = listed(model("a", service=service), 7.0)
                self.assertIsNone(found.context_length)
                self.assertIsNone(found.file_bytes)
                self.assertEqual(found.modified_s, 7.0)

    def test_embeddings(self) -> None:
        command = Command(words=("llama-server", "--embeddings"))
        found = listed(model("a", service=ChildSpec(command=command, cwd="/")), 7.0)
        self.assertEqual(found.capabilities, ("embedding",))
