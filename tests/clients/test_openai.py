"""
OpenAI's own client, of both its APIs, and LangChain's.
"""

import json
from collections.abc import Iterator
from typing import Any

from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import OpenAI

from tests import client_rig as rig


class OpenAIAsker(rig.Asker):
    """
    `openai`, with its chats.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none")

    def chat(self, model: str) -> str:
        found = self.client.chat.completions.create(model=model, messages=rig.MESSAGES)
        return str(found.choices[0].message.content)

    def stream(self, model: str, messages: Any = rig.MESSAGES) -> Iterator[str]:
        chunks = self.client.chat.completions.create(
            model=model, messages=messages, stream=True
        )
        for chunk in chunks:
            yield chunk.choices[0].delta.content or ""

    def look(self, model: str) -> Iterator[str]:
        image = {"url": f"data:image/png;base64,{rig.PNG}"}
        content = [{"type": "image_url", "image_url": image}]
        return self.stream(model, [{"role": "user", "content": content}])

    def call(self, model: str) -> tuple[str, Any]:
        tools: Any = [{"type": "function", "function": rig.FUNCTION}]
        with self.client.chat.completions.stream(
            model=model, messages=rig.MESSAGES, tools=tools
        ) as stream:
            [call] = stream.get_final_completion().choices[0].message.tool_calls or []
        return call.function.name, json.loads(call.function.arguments)

    def embed(self, model: str) -> list[float]:
        found = self.client.embeddings.create(model=model, input=[rig.QUESTION] * 2)
        return found.data[1].embedding


class ResponsesAsker(rig.Asker):
    """
    `openai`, with its responses; embeddings are no part of them.
    """

    embeds = False

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none")

    def chat(self, model: str) -> str:
        found = self.client.responses.create(model=model, input=rig.QUESTION)
        return found.output_text

    def stream(self, model: str) -> Iterator[str]:
        events = self.client.responses.create(
            model=model, input=rig.QUESTION, stream=True
        )
        for event in events:
            if event.type == "response.output_text.delta":
                yield event.delta

    def call(self, model: str) -> tuple[str, Any]:
        tools: Any = [{"type": "function", "strict": True, **rig.FUNCTION}]
        with self.client.responses.stream(
            model=model, input=rig.QUESTION, tools=tools
        ) as stream:
            [call] = stream.get_final_response().output
        assert call.type == "function_call"
        return call.name, json.loads(call.arguments)


class LangChainAsker(rig.LangChainAsker):
    """
    `langchain-openai`.
    """

    def model(self, model: str) -> Any:
        url = f"{self.url}/v1"
        return ChatOpenAI(model=model, base_url=url, api_key="none")

    def embed(self, model: str) -> list[float]:
        client: Any = OpenAIEmbeddings(
            model=model,
            base_url=f"{self.url}/v1",
            api_key="none",
            # It would count tokens with a table that it fetches.
            check_embedding_ctx_length=False,
        )
        [_, found] = client.embed_documents([rig.QUESTION] * 2)
        return list(found)


class OpenAITests(rig.ClientTests):
    """
    `openai`, with its chats.
    """

    asker = OpenAIAsker

    async def test_an_image(self) -> None:
        """
        The daemon's own words are seen.
        """
        await self.check_image()


class ResponsesTests(rig.ClientTests):
    """
    `openai`, with its responses.
    """

    asker = ResponsesAsker


class LangChainTests(rig.ClientTests):
    """
    `langchain-openai`.
    """

    asker = LangChainAsker
