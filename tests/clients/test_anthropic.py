"""
Anthropic's own client.
"""

from collections.abc import Iterator
from typing import Any

from anthropic import Anthropic

from tests import client_rig as rig

_ASKED: Any = {"max_tokens": 100, "messages": rig.MESSAGES}
_TOOL: Any = {
    "name": rig.FUNCTION["name"],
    "description": rig.FUNCTION["description"],
    "input_schema": rig.FUNCTION["parameters"],
}


class AnthropicAsker(rig.Asker):
    """
    `anthropic`; its API has no embeddings.
    """

    embeds = False

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.client = Anthropic(base_url=self.url, api_key="none")

    def chat(self, model: str) -> str:
        [block] = self.client.messages.create(model=model, **_ASKED).content
        return str(block.text)

    def stream(self, model: str) -> Iterator[str]:
        with self.client.messages.stream(model=model, **_ASKED) as stream:
            yield from stream.text_stream

    def call(self, model: str) -> tuple[str, Any]:
        with self.client.messages.stream(
            model=model, tools=[_TOOL], **_ASKED
        ) as stream:
            [block] = stream.get_final_message().content
        return block.name, block.input


class AnthropicTests(rig.ClientTests):
    """
    `anthropic`.
    """

    asker = AnthropicAsker
