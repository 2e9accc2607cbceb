"""
What stream bytes mean, and how an error is said in them.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.sse import closes_event, error_event, is_event_stream


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
        error: dict[str, object] = {"message": "a\nb\u2028ü", "code": None}
        event = error_event(error)
        self.assertTrue(event.isascii())
        self.assertEqual(event.count(b"\n"), 2)
        self.assertTrue(event.endswith(b"\n\n"))
        self.assertEqual(json.loads(event.removeprefix(b"data: ")), {"error": error})
