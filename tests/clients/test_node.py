"""
Clients of npm: scripts of node, each a process of its own.
"""

import json
import os
import shutil
import subprocess
from typing import Any

from tests import client_rig as rig
from tests.clients.install_node import INSTALLED

# Read by trial. The gate does not take it for an answer in CI.
skip = None
if shutil.which("node") is None or not (INSTALLED / "node_modules").is_dir():
    skip = "node, or what tests/clients/install_node.py installs, is missing"


class NodeAsker(rig.Asker):
    """
    One that a script stands for.
    """

    script: str

    def see(self, what: str, model: str) -> rig.Seen:
        run = subprocess.run(
            ["node", str(INSTALLED / self.script), self.url, what, model],
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        seen: dict[str, Any] = json.loads(run.stdout)
        if what == "call":
            seen["said"] = tuple(seen["said"])
        return rig.Seen(**seen)


class OpenAIAsker(NodeAsker):
    """
    OpenAI's.
    """

    script = "openai.mjs"


class AnthropicAsker(NodeAsker):
    """
    Anthropic's; its API has no embeddings.
    """

    script = "anthropic.mjs"
    embeds = False


class AIAsker(NodeAsker):
    """
    The AI SDK.
    """

    script = "ai.mjs"


class OllamaAsker(NodeAsker):
    """
    Ollama's.
    """

    script = "ollama.mjs"


class OpenAITests(rig.ClientTests):
    """
    `openai`.
    """

    asker = OpenAIAsker


class AnthropicTests(rig.ClientTests):
    """
    `@anthropic-ai/sdk`.
    """

    asker = AnthropicAsker


class AITests(rig.ClientTests):
    """
    `ai` with `@ai-sdk/openai-compatible`.
    """

    asker = AIAsker
    # It takes every 409 for one that passes.
    tries = 3


class OllamaTests(rig.ClientTests):
    """
    `ollama`.
    """

    asker = OllamaAsker
