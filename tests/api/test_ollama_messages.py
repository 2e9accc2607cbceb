"""
Ollama's messages as OpenAI's: images, tool calls and their results.
"""

import base64
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama_messages import Message, content_of, translate_messages
from swapgate.errors import APIError

_HEADS = {
    "png": b"\x89PNG\r\n\x1a\n0000IHDR",
    "jpeg": b"\xff\xd8\xff\xe000JFIF00000",
    "gif": b"GIF89a0000000000",
    "webp": b"RIFF0000WEBPVP8 ",
    "bmp": b"BM00000000000000",
}


def translated(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """
    What becomes of these messages.
    """
    return translate_messages(msgspec.convert(messages, list[Message]))


def call(name: str, ident: str | None = None, **arguments: object) -> dict[str, Any]:
    """
    A tool call as Ollama has it.
    """
    found = {"function": {"name": name, "arguments": arguments}}
    return found | ({"id": ident} if ident else {})


def called(name: str, ident: str, arguments: str = "{}") -> dict[str, Any]:
    """
    A tool call as OpenAI has it.
    """
    function = {"name": name, "arguments": arguments}
    return {"id": ident, "type": "function", "function": function}


class ImageTests(SynchronousTestCase):
    """
    Images become data URLs.
    """

    def test_types(self) -> None:
        """
        By the magic bytes; the base64 is passed as it was sent.
        """
        for kind, head in _HEADS.items():
            image = base64.b64encode(head + b"\0\1\2").decode()
            url = {"url": f"data:image/{kind};base64,{image}"}
            self.assertEqual(
                content_of("see", [image], "images"),
                [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": url},
                ],
            )
            self.assertEqual(
                content_of("", [image], "images"),
                [{"type": "image_url", "image_url": url}],
            )

    def test_too_many(self) -> None:
        """
        Each becomes an object, ten times as large as the smallest.
        """
        self.assertEqual(len(content_of("", ["Qk0="] * 100, "images")), 100)
        with self.assertRaises(APIError) as raised:
            content_of("", ["Qk0="] * 101, "images")
        self.assertIn("more than 100", str(raised.exception))

    def test_no_image(self) -> None:
        """
        Is refused by its place: a daemon would answer 500.
        """
        good = base64.b64encode(_HEADS["png"]).decode()
        wave = base64.b64encode(b"RIFF0000WAVEfmt ").decode()
        for bad in ("", "A", "....", "ü", wave, "data:image/png;base64," + good):
            message = {"role": "user", "images": [good, bad]}
            error = self.assertRaises(
                APIError, translated, {"role": "user", "content": "x"}, message
            )
            self.assertEqual(error.param, "messages[1].images[1]")
            self.assertIn("must be a PNG, JPEG, GIF, WebP or BMP", error.message)

    def test_none(self) -> None:
        """
        Text alone stays text, as templates of text models want it.
        """
        self.assertEqual(content_of("see", [], "images"), "see")
        self.assertEqual(content_of("see", None, "images"), "see")


class ConversationTests(SynchronousTestCase):
    """
    Roles, thoughts and tools.
    """

    def test_plain(self) -> None:
        """
        Roles pass as they are, content may be null, thoughts are reasoning.
        """
        self.assertEqual(
            translated(
                {"role": "system", "content": "s"},
                {"role": "user", "content": "u", "images": []},
                {"role": "assistant", "content": None, "thinking": "t"},
            ),
            [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "", "reasoning_content": "t"},
            ],
        )

    def test_calls_and_results(self) -> None:
        """
        A result belongs to the first open call of its tool; ids are unlike.
        """
        got = translated(
            {"role": "assistant", "tool_calls": [call("a", x=1), call("b")]},
            {"role": "tool", "content": "1", "tool_name": "b"},
            {"role": "tool", "content": "2", "tool_name": "a"},
            {"role": "assistant", "tool_calls": [call("a", y="ü"), call("a", z=[2])]},
            {"role": "tool", "content": "3"},
            {"role": "tool", "content": "4", "tool_name": "renamed"},
            {"role": "tool", "content": "5"},
        )
        tool = {"role": "tool"}
        self.assertEqual(
            got,
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        called("a", "call00001", '{"x":1}'),
                        called("b", "call00002"),
                    ],
                },
                {**tool, "content": "1", "tool_call_id": "call00002", "name": "b"},
                {**tool, "content": "2", "tool_call_id": "call00001", "name": "a"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        called("a", "call00003", '{"y":"ü"}'),
                        called("a", "call00004", '{"z":[2]}'),
                    ],
                },
                {**tool, "content": "3", "tool_call_id": "call00003"},
                {
                    **tool,
                    "content": "4",
                    "tool_call_id": "call00004",
                    "name": "renamed",
                },
                {**tool, "content": "5", "tool_call_id": "call00000"},
            ],
        )

    def test_ids_of_the_client(self) -> None:
        """
        Are kept, with or without one in the result.
        """
        got = translated(
            {"role": "assistant", "tool_calls": [call("a", "x"), call("a", "y")]},
            {"role": "tool", "tool_call_id": "y", "tool_name": "a"},
            {"role": "tool", "tool_name": "a"},
        )
        self.assertEqual([each.get("tool_call_id") for each in got], [None, "y", "x"])

    def test_many_calls(self) -> None:
        """
        Take a time that grows with their number alone.
        """
        calls = [call("a") for _ in range(50_000)]
        results = [{"role": "tool", "tool_name": "b"} for _ in calls]
        got = translated({"role": "assistant", "tool_calls": calls}, *results)
        self.assertEqual(got[-1]["tool_call_id"], "call50000")

    def test_a_call_without_arguments(self) -> None:
        """
        Has none.
        """
        for function in ({"name": "a"}, {"name": "a", "arguments": None}):
            got = translated(
                {"role": "assistant", "tool_calls": [{"function": function}]}
            )
            self.assertEqual(got[0]["tool_calls"], [called("a", "call00001")])
