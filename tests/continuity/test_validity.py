"""
For which daemon a snapshot is good.
"""

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from swapgate.continuity.commands import engine_command
from swapgate.continuity.validity import (
    EngineFacts,
    FileIdentity,
    engine_facts,
    named_files,
    validity,
)

PROPS: Any = {
    "default_generation_settings": {
        "n_ctx": 4096,
        "params": {"lora": [], "seed": 1},
    },
    "total_slots": 4,
    "model_path": "/models/a.gguf",
    "build_info": "b10434-abc",
    "model_ftype": "Q8_0",
    "modalities": {"vision": False},
}
FACTS = EngineFacts(
    "/models/a.gguf", "b10434-abc", 4, 4096, '[[], {"vision": false}, "Q8_0"]'
)
COMMAND = engine_command(("llama-server", "-m", "/models/a.gguf", "--port", "1"))
FILE = FileIdentity("/models/a.gguf", 100, 5, "abcd")


class FactsTests(SynchronousTestCase):
    """
    Of an answer that may be anything.
    """

    def test_llama_server(self) -> None:
        """
        What the engine says.
        """
        self.assertEqual(engine_facts(PROPS), FACTS)

    def test_less(self) -> None:
        """
        What is missing or of another type is nothing.
        """
        nothing = EngineFacts("", "", 0, 0, "[null, null, null]")
        for props in (
            {},
            {"model_path": 1, "build_info": [], "total_slots": "4"},
            {"default_generation_settings": 1},
            {"default_generation_settings": {"n_ctx": "", "params": 1}},
        ):
            self.assertEqual(engine_facts(props), nothing)
        self.assertIsNone(engine_facts(["model_path"]))


class ValidityTests(SynchronousTestCase):
    """
    What makes another digest, and what does not.
    """

    def of(self, **changes: Any) -> str:
        given = {
            "command": COMMAND,
            "environ": [("A", "1"), ("B", "2")],
            "facts": FACTS,
            "files": [FILE],
            "packages": {"xllamacpp": "1"},
            **changes,
        }
        return validity(**given)

    def test_same(self) -> None:
        """
        Another port and another order of the environment change nothing.
        """
        words = ("llama-server", "--port", "2", "-m", "/models/a.gguf")
        environ = [("B", "2"), ("A", "1")]
        self.assertEqual(
            self.of(), self.of(command=engine_command(words), environ=environ)
        )

    def test_other(self) -> None:
        """
        All else does.
        """
        words = (*COMMAND.words, "--swa-full")
        changes: list[dict[str, Any]] = [
            {"command": engine_command(words)},
            {"environ": [("A", "1")]},
            {"files": []},
            {"packages": {"xllamacpp": "2"}},
        ]
        changes += [
            {"facts": facts}
            for facts in (
                evolve(FACTS, model_path="/b"),
                evolve(FACTS, build="b1"),
                evolve(FACTS, slots=1),
                evolve(FACTS, context=1),
                evolve(FACTS, rest=""),
            )
        ]
        changes += [
            {"files": [file]}
            for file in (
                evolve(FILE, path="/b"),
                evolve(FILE, size=1),
                evolve(FILE, mtime_ns=1),
                evolve(FILE, ends=""),
            )
        ]
        found = [self.of(), *(self.of(**change) for change in changes)]
        self.assertEqual(len(set(found)), len(found))

    def test_files(self) -> None:
        """
        Those that the command names, as seen from its folder, and the model's.
        """
        words = "python -m swapgate.engine -m b.gguf --lora /l.gguf --log-file /x"
        command = engine_command(words.split())
        for model_path, expected in (
            ("b.gguf", ["/l.gguf", "/home/b.gguf"]),
            ("/c", ["/c", "/l.gguf", "/home/b.gguf"]),
            ("", ["/l.gguf", "/home/b.gguf"]),
        ):
            facts = evolve(FACTS, model_path=model_path)
            self.assertEqual(named_files(command, facts, "/home"), expected)
