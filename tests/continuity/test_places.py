"""
Where each model's conversations are saved.
"""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import (
    ChildSpec,
    CommandSpec,
    LaunchdSpec,
    RemoteSpec,
    SystemdSpec,
)
from swapgate.config.expand import Command
from swapgate.config.model import ModelSpec
from swapgate.continuity.commands import EngineCommand
from swapgate.continuity.places import Place, command_of, folder_name, place_of


def child(text: str, **more: Any) -> ModelSpec:
    command = Command(words=tuple(text.split()))
    return model(ChildSpec(command=command, cwd="/home"), **more)


def model(service: Any, **more: Any) -> ModelSpec:
    return ModelSpec(name="m", memory_bytes=1, service=service, **more)


COMMAND = Command(words=("x",))
EXTERNAL = (
    LaunchdSpec(plist="/x"),
    SystemdSpec(unit="x"),
    CommandSpec(start=COMMAND, stop=COMMAND, cwd="/"),
)


class PlaceTests(SynchronousTestCase):
    """
    By the configuration alone.
    """

    def test_child(self) -> None:
        """
        A llama-server is told of its folder.
        """
        spec = child("llama-server --port ${port}")
        own = Place(f"/root/{folder_name('m')}", adds_option=True)
        self.assertEqual(place_of(spec, "/root"), own)
        spec = child("llama-server --port ${port}", snapshot_dir="/there")
        self.assertEqual(place_of(spec, "/root"), Place("/there", adds_option=True))

    def test_own_option(self) -> None:
        """
        Unless its command says it already.
        """
        for path, folder in (("/there", "/there"), ("there", "/home/there")):
            spec = child(f"llama-server --slot-save-path {path}", snapshot_dir="/other")
            self.assertEqual(place_of(spec, "/root"), Place(folder))

    def test_others(self) -> None:
        """
        What else runs a daemon must say where it saves.
        """
        for service in EXTERNAL:
            spec = model(service, snapshot_dir="/there")
            self.assertEqual(place_of(spec, "/root"), Place("/there"))
            self.assertIn("--slot-save-path", str(place_of(model(service), "/root")))
        self.assertIn("snapshot_dir", str(place_of(child("serve"), "/root")))
        spec = child("serve", snapshot_dir="/there")
        self.assertEqual(place_of(spec, "/root"), Place("/there"))

    def test_never(self) -> None:
        """
        Not where it is off, nor for a remote daemon.
        """
        spec = child("llama-server", continuity="off")
        self.assertEqual(place_of(spec, "/root"), "continuity = off")
        self.assertIn("remote", str(place_of(model(RemoteSpec()), "/root")))

    def test_commands(self) -> None:
        """
        A child's is known.
        """
        words = command_of(child("llama-server --port ${port}")).words
        self.assertEqual(words, ("llama-server", "--port", "0"))
        self.assertEqual(command_of(model(RemoteSpec())), EngineCommand())

    def test_folder_names(self) -> None:
        """
        Each model has one, and none leads elsewhere.
        """
        for name in ("..", "a/b", "Qwen 2.5", "x" * 300, "日本"):
            found = folder_name(name)
            self.assertRegex(found, r"^[A-Za-z0-9._-]*-[0-9a-f]{8}$")
            self.assertLess(len(found), 50)
        self.assertNotEqual(folder_name("a b"), folder_name("a-b"))
