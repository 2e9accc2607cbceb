"""
Ollama's requests as the daemon's: every field, and what Ollama's own client sends.
"""

import json
from collections.abc import Callable
from math import inf
from typing import Any

import httpx
import ollama
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama import CHAT, EMBED, EMBEDDINGS, GENERATE
from swapgate.api.ollama_requests import OllamaRequest, asked_model, translate
from swapgate.errors import APIError

_NAMES = {"m": "model", "model": "model"}
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}
_HI = [{"role": "user", "content": "hi"}]
_PNG = "iVBORw0KGgoAAAANSUhEUg=="
_IMAGE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{_PNG}"},
}


def asked(path: str, **fields: Any) -> OllamaRequest:
    """
    What is asked for by a body with these fields.
    """
    return translate(path, json.dumps({"model": "m", **fields}).encode(), _NAMES)


def sent(path: str, **fields: Any) -> dict[str, Any]:
    """
    The body for the daemon, but for the model's name.
    """
    body: dict[str, Any] = json.loads(asked(path, **fields).body)
    assert body.pop("model") == "model"
    return body


def chat(**fields: Any) -> dict[str, Any]:
    """
    What these fields of a chat add to the daemon's body.
    """
    body = sent(CHAT, messages=_HI, stream=False, **fields)
    assert body.pop("messages") == _HI
    return body


def by_client(call: Callable[[ollama.Client], object]) -> OllamaRequest:
    """
    What Ollama's own client asks for.
    """
    found = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append(translate(request.url.path, request.content, _NAMES))
        return httpx.Response(500)

    try:
        call(ollama.Client(transport=httpx.MockTransport(answer)))
    except ollama.ResponseError:
        return found[0]
    raise AssertionError("it was not asked")


class AllPathsTests(SynchronousTestCase):
    """
    What all bodies have: model, stream, keep_alive.
    """

    def refused(self, path: str = CHAT, **fields: Any) -> APIError:
        """
        The error of a body with these fields.
        """
        error = self.assertRaises(APIError, asked, path, **fields)
        assert isinstance(error, APIError)
        self.assertEqual(error.status, 400)
        return error

    def test_models(self) -> None:
        """
        `model`, or `name`; the answer repeats what was sent.
        """
        for body in (b'{"model": "m:latest"}', b'{"name": "m:latest", "model": ""}'):
            self.assertEqual(asked_model(body), "m:latest")
            request = translate(CHAT, body, _NAMES)
            self.assertEqual((request.asked, request.model), ("m:latest", "model"))
        for body in (b"{}", b'{"model": ""}', b'{"model": null}'):
            error = self.assertRaises(APIError, asked_model, body)
            self.assertEqual((error.status, error.param), (400, "model"))
        error = self.assertRaises(APIError, translate, CHAT, b'{"model": "x"}', _NAMES)
        self.assertEqual(error.status, 404)

    def test_stream(self) -> None:
        """
        True when absent or null; embeddings never stream.
        """
        for fields, expected in (({}, True), ({"stream": None}, True)):
            self.assertIs(asked(CHAT, messages=_HI, **fields).stream, expected)
        self.assertFalse(asked(CHAT, messages=_HI, stream=False).stream)
        self.assertFalse(asked(EMBED, input="x", stream=True).stream)
        self.assertEqual(sent(CHAT, messages=_HI), {"messages": _HI, **_STREAM})
        self.assertEqual(chat(), {})

    def test_keep_alive(self) -> None:
        """
        Seconds, or a Go duration; what is negative is for ever.
        """
        for value, expected in (
            (None, None),
            ("", None),
            (0, 0),
            ("0", 0),
            ("0s", 0),
            (300, 300),
            (1.5, 1.5),
            ("300", 300),
            ("1.5", 1.5),
            (-1, inf),
            ("-1", inf),
            ("-1m", inf),
            ("5m", 300),
            ("+5m", 300),
            ("1h30m", 5400),
            ("1h1.5s", 3601.5),
            (".5s", 0.5),
            ("2.s", 2),
            ("500ms", 0.5),
        ):
            with self.subTest(value=value):
                self.assertEqual(asked(CHAT, keep_alive=value).keep_alive_s, expected)
        self.assertIsNone(asked(CHAT).keep_alive_s)
        for unit, unit_s in (("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ns", 1e-9)):
            got = asked(CHAT, keep_alive=f"2{unit}").keep_alive_s
            self.assertEqual(got, 2 * unit_s)

    def test_bad_keep_alive(self) -> None:
        """
        Is named, with what would be right.
        """
        for text in ("x", "5 m", "5d", "m", "-", "1.5.s", "--1s", "1e3", "5m ", "٣s"):
            error = self.refused(keep_alive=text)
            self.assertEqual(error.param, "keep_alive")
            self.assertIn('such as "5m", "1h30m" or "-1m"', error.message)
        self.assertIn(
            "1000000 characters", self.refused(keep_alive="1" * 10**6).message
        )
        # After the year 9999 nothing has a date.
        self.assertEqual(asked(CHAT, keep_alive="99999999h").keep_alive_s, inf)
        self.assertEqual(asked(CHAT, keep_alive=1e300).keep_alive_s, inf)

    @given(
        st.lists(
            st.tuples(st.integers(0, 10**5), st.sampled_from(["h", "m", "s", "ms"])),
            min_size=1,
            max_size=6,
        )
    )
    def test_sums(self, parts: list[tuple[int, str]]) -> None:
        """
        A duration is the sum of its parts.
        """
        ms = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
        text = "".join(f"{number}{unit}" for number, unit in parts)
        expected = sum(number * ms[unit] for number, unit in parts) / 1000
        got = asked(CHAT, keep_alive=text).keep_alive_s
        assert got is not None
        self.assertApproximates(got, expected, expected * 1e-9)

    def test_loads_only(self) -> None:
        """
        Nothing to answer: the model is loaded, or with keep_alive 0 unloaded.
        """
        for path, fields in (
            (CHAT, {}),
            (CHAT, {"messages": []}),
            (CHAT, {"messages": None}),
            (GENERATE, {}),
            (GENERATE, {"prompt": "", "system": "s"}),
            (EMBED, {}),
            (EMBED, {"input": []}),
            (EMBED, {"input": ""}),
            (EMBED, {"input": None}),
            (EMBEDDINGS, {"prompt": ""}),
        ):
            with self.subTest(path=path, fields=fields):
                self.assertIsNone(asked(path, **fields).daemon_path)
                self.assertFalse(asked(path, **fields, keep_alive=-1).unloads)
                self.assertTrue(asked(path, **fields, keep_alive="0s").unloads)
        self.assertFalse(asked(CHAT, messages=_HI, keep_alive=0).unloads)

    def test_wrong_types(self) -> None:
        """
        The place, what it is and what it must be.
        """
        for fields, place, right, found in (
            ({"model": 1}, "model", "str", "int"),
            ({"stream": "yes"}, "stream", "bool", "str"),
            ({"keep_alive": True}, "keep_alive", "float | str", "bool"),
            ({"messages": {}}, "messages", "array", "object"),
            ({"messages": [{"role": 1}]}, "messages[0].role", "str", "int"),
            ({"messages": [_HI]}, "messages[0]", "object", "array"),
            (
                {"messages": [{"role": "user", "content": []}]},
                "messages[0].content",
                "str",
                "array",
            ),
            ({"options": []}, "options", "object", "array"),
            ({"options": {"top_k": "1"}}, "options.top_k", "float", "str"),
            ({"options": {"stop": "x"}}, "options.stop", "array", "str"),
            ({"tools": ["x"]}, "tools[0]", "object", "str"),
            ({"format": 1}, "format", "str | object", "int"),
            ({"think": 1}, "think", "bool | str", "int"),
            ({"images": [1]}, "images[0]", "str", "int"),
        ):
            with self.subTest(fields=fields):
                message = self.refused(**fields).message
                self.assertIn(f"Expected `{right}", message)
                self.assertIn(f"got `{found}` - at `$.{place}`", message)
        self.assertIn("`role`", self.refused(messages=[{}]).message)

    def test_too_large(self) -> None:
        """
        It is translated in one go.
        """
        with self.assertRaises(APIError) as raised:
            asked(CHAT, messages=[{"role": "user", "content": "x" * 12 * 2**20}])
        self.assertEqual(raised.exception.status, 413)
        self.assertIn("12 MiB", str(raised.exception))

    def test_too_many_objects(self) -> None:
        """
        Are refused before they are made; a text with many braces is not.
        """
        for item in (b"{}", b"[]"):
            body = b'{"model": "m", "tools": [' + (item + b",") * 200_000 + b"{}]}"
            error = self.assertRaises(APIError, translate, CHAT, body, _NAMES)
            self.assertEqual(error.status, 413)
        self.assertTrue(asked(CHAT, messages=[{"role": "user", "content": "{" * 9**5}]))


class ChatTests(SynchronousTestCase):
    """
    /api/chat.
    """

    def test_options(self) -> None:
        """
        Each by the daemon's name; whole numbers are whole; null is not there.
        """
        same = {
            "temperature": 0.5,
            "top_p": 0.25,
            "min_p": 0.0,
            "typical_p": 1.0,
            "repeat_penalty": 1.1,
            "presence_penalty": -1.0,
            "frequency_penalty": 2.0,
            "mirostat": 2,
            "mirostat_tau": 5.0,
            "mirostat_eta": 0.1,
            "top_k": 40,
            "repeat_last_n": 0,
            "seed": 42,
            "stop": ["a", "b"],
        }
        self.assertEqual(chat(options=same), same)
        others = {"num_predict": 7, "num_keep": 5.9}
        self.assertEqual(chat(options=others), {"max_tokens": 7, "n_keep": 5})
        cut = chat(options={"top_k": 40.9, "seed": 1e3})
        self.assertEqual(json.dumps(cut), '{"top_k": 40, "seed": 1000}')

    def test_ignored_options(self) -> None:
        """
        Null, what belongs to a load, what is unknown; a limit that is none.
        """
        for options in (
            None,
            {},
            {"temperature": None},
            {"num_ctx": 4096, "num_gpu": 1, "use_mmap": True, "numa": "x"},
            {"whatever": [1]},
            {"num_predict": -1},
            {"num_predict": -2},
            {"num_predict": 0},
            {"repeat_last_n": -1},
        ):
            self.assertEqual(chat(options=options), {})

    def test_format(self) -> None:
        """
        "json" is any object, a schema is that, and nothing is text.
        """
        schema = {"type": "object", "properties": {"b": {}, "a": {}}}
        for value, expected in (
            ("json", {"type": "object"}),
            ({}, {"type": "object"}),
            (schema, schema),
        ):
            wanted = {"name": "answer", "schema": expected}
            self.assertEqual(
                chat(format=value),
                {"response_format": {"type": "json_schema", "json_schema": wanted}},
            )
        for absent in (None, ""):
            self.assertEqual(chat(format=absent), {})
        error = self.assertRaises(APIError, chat, format="xml")
        self.assertEqual((error.status, error.param), (400, "format"))
        self.assertEqual(
            error.message, 'format is "xml"; it must be "json" or a JSON schema'
        )

    def test_think(self) -> None:
        """
        On, off, or how much.
        """
        for value, expected in (
            (True, {"enable_thinking": True}),
            (False, {"enable_thinking": False}),
            ("low", {"enable_thinking": True, "reasoning_effort": "low"}),
        ):
            self.assertEqual(chat(think=value), {"chat_template_kwargs": expected})
        for absent in (None, ""):
            self.assertEqual(chat(think=absent), {})

    def test_tools(self) -> None:
        """
        Pass as they are; the type may be left out.
        """
        tool = {"function": {"name": "f", "parameters": {"type": "object"}}}
        expected = [{"type": "function", **tool}]
        self.assertEqual(chat(tools=[tool]), {"tools": expected})
        self.assertEqual(chat(tools=expected), {"tools": expected})
        self.assertEqual(chat(tools=[]), {})


class GenerateTests(SynchronousTestCase):
    """
    /api/generate.
    """

    def test_a_chat(self) -> None:
        """
        The model's template is applied, as in a chat.
        """
        request = asked(GENERATE, prompt="p")
        self.assertEqual(request.daemon_path, "/v1/chat/completions")
        user = {"role": "user", "content": "p"}
        self.assertEqual(sent(GENERATE, prompt="p"), {"messages": [user], **_STREAM})
        system = {"role": "system", "content": "s"}
        got = sent(
            GENERATE,
            prompt="p",
            system="s",
            images=[_PNG],
            template="",
            context=[1, 2],
            options={"seed": 1},
            think=False,
        )
        parts = [{"type": "text", "text": "p"}, _IMAGE]
        self.assertEqual(
            got,
            {
                "messages": [system, {"role": "user", "content": parts}],
                "seed": 1,
                "chat_template_kwargs": {"enable_thinking": False},
                **_STREAM,
            },
        )

    def test_raw(self) -> None:
        """
        A completion of the prompt as it is.
        """
        fields = {"prompt": "p", "raw": True, "suffix": "s", "options": {"top_k": 1}}
        self.assertEqual(asked(GENERATE, **fields).daemon_path, "/v1/completions")
        self.assertEqual(
            sent(GENERATE, **fields, format="json"),
            {"prompt": "p", "top_k": 1, "json_schema": {"type": "object"}, **_STREAM},
        )

    def test_suffix(self) -> None:
        """
        Fills in, which llama-server does on a path of its own.
        """
        fields = {"prompt": "p", "suffix": "s", "stream": False}
        self.assertEqual(asked(GENERATE, **fields).daemon_path, "/infill")
        expected = {"input_prefix": "p", "input_suffix": "s"}
        self.assertEqual(sent(GENERATE, **fields), expected)

    def test_what_cannot_be(self) -> None:
        """
        Another template, and images in a raw prompt.
        """
        for param, fields in (
            ("template", {"template": "{{ .Prompt }}"}),
            ("images", {"images": [_PNG], "raw": True}),
            ("images", {"images": [_PNG], "suffix": "s"}),
            ("images[0]", {"images": ["x"]}),
        ):
            error = self.assertRaises(APIError, asked, GENERATE, prompt="p", **fields)
            self.assertEqual((error.status, error.param), (400, param))


class EmbedTests(SynchronousTestCase):
    """
    /api/embed and /api/embeddings.
    """

    def test_embed(self) -> None:
        """
        One text or many; how many dimensions is for the answer.
        """
        for texts in ("a", ["a", "b"]):
            request = asked(EMBED, input=texts, dimensions=4, truncate=True)
            self.assertEqual(request.daemon_path, "/v1/embeddings")
            self.assertEqual(request.dimensions, 4)
            self.assertEqual(
                sent(EMBED, input=texts, dimensions=4),
                {"input": texts, "encoding_format": "float"},
            )

    def test_no_texts(self) -> None:
        """
        Are refused; what an array holds is for the daemon to judge.
        """
        for value in (1, True, {"a": 1}):
            error = self.assertRaises(APIError, asked, EMBED, input=value)
            self.assertEqual((error.status, error.param), (400, "input"))

    def test_embeddings(self) -> None:
        """
        The older path has a prompt.
        """
        request = asked(EMBEDDINGS, prompt="a", input="b", dimensions=4)
        self.assertIsNone(request.dimensions)
        self.assertEqual(
            sent(EMBEDDINGS, prompt="a"), {"input": "a", "encoding_format": "float"}
        )


class OwnClientTests(SynchronousTestCase):
    """
    What Ollama's own client sends for typical calls.
    """

    def test_chat(self) -> None:
        """
        Messages, tools made of a function, options, a schema, an image.
        """

        def weather(city: str) -> str:
            """
            Tell the weather.

            Args:
              city: where
            """
            return city

        request = by_client(
            lambda client: client.chat(
                "m:latest",
                [
                    {"role": "user", "content": "see", "images": [_PNG]},
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "function": {
                                    "name": "weather",
                                    "arguments": {"city": "x"},
                                }
                            }
                        ],
                    },
                    {"role": "tool", "content": "sun", "tool_name": "weather"},
                ],
                tools=[weather],
                options={"temperature": 0, "num_ctx": 8},
                format={"type": "object"},
                keep_alive="5m",
                think="low",
            )
        )
        self.assertFalse(request.stream)
        self.assertEqual(request.keep_alive_s, 300)
        body = json.loads(request.body)
        user, assistant, tool = body["messages"]
        self.assertEqual(user["content"][1], _IMAGE)
        ident = assistant["tool_calls"][0]["id"]
        self.assertEqual((tool["tool_call_id"], tool["name"]), (ident, "weather"))
        self.assertEqual(body["tools"][0]["function"]["name"], "weather")
        self.assertEqual(body["temperature"], 0)
        self.assertNotIn("num_ctx", body)

    def test_the_others(self) -> None:
        """
        Generate and both kinds of embeddings; a stream is one only when asked for.
        """
        request = by_client(lambda c: c.generate("m", "p", suffix="s", raw=False))
        self.assertEqual((request.daemon_path, request.stream), ("/infill", False))
        request = by_client(lambda c: list(c.generate("m", "p", stream=True)))
        self.assertTrue(request.stream)
        request = by_client(lambda c: c.generate("m", keep_alive=0))
        self.assertTrue(request.unloads)
        request = by_client(lambda c: c.embed("m", ["a", "b"], dimensions=2))
        self.assertEqual((request.path, request.dimensions), (EMBED, 2))
        request = by_client(lambda c: c.embeddings("m", "a"))
        self.assertEqual(json.loads(request.body)["input"], "a")
