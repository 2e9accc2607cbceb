"""
Server-sent events: reading and writing them.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.sse import (
    closes_event,
    comment,
    error_event,
    is_event_stream,
    late_answer,
    reasoning_chunk,
)
from swapgate.errors import APIError


class SSETests(SynchronousTestCase):
    """
    Bytes in, meaning out.
    """

    def test_event_streams(self) -> None:
        """
        The type alone decides, whatever its case and parameters.
        """
        for content_type, expected in {
            b"text/event-stream": True,
            b"Text/Event-Stream; charset=utf-8": True,
            b" text/event-stream ;x": True,
            b"application/json": False,
            b"text/event-stream2": False,
            b"": False,
            None: False,
        }.items():
            with self.subTest(content_type=content_type):
                self.assertIs(is_event_stream(content_type), expected)

    def test_blank_lines(self) -> None:
        """
        An event ends with a blank line, of either kind.
        """
        for line, expected in {b"": True, b"\r": True, b"data: a": False}.items():
            with self.subTest(line=line):
                self.assertIs(closes_event(line), expected)

    def test_an_error(self) -> None:
        """
        One event, on one line whatever the message holds, as ASCII.
        """
        error = APIError(status=500, code="c", message="a\nb\u2028ü")
        event = error_event(error)
        self.assertTrue(event.isascii())
        self.assertEqual(event.count(b"\n"), 2)
        self.assertTrue(event.endswith(b"\n\n"))
        self.assertEqual(
            json.loads(event.removeprefix(b"data: ")), {"error": error.error}
        )

    def test_a_comment(self) -> None:
        """
        A line that readers skip, and a blank one.
        """
        self.assertEqual(comment("Phi, 2 ähead"), ": Phi, 2 ähead\n\n".encode())

    def test_reasoning(self) -> None:
        """
        A chunk as a chat's own; the role is in the first one only.
        """
        for first in (True, False):
            said = reasoning_chunk("hm\n", ident="i", model="m", created=7, first=first)
            chunk = json.loads(said.removeprefix(b"data: "))
            [choice] = chunk.pop("choices")
            delta = choice["delta"]
            self.assertEqual(delta["reasoning_content"], "hm\n")
            self.assertEqual("role" in delta, first)
            self.assertEqual((choice["index"], choice["finish_reason"]), (0, None))
            self.assertEqual(
                chunk,
                {
                    "id": "i",
                    "object": "chat.completion.chunk",
                    "created": 7,
                    "model": "m",
                },
            )


class LateAnswerTests(SynchronousTestCase):
    """
    Answers that are no stream, as an event of a stream that has begun.
    """

    def test_an_answer(self) -> None:
        """
        Whole, however many lines it has.
        """
        told = late_answer(200, b'{"a":\n 1}\n')
        self.assertEqual(told, b'data: {"a":\ndata:  1}\n\n')

    def test_an_error_of_the_daemon(self) -> None:
        """
        In the daemon's own words.
        """
        error = {"message": "too long", "code": 400}
        told = late_answer(400, json.dumps({"error": error}).encode())
        self.assertEqual(json.loads(told.removeprefix(b"data: ")), {"error": error})

    def test_what_is_no_error_object(self) -> None:
        """
        It is put into one, and cut to a length that can be read.
        """
        for body, said in (
            (b'{"error": "no"}', "answered 500: no"),
            (b"<html>\xff", "answered 500: <html>\ufffd"),
            (b"[]", "answered 500: []"),
            (b"{}", "answered 500: {}"),
            (b"x" * 5000, "x" * 900),
        ):
            told = late_answer(500, body)
            error = json.loads(told.removeprefix(b"data: "))["error"]
            self.assertIn(said, error["message"])
            self.assertLess(len(error["message"]), 1100)
            self.assertEqual(error["code"], "upstream_failed")
