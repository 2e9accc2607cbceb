"""
LiteLLM, by OpenAI's API and by Ollama's.
"""

import json
from collections.abc import Iterator
from typing import Any

import litellm

from tests import client_rig as rig

# It advertises at every error.
litellm.suppress_debug_info = True


class OpenAIAsker(rig.Asker):
    """
    Its kind `openai`.
    """

    kind = embedding_kind = "openai"
    base = "/v1"

    def complete(self, model: str, **more: Any) -> Any:
        return litellm.completion(
            model=f"{self.kind}/{model}",
            api_base=self.url + self.base,
            api_key="none",
            messages=rig.MESSAGES,
            **more,
        )

    def chat(self, model: str) -> str:
        return str(self.complete(model).choices[0].message.content)

    def stream(self, model: str) -> Iterator[str]:
        for chunk in self.complete(model, stream=True):
            yield chunk.choices[0].delta.content or ""

    def call(self, model: str) -> tuple[str, Any]:
        tools = [{"type": "function", "function": rig.FUNCTION}]
        found = self.complete(model, tools=tools)
        [call] = found.choices[0].message.tool_calls
        return call.function.name, json.loads(call.function.arguments)

    def embed(self, model: str) -> list[float]:
        found: Any = litellm.embedding(
            model=f"{self.embedding_kind}/{model}",
            api_base=self.url + self.base,
            api_key="none",
            input=[rig.QUESTION] * 2,
        )
        return list(found.data[1]["embedding"])


class OllamaAsker(OpenAIAsker):
    """
    Its kind `ollama_chat`, with the embeddings of `ollama`.
    """

    kind, embedding_kind = "ollama_chat", "ollama"
    base = ""


class OpenAITests(rig.ClientTests):
    """
    Its kind `openai`.
    """

    asker = OpenAIAsker


class OllamaTests(rig.ClientTests):
    """
    Its kind `ollama_chat`.
    """

    asker = OllamaAsker
