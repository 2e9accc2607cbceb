"""
Ollama's own client, and LangChain's.
"""

from collections.abc import Iterator
from typing import Any

from langchain_ollama import ChatOllama, OllamaEmbeddings
from ollama import Client

from tests import client_rig as rig


class OllamaAsker(rig.Asker):
    """
    `ollama`.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.client = Client(self.url)

    def chat(self, model: str) -> str:
        return str(self.client.chat(model, messages=rig.MESSAGES).message.content)

    def stream(self, model: str, *images: str) -> Iterator[str]:
        asked: Any = [{**rig.MESSAGES[0], "images": images}]
        for part in self.client.chat(model, messages=asked, stream=True):
            yield part.message.content or ""

    def look(self, model: str) -> Iterator[str]:
        return self.stream(model, rig.PNG)

    def call(self, model: str) -> tuple[str, Any]:
        tools: Any = [{"type": "function", "function": rig.FUNCTION}]
        parts = self.client.chat(model, messages=rig.MESSAGES, tools=tools, stream=True)
        [call] = [call for part in parts for call in part.message.tool_calls or ()]
        return call.function.name, call.function.arguments

    def embed(self, model: str) -> list[float]:
        [_, found] = self.client.embed(model, [rig.QUESTION] * 2).embeddings
        return list(found)


class LangChainAsker(rig.LangChainAsker):
    """
    `langchain-ollama`.
    """

    always_streams = True

    def model(self, model: str) -> Any:
        return ChatOllama(model=model, base_url=self.url)

    def embed(self, model: str) -> list[float]:
        client: Any = OllamaEmbeddings(model=model, base_url=self.url)
        [_, found] = client.embed_documents([rig.QUESTION] * 2)
        return list(found)


class OllamaTests(rig.ClientTests):
    """
    `ollama`.
    """

    asker = OllamaAsker

    async def test_an_image(self) -> None:
        """
        The daemon's own words are seen.
        """
        await self.check_image()


class LangChainTests(rig.ClientTests):
    """
    `langchain-ollama`.
    """

    asker = LangChainAsker
