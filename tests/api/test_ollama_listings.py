"""
What Ollama's clients are shown of models.
"""

import re
from datetime import datetime

from attrs import evolve
from ollama import ListResponse, ProcessResponse, ShowResponse
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama_listings import ListedModel, ps, show, tags, version

_BARE = ListedModel(name="bare", memory_bytes=5_000, modified_s=1764147600.0)
_FULL = ListedModel(
    name="gemma",
    aliases=("g", "model.gguf"),
    memory_bytes=8_000,
    modified_s=1764147600.5,
    file_bytes=6_000,
    digest="ab" * 32,
    family="gemma3",
    parameter_size="4B",
    quantization="Q4_K_M",
    context_length=8192,
    capabilities=("completion", "vision"),
)
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "gemma3",
    "families": ["gemma3"],
    "parameter_size": "4B",
    "quantization_level": "Q4_K_M",
}


class ListingTests(SynchronousTestCase):
    """
    Plain values in, the answer out; and as Ollama's own client reads it.
    """

    def test_tags(self) -> None:
        """
        Names first, then aliases; what is unknown has a value of the right type.
        """
        listed = tags([_FULL, _BARE])["models"]
        names = ["gemma", "bare", "g", "model.gguf"]
        self.assertEqual([each["name"] for each in listed], names)
        self.assertEqual(
            listed[2],
            {
                "name": "g",
                "model": "g",
                "size": 6_000,
                "digest": "ab" * 32,
                "details": _DETAILS,
                "modified_at": "2025-11-26T09:00:00.500000Z",
            },
        )
        bare = listed[1]
        self.assertEqual(bare["size"], 5_000)
        self.assertTrue(re.fullmatch("[0-9a-f]{64}", bare["digest"]))
        self.assertEqual(bare["details"]["families"], ["unknown"])
        for each in listed:
            self.assertIs(type(each["size"]), int)
        read = ListResponse.model_validate({"models": listed})
        self.assertEqual([each.model for each in read.models], names)

    def test_digests(self) -> None:
        """
        Differ by model, and stay.
        """
        other = tags([evolve(_BARE, name="other")])["models"][0]["digest"]
        self.assertNotEqual(tags([_BARE])["models"][0]["digest"], other)
        self.assertEqual(
            other, tags([evolve(_BARE, name="other")])["models"][0]["digest"]
        )

    def test_ps(self) -> None:
        """
        What is up, its memory, and until when.
        """
        listed = ps([(_FULL, 1764147660.0), (_BARE, None)])["models"]
        self.assertEqual(listed[0]["expires_at"], "2025-11-26T09:01:00.000000Z")
        self.assertEqual(listed[0]["context_length"], 8192)
        self.assertEqual([each["size_vram"] for each in listed], [8_000, 5_000])
        self.assertNotIn("context_length", listed[1])
        read = ProcessResponse.model_validate({"models": listed})
        never = read.models[1].expires_at
        assert isinstance(never, datetime)
        self.assertEqual(never.year, 9999)

    def test_show(self) -> None:
        """
        The context's length stands under the architecture's name.
        """
        self.assertEqual(
            show(_FULL),
            {
                "license": "",
                "modelfile": "",
                "parameters": "",
                "template": "",
                "details": _DETAILS,
                "model_info": {
                    "general.architecture": "gemma3",
                    "gemma3.context_length": 8192,
                },
                "capabilities": ["completion", "vision"],
                "modified_at": "2025-11-26T09:00:00.500000Z",
            },
        )
        bare = show(_BARE)
        self.assertEqual(bare["model_info"], {"general.architecture": "unknown"})
        self.assertEqual(bare["capabilities"], ["completion"])
        self.assertEqual(ShowResponse.model_validate(bare).capabilities, ["completion"])

    def test_version(self) -> None:
        """
        Three numbers, and as many as Copilot wants.
        """
        numbers = version()["version"].split(".")
        self.assertGreaterEqual(tuple(map(int, numbers)), (0, 6, 4))
