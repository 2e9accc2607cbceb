"""
Ollama's API: the messages of a conversation, translated to OpenAI's. Pure.

1. Images stand beside the text and have no type; OpenAI's are parts of the content, as
   data URLs.
2. A tool's call has its arguments as an object, and often no id; its result names the
   tool. OpenAI's arguments are text, and an id ties a result to its call.
"""

import binascii
import re
from collections import defaultdict, deque
from itertools import count
from typing import Any, Final

import msgspec
from attrs import define, field
from msgspec import Struct

from swapgate.api.ollama import wrong

# By an image's first twelve bytes.
_MEDIA_TYPES: Final = {
    "image/png": re.compile(rb"\x89PNG"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/bmp": re.compile(rb"BM"),
}
# Of one message; each becomes an object.
_MOST_IMAGES: Final = 100


class _Function(Struct):
    name: str
    arguments: dict[str, Any] | None = None


class _ToolCall(Struct):
    function: _Function
    id: str | None = None


class Message(Struct):
    """
    A message as Ollama has it.
    """

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


@define
class _OpenCalls:
    """
    The calls whose results have not come, by the tool's name; under None are all.

    One that is found under its name is still among all, and is passed over there.
    """

    _queues: defaultdict[str | None, deque[dict[str, Any]]] = field(
        factory=lambda: defaultdict(deque)
    )
    _answered: set[int] = field(factory=set)

    def add(self, calls: list[dict[str, Any]]) -> None:
        for call in calls:
            self._queues[None].append(call)
            self._queues[call["function"]["name"]].append(call)

    def answer(self, name: str | None) -> str:
        """
        The id of the call that a result of this tool answers: the first of its name,
        or of all where none has it.
        """
        for queue in (self._queues[name], self._queues[None]):
            while queue:
                call = queue.popleft()
                if id(call) not in self._answered:
                    self._answered.add(id(call))
                    return str(call["id"])
        return "call00000"


def translate_messages(messages: list[Message]) -> list[dict[str, Any]]:
    """
    A conversation, in which tool calls and their results have one id.
    """
    numbers = count(1)
    open_calls = _OpenCalls()
    translated = []
    for place, message in enumerate(messages):
        content = content_of(
            message.content or "", message.images, f"messages[{place}].images"
        )
        fields: dict[str, Any] = {"role": message.role, "content": content}
        if message.thinking:
            fields["reasoning_content"] = message.thinking
        if message.tool_calls:
            calls = [_tool_call(call, next(numbers)) for call in message.tool_calls]
            fields["tool_calls"] = calls
            open_calls.add(calls)
        if message.role == "tool":
            ident = message.tool_call_id or open_calls.answer(message.tool_name)
            fields["tool_call_id"] = ident
            if message.tool_name:
                fields["name"] = message.tool_name
        translated.append(fields)
    return translated


def content_of(
    text: str, images: list[str] | None, param: str
) -> str | list[dict[str, Any]]:
    """
    Text and images as the content of one message.

    :param images: in base64.
    :param param: what the images are called in an error.
    """
    if not images:
        return text
    if len(images) > _MOST_IMAGES:
        raise wrong(param, f"are more than {_MOST_IMAGES}")
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    for place, image in enumerate(images):
        url = f"data:{_media_type(image, f'{param}[{place}]')};base64,{image}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _media_type(image: str, param: str) -> str:
    try:
        head = binascii.a2b_base64(image[:16].encode())
    except binascii.Error:
        head = b""
    for media_type, magic in _MEDIA_TYPES.items():
        if magic.match(head):
            return media_type
    raise wrong(param, "must be a PNG, JPEG, GIF, WebP or BMP image in base64")


def _tool_call(call: _ToolCall, number: int) -> dict[str, Any]:
    arguments = msgspec.json.encode(call.function.arguments or {}).decode()
    return {
        # Some models' templates insist on nine letters and digits.
        "id": call.id or f"call{number:05}",
        "type": "function",
        "function": {"name": call.function.name, "arguments": arguments},
    }
