"""
Server-sent events: reading and writing them.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.sse import (
    closes_event,
    comment,
    is_event_stream,
    reasoning_chunk,
)


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
