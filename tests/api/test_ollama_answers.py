"""
Ollama's answers: lines and bodies, by value and as Ollama's own client reads them.
"""

import json
from collections.abc import Iterable
from math import hypot
from typing import Any

import httpx
import ollama
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama import CHAT, EMBED, EMBEDDINGS, GENERATE
from swapgate.api.ollama_answers import OllamaAnswer, embeddings, loaded
from swapgate.api.ollama_chunks import Times
from swapgate.api.ollama_requests import OllamaRequest, translate
from swapgate.errors import APIError

_AT = "2025-11-26T09:00:00.000000Z"
_TIMES = Times(0.5, 2.0)
_HEAD = {"model": "m:latest", "created_at": _AT}
_TIMINGS = {"prompt_n": 5, "prompt_ms": 10, "predicted_n": 3, "predicted_ms": 30}
_COUNTS = {
    "total_duration": 2_000_000_000,
    "load_duration": 500_000_000,
    "prompt_eval_count": 5,
    "prompt_eval_duration": 10_000_000,
    "eval_count": 3,
    "eval_duration": 30_000_000,
}
_FIRST = {"delta": {"role": "assistant", "content": None}}
_CALL = {"index": 0, "id": "i", "function": {"name": "f", "arguments": '{"a": [1]}'}}


def asked(path: str, **fields: Any) -> OllamaRequest:
    """
    A request with these fields.
    """
    body = json.dumps({"model": "m:latest", **fields}).encode()
    return translate(path, body, {"m": "m"})


def answering(path: str = CHAT) -> OllamaAnswer:
    """
    The answer to a request to this path.
    """
    return OllamaAnswer(asked(path), _AT)


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    """
    The data of an event with these choices.
    """
    return json.dumps({"choices": choices, **more}).encode()


def lines(data: bytes) -> list[Any]:
    """
    The objects of whole lines.
    """
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def streamed(answer: OllamaAnswer, events: Iterable[bytes]) -> list[Any]:
    """
    All lines of a stream.
    """
    return lines(b"".join(map(answer.feed, events)) + answer.finish(_TIMES))


class StreamTests(SynchronousTestCase):
    """
    Events in, lines out.
    """

    def test_a_chat(self) -> None:
        """
        A line for each event that says something, and one at the end.
        """
        answer = answering()
        got = streamed(
            answer,
            [
                event(_FIRST),
                event({"delta": {"reasoning_content": "hm"}}),
                event({"delta": {"content": "Pa\nris ü"}}),
                event({"delta": {}, "finish_reason": "stop"}),
                event(usage={"prompt_tokens": 5}, timings=_TIMINGS),
                b"[DONE]",
            ],
        )
        message = {"role": "assistant", "content": ""}
        self.assertEqual(
            got,
            [
                {**_HEAD, "message": {**message, "thinking": "hm"}, "done": False},
                {
                    **_HEAD,
                    "message": {**message, "content": "Pa\nris ü"},
                    "done": False,
                },
                {
                    **_HEAD,
                    "message": message,
                    "done": True,
                    "done_reason": "stop",
                    **_COUNTS,
                },
            ],
        )
        self.assertTrue(answer.ended)
        self.assertIsNone(answer.error)

    def test_generate(self) -> None:
        """
        The text is `response`, whether the daemon was asked for a chat or not.
        """
        for events in (
            [event({"delta": {"content": "a", "reasoning_content": "t"}})],
            [event({"delta": {"reasoning_content": "t"}}), event({"text": "a"})],
        ):
            got = streamed(answering(GENERATE), [*events, b"[DONE]"])
            self.assertEqual("".join(each["response"] for each in got), "a")
            self.assertEqual("".join(each.get("thinking", "") for each in got), "t")
            self.assertNotIn("message", got[0])
        last = {"content": "", "stop_type": "limit", "timings": _TIMINGS}
        infill = [b'{"content": "a", "stop_type": "none"}', json.dumps(last).encode()]
        self.assertEqual(
            streamed(answering(GENERATE), infill),
            [
                {**_HEAD, "response": "a", "done": False},
                {
                    **_HEAD,
                    "response": "",
                    "done": True,
                    "done_reason": "length",
                    **_COUNTS,
                },
            ],
        )

    def test_reasons(self) -> None:
        """
        Ollama says stop also after tool calls.
        """
        for reason, expected in (
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "stop"),
            ("content_filter", "content_filter"),
        ):
            got = streamed(answering(), [event({"delta": {}, "finish_reason": reason})])
            self.assertEqual([each["done_reason"] for each in got], [expected])

    def test_tool_calls(self) -> None:
        """
        Leave whole, on a line before the last, whether the reason came or not.
        """
        function = {"index": 0, "name": "f", "arguments": {"a": [1]}}
        calls = [{"id": "i", "function": function}]
        message = {"role": "assistant", "content": "", "tool_calls": calls}
        end = event({"delta": {}, "finish_reason": "tool_calls"})
        for events in ([end, event(usage={})], [b"[DONE] "]):
            first = event({"delta": {"tool_calls": [_CALL]}})
            got = streamed(answering(), [first, *events])
            self.assertEqual(got[0], {**_HEAD, "message": message, "done": False})
            self.assertEqual([each["done"] for each in got], [False, True])

    def test_an_end_without_a_word(self) -> None:
        """
        Is none: the last line would be the gateway's own claim, and a call, too.
        """
        for events in ([], [event({"delta": {"tool_calls": [_CALL]}})]):
            answer = answering()
            *_, last = streamed(answer, events)
            self.assertIn("without saying that it was over", last["error"])

    def test_calls_without_an_index(self) -> None:
        """
        A new id begins a new one.
        """
        calls = [
            {"id": name, "function": {"name": name, "arguments": "{}"}}
            for name in ("f", "g")
        ]
        events = [event({"delta": {"tool_calls": [call]}}) for call in calls]
        got = streamed(answering(), [*events, b"[DONE]"])
        told = [each["function"]["name"] for each in got[0]["message"]["tool_calls"]]
        self.assertEqual(told, ["f", "g"])

    def test_a_call_of_which_only_the_name_came(self) -> None:
        """
        It is given without arguments only where the answer was not cut.
        """
        call = {"id": "i", "function": {"name": "f"}}
        for reason, fine in (("tool_calls", True), ("length", False)):
            said = {"delta": {"tool_calls": [call]}, "finish_reason": reason}
            got = streamed(answering(), [event(said)])
            self.assertEqual("error" not in got[-1], fine)

    def test_line_ends(self) -> None:
        """
        No line has a character in it at which a reader may end it.
        """
        text = "a\u0085b\u2028c\u2029d"
        line = answering().line(text)
        self.assertEqual(line.decode().splitlines(), [line.decode().rstrip("\n")])
        self.assertEqual(json.loads(line)["message"]["content"], text)

    def test_a_call_that_was_cut_off(self) -> None:
        """
        Is an error; what came with it was said before.
        """
        call = {"function": {"name": "f", "arguments": "{"}}
        first = {"delta": {"content": "a", "tool_calls": [call]}}
        for events in (
            [event({**first, "finish_reason": "length"})],
            [event(first), b"[DONE]"],
        ):
            answer = answering()
            got = streamed(answer, events)
            self.assertEqual(got[0]["message"]["content"], "a")
            self.assertEqual(list(got[1]), ["error"])
            self.assertEqual(len(got), 2)
            assert answer.error is not None
            self.assertEqual(answer.error.status, 502)

    def test_an_error_in_the_middle(self) -> None:
        """
        Is the last line, as text; nothing comes after it.
        """
        for data, expected in (
            (b'{"error": {"message": "no slot"}}', "no slot"),
            (b'{"error": "no slot"}', "no slot"),
            (b"nonsense", "the model's daemon sent what is no answer"),
        ):
            answer = answering()
            events = [event({"delta": {"content": "a"}}), data, event({"text": "b"})]
            got = streamed(answer, [*events, b"[DONE]"])
            self.assertEqual(len(got), 2)
            self.assertTrue(got[1]["error"].startswith(expected))
            self.assertTrue(answer.ended)
            self.assertIsNotNone(answer.error)

    def test_a_held_stream(self) -> None:
        """
        Is kept alive by lines that add nothing, or a thought.
        """
        for path in (CHAT, GENERATE):
            answer = answering(path)
            [empty, thought] = lines(answer.line() + answer.line(thinking="loading"))
            self.assertFalse(empty["done"])
            said = empty["message"]["content"] if path == CHAT else empty["response"]
            self.assertEqual(said, "")
            holder = thought["message"] if path == CHAT else thought
            self.assertEqual(holder["thinking"], "loading")
        answer = answering()
        error = APIError(status=409, code="c", message="it did not load")
        self.assertEqual(lines(answer.fail(error)), [{"error": "it did not load"}])
        self.assertEqual(answer.feed(b"[DONE]"), b"")

    @given(st.lists(st.text()))
    def test_text(self, texts: list[str]) -> None:
        """
        Whatever is said arrives, a line for each event that says something.
        """
        events = [event({"delta": {"content": text}}) for text in texts]
        answer = answering()
        fed = [answer.feed(each) for each in events]
        self.assertEqual([each.count(b"\n") for each in fed], [*map(bool, texts)])
        said = [each["message"]["content"] for each in lines(b"".join(fed))]
        self.assertEqual("".join(said), "".join(texts))


class WholeTests(SynchronousTestCase):
    """
    Answers that are no stream.
    """

    def test_a_chat(self) -> None:
        """
        One object, with all that the last line of a stream has.
        """
        message = {"role": "assistant", "content": "a", "reasoning_content": "t"}
        body = event(
            {"message": {**message, "tool_calls": [_CALL]}, "finish_reason": "stop"},
            timings=_TIMINGS,
        )
        [got] = lines(answering().whole(body, _TIMES))
        function = {"index": 0, "name": "f", "arguments": {"a": [1]}}
        self.assertEqual(
            got,
            {
                **_HEAD,
                "message": {
                    "role": "assistant",
                    "content": "a",
                    "thinking": "t",
                    "tool_calls": [{"id": "i", "function": function}],
                },
                "done": True,
                "done_reason": "stop",
                **_COUNTS,
            },
        )

    def test_generate(self) -> None:
        """
        Of a completion and of an infill.
        """
        for body in (event({"text": "a"}), b'{"content": "a", "stop_type": "eos"}'):
            [got] = lines(answering(GENERATE).whole(body, _TIMES))
            self.assertEqual((got["response"], got["done"]), ("a", True))

    def test_errors(self) -> None:
        """
        Are raised: the status is free yet.
        """
        call = {"function": {"name": "f", "arguments": "{"}}
        for body in (
            b"",
            b'{"error": "x"}',
            event({"message": {"tool_calls": [call]}}),
        ):
            with self.assertRaises(APIError):
                answering().whole(body, _TIMES)

    def test_loaded(self) -> None:
        """
        Of a request that only loads, or unloads.
        """
        for fields, expected in (({}, "load"), ({"keep_alive": 0}, "unload")):
            for path in (CHAT, GENERATE):
                [got] = lines(loaded(asked(path, **fields), _AT, _TIMES))
                self.assertEqual((got["done"], got["done_reason"]), (True, expected))
        [got] = lines(loaded(asked(EMBED), _AT, _TIMES))
        self.assertEqual((got["model"], got["embeddings"]), ("m:latest", []))
        [got] = lines(loaded(asked(EMBEDDINGS), _AT, _TIMES))
        self.assertEqual(got, {"embedding": []})


class EmbeddingTests(SynchronousTestCase):
    """
    Both shapes.
    """

    def body(self, *vectors: list[float]) -> bytes:
        """
        The daemon's answer, in another order.
        """
        data = [{"index": n, "embedding": each} for n, each in enumerate(vectors)]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        return json.dumps({"data": data[::-1], "usage": usage}).encode()

    def test_shapes(self) -> None:
        """
        In the order of the texts, number for number.
        """
        first, second = [0.1, -1e-20, 1 / 3], [1.0, 2.0, 3.0]
        body = self.body(first, second)
        [got] = lines(embeddings(asked(EMBED), body, _TIMES))
        self.assertEqual(
            got,
            {
                "model": "m:latest",
                "embeddings": [first, second],
                "total_duration": 2_000_000_000,
                "load_duration": 500_000_000,
                "prompt_eval_count": 7,
            },
        )
        [got] = lines(embeddings(asked(EMBEDDINGS), body, _TIMES))
        self.assertEqual(got, {"embedding": first})

    def test_dimensions(self) -> None:
        """
        The first ones, of length 1; not where there are no more.
        """
        whole = [3.0, 4.0, 12.0]
        for dimensions, expected in (
            (2, [0.6, 0.8]),
            (3, whole),
            (4, whole),
            (0, whole),
            (-1, whole),
        ):
            request = asked(EMBED, dimensions=dimensions)
            [got] = lines(embeddings(request, self.body(whole), _TIMES))
            self.assertEqual(got["embeddings"], [expected])
            self.assertLessEqual(hypot(*expected[:2]), 5)
        [got] = lines(
            embeddings(asked(EMBED, dimensions=1), self.body([0.0, 1.0]), _TIMES)
        )
        self.assertEqual(got["embeddings"], [[0.0]])

    def test_nonsense(self) -> None:
        """
        Is a 502, as vectors for each token are.
        """
        for body in (b"", b"{}", self.body([[1.0]])):  # type: ignore[list-item]
            with self.assertRaises(APIError) as caught:
                embeddings(asked(EMBED), body, _TIMES)
            self.assertEqual(caught.exception.status, 502)


class OwnClientTests(SynchronousTestCase):
    """
    Ollama's own client, with the translation in the place of its server.
    """

    def client(self, *events: bytes, held: int = 0) -> ollama.Client:
        """
        :param events: what the daemon says.
        :param held: how many lines keep it alive before that.
        """

        def answer(asking: httpx.Request) -> httpx.Response:
            request = translate(asking.url.path, asking.content, {"m": "m"})
            if request.daemon_path is None:
                return httpx.Response(200, content=loaded(request, _AT, _TIMES))
            if request.daemon_path == "/v1/embeddings":
                body = embeddings(request, events[0], _TIMES)
                return httpx.Response(200, content=body)
            out = OllamaAnswer(request, _AT)
            if not request.stream:
                return httpx.Response(200, content=out.whole(events[0], _TIMES))
            said = [*[out.line()] * held, *map(out.feed, events), out.finish(_TIMES)]
            return httpx.Response(200, content=b"".join(said))

        return ollama.Client(transport=httpx.MockTransport(answer))

    def test_a_stream(self) -> None:
        """
        Text, a tool call and the counts, after lines that kept it alive.
        """
        client = self.client(
            event({"delta": {"content": "a"}}),
            event({"delta": {"content": "b"}}),
            event({"delta": {"tool_calls": [_CALL]}, "finish_reason": "tool_calls"}),
            event(timings=_TIMINGS),
            b"[DONE]",
            held=3,
        )
        messages = [{"role": "user", "content": "hi"}]
        got = list(client.chat("m:latest", messages, stream=True))
        self.assertEqual("".join(each.message.content or "" for each in got), "ab")
        calls = [call for each in got for call in each.message.tool_calls or ()]
        self.assertEqual(
            [dict(call.function.arguments) for call in calls], [{"a": [1]}]
        )
        self.assertEqual((got[-1].done, got[-1].eval_count), (True, 3))
        self.assertEqual({each.model for each in got}, {"m:latest"})
        # With what it has read, its next question is understood.
        history: list[Any] = [
            *messages,
            got[-2].message,
            {"role": "tool", "tool_name": "f"},
        ]
        self.assertTrue(list(client.chat("m", history, stream=True)))

    def test_an_error_in_the_middle(self) -> None:
        """
        The client raises its text.
        """
        client = self.client(event({"text": "a"}), b'{"error": {"message": "no"}}')
        with self.assertRaises(ollama.ResponseError) as caught:
            list(client.generate("m", "p", stream=True))
        self.assertEqual(caught.exception.error, "no")

    def test_whole(self) -> None:
        """
        Chat, generate, load, embeddings.
        """
        client = self.client(event({"message": {"content": "a"}}))
        self.assertEqual(client.chat("m", [{"role": "user"}]).message.content, "a")
        self.assertEqual(client.generate("m", "p").response, "a")
        self.assertEqual(client.generate("m").done_reason, "load")
        client = self.client(b'{"data": [{"embedding": [0.5]}]}')
        self.assertEqual(client.embed("m", "a").embeddings, [[0.5]])
        self.assertEqual(client.embeddings("m", "a").embedding, [0.5])
