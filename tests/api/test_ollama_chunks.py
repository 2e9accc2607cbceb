"""
What a daemon says, chunk by chunk.
"""

import json
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama_chunks import (
    DaemonAnswer,
    Said,
    Times,
    decoded,
)
from swapgate.errors import APIError

_TIMES = Times(1.0, 3.0)


def taken(answer: DaemonAnswer, **fields: Any) -> Said:
    """
    What a chunk with these fields says.
    """
    return answer.take(json.dumps(fields).encode())


def choice(**fields: Any) -> dict[str, Any]:
    """
    A chunk with this one choice.
    """
    return {"choices": [{"index": 0, **fields}]}


class TextTests(SynchronousTestCase):
    """
    Text in each of the forms that daemons give it.
    """

    def test_forms(self) -> None:
        """
        A delta, a message, a completion, an infill; null and absent are nothing.
        """
        for fields, expected in (
            (choice(delta={"content": "a"}), Said("a")),
            (choice(delta={"role": "assistant", "content": None}), Said()),
            (choice(delta={}), Said()),
            (choice(message={"content": "a"}), Said("a")),
            (choice(delta={"reasoning_content": "t"}), Said("", "t")),
            (choice(delta={"reasoning": "t", "content": "a"}), Said("a", "t")),
            (choice(text="a", finish_reason=None), Said("a")),
            (choice(text=None), Said()),
            ({"content": "a", "stop": False, "stop_type": "none"}, Said("a")),
            ({"choices": [], "usage": {"prompt_tokens": 1}}, Said()),
            ({}, Said()),
        ):
            with self.subTest(fields=fields):
                self.assertEqual(taken(DaemonAnswer(), **fields), expected)

    def test_ends(self) -> None:
        """
        Why it ended stays known, whatever comes after.
        """
        for fields, expected in (
            (choice(delta={}, finish_reason="length"), "length"),
            (choice(text="", finish_reason="stop"), "stop"),
            ({"content": "", "stop_type": "eos"}, "stop"),
            ({"content": "", "stop_type": "word"}, "stop"),
            ({"content": "", "stop_type": "limit"}, "length"),
            ({"content": "", "stop_type": "none"}, None),
            (choice(delta={}, finish_reason=None), None),
        ):
            with self.subTest(fields=fields):
                answer = DaemonAnswer()
                taken(answer, **fields)
                taken(answer, choices=[], usage={})
                self.assertEqual(answer.finish_reason, expected)


class CountsTests(SynchronousTestCase):
    """
    Tokens and times.
    """

    def test_of_llama_server(self) -> None:
        """
        Its own times; the cached part of a prompt counts, too.
        """
        timings = {
            "cache_n": 4,
            "prompt_n": 6,
            "prompt_ms": 30.5,
            "prompt_per_second": 196.7,
            "predicted_n": 20,
            "predicted_ms": 400.25,
        }
        expected = {
            "prompt_eval_count": 10,
            "prompt_eval_duration": 30_500_000,
            "eval_count": 20,
            "eval_duration": 400_250_000,
        }
        answer = DaemonAnswer()
        taken(answer, timings=timings)
        self.assertEqual(answer.counts(_TIMES), expected)
        taken(answer, usage={"prompt_tokens": 11, "completion_tokens": 21})
        more = {"prompt_eval_count": 11, "eval_count": 21}
        self.assertEqual(answer.counts(_TIMES), expected | more)

    def test_of_others(self) -> None:
        """
        What is not measured is all the time but the load's.
        """
        answer = DaemonAnswer()
        taken(answer, usage={"prompt_tokens": 11, "completion_tokens": 21})
        taken(answer, usage=None, timings=None)
        self.assertEqual(
            answer.counts(_TIMES),
            {
                "prompt_eval_count": 11,
                "prompt_eval_duration": 0,
                "eval_count": 21,
                "eval_duration": 2_000_000_000,
            },
        )

    def test_durations(self) -> None:
        """
        In ns.
        """
        self.assertEqual(
            Times(0.25, 1.5).durations(),
            {"total_duration": 1_500_000_000, "load_duration": 250_000_000},
        )


class ToolCallTests(SynchronousTestCase):
    """
    Fragments are collected.
    """

    @given(
        st.dictionaries(st.text(), st.integers() | st.text() | st.none()),
        st.lists(st.integers(0, 60)),
    )
    def test_fragments(self, arguments: dict[str, Any], cuts: list[int]) -> None:
        """
        Wherever the arguments are cut, they are whole, once.
        """
        answer = DaemonAnswer()
        function: dict[str, Any] = {"name": "f", "arguments": ""}
        first = {"index": 0, "id": "i", "type": "function", "function": function}
        other = {"index": 1, "id": "j", "function": {"name": "g", "arguments": None}}
        taken(answer, **choice(delta={"tool_calls": [first, other]}))
        text = json.dumps(arguments)
        places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
        for start, end in pairwise(places):
            fragment = {"index": 0, "function": {"arguments": text[start:end]}}
            taken(answer, **choice(delta={"tool_calls": [fragment]}))
        self.assertEqual(
            answer.take_calls(),
            [
                {
                    "id": "i",
                    "function": {"index": 0, "name": "f", "arguments": arguments},
                },
                {"id": "j", "function": {"index": 1, "name": "g", "arguments": {}}},
            ],
        )
        self.assertEqual(answer.take_calls(), [])

    def test_without_an_index(self) -> None:
        """
        The calls of a whole answer stand in their order.
        """
        answer = DaemonAnswer()
        calls = [{"function": {"name": name, "arguments": "{}"}} for name in "ab"]
        taken(answer, **choice(message={"tool_calls": [*calls, {"id": "c"}]}))
        names = [call["function"]["name"] for call in answer.take_calls()]
        self.assertEqual(names, ["a", "b", ""])

    def test_not_whole(self) -> None:
        """
        A call that was cut off must not be made.
        """
        for arguments in ('{"a": 1', "[]", "x", "1", "[" * 100_000):
            answer = DaemonAnswer()
            call = {"function": {"name": "f", "arguments": arguments}}
            taken(answer, **choice(delta={"tool_calls": [call]}))
            error = self.assertRaises(APIError, answer.take_calls)
            self.assertEqual(error.status, 502)
            self.assertIn("the model's call of f was cut off", error.message)


class PlaceTests(SynchronousTestCase):
    """
    Fragments without an index.
    """

    def test_a_new_id(self) -> None:
        """
        Begins a new call; the same one goes on.
        """
        answer = DaemonAnswer()
        for ident, arguments in (("f", "{"), ("g", "{}"), ("f", "}")):
            function = {"name": ident, "arguments": arguments}
            fragment = {"id": ident, "function": function}
            taken(answer, **choice(delta={"tool_calls": [fragment]}))
        told = [each["function"]["name"] for each in answer.take_calls()]
        self.assertEqual(told, ["f", "g"])


class ErrorTests(SynchronousTestCase):
    """
    What is no answer.
    """

    def test_an_error(self) -> None:
        """
        Its message is raised.
        """
        for error, expected in (
            ({"message": "too long", "code": 400}, "too long"),
            ("text", "text"),
            ({"code": 1}, '{"code":1}'),
            ([1], "[1]"),
            ({"message": "a" * 2000}, "a" * 1000),
        ):
            with self.subTest(error=error), self.assertRaises(APIError) as caught:
                taken(DaemonAnswer(), error=error)
            self.assertEqual(caught.exception.message, expected)
            self.assertEqual(caught.exception.status, 502)

    def test_another_form(self) -> None:
        """
        vLLM's has its message beside its kind.
        """
        with self.assertRaises(APIError) as raised:
            taken(DaemonAnswer(), object="error", message="too long", code=400)
        self.assertIn("too long", str(raised.exception))

    def test_nonsense(self) -> None:
        """
        Is a 502, whatever it is.
        """
        for data in (
            b"",
            b"{",
            b"[]",
            b"\xff",
            b'{"choices": 1}',
            b'{"choices": [{"delta": {"content": "\xff"}}]}',
            b'{"error": ' + b"[" * 100_000,
        ):
            with self.subTest(data=data[:20]), self.assertRaises(APIError) as caught:
                DaemonAnswer().take(data)
            self.assertEqual(caught.exception.status, 502)
            self.assertIn("sent what is no answer", caught.exception.message)
        self.assertEqual(decoded(msgspec.json.Decoder(int), b"1"), 1)
