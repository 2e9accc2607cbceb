"""
Surfaces: what each API's clients get of a wait, a failure, and a late answer.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.surfaces import OPENAI, daemon_error, surface_of
from swapgate.errors import APIError


class RelayedTests(SynchronousTestCase):
    """
    What is relayed as it is.
    """

    def test_unaltered(self) -> None:
        headers, body = [(b"A", b"b")], b'data: {"a": 1}\n\n'
        OPENAI.begin()
        self.assertEqual(OPENAI.headers(headers), headers)
        self.assertEqual(OPENAI.lines(body), body)
        self.assertEqual(OPENAI.end(), b"")
        self.assertEqual(OPENAI.whole(400, body), (400, body))
        self.assertIsNone(OPENAI.failed)
        self.assertIs(surface_of("/v1/embeddings"), OPENAI)

    def test_a_wait(self) -> None:
        """
        A comment, which every reader skips.
        """
        self.assertEqual(OPENAI.wait("2 ahead"), b": swapgate: 2 ahead\n\n")


class FailureTests(SynchronousTestCase):
    """
    The last words of a stream.
    """

    def test_an_error(self) -> None:
        """
        One event, on one line whatever the message holds, as ASCII.
        """
        error = APIError(status=500, code="c", message="a\nb\u2028ü")
        event = OPENAI.failure(error)
        self.assertTrue(event.isascii())
        self.assertEqual(event.count(b"\n"), 2)
        self.assertTrue(event.endswith(b"\n\n"))
        self.assertEqual(
            json.loads(event.removeprefix(b"data: ")), {"error": error.error}
        )

    def test_anthropic(self) -> None:
        """
        A named event, and never one without a name.
        """
        surface = surface_of("/v1/messages")
        told = surface.failure(APIError(status=409, code="c", message="no"))
        name, _, data = told.partition(b"\n")
        self.assertEqual(name, b"event: error")
        self.assertEqual(
            json.loads(data.removeprefix(b"data: ")),
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "no"},
            },
        )
        self.assertFalse(surface.cuts)

    def test_responses(self) -> None:
        """
        Where each of its clients looks.
        """
        for path in ("/v1/responses", "/responses"):
            surface = surface_of(path)
            told = surface.failure(APIError(status=409, code="c", message="no"))
            name, _, data = told.partition(b"\n")
            self.assertEqual(name, b"event: response.failed")
            said = json.loads(data.removeprefix(b"data: "))
            self.assertEqual(said["type"], "response.failed")
            self.assertEqual(said["response"]["error"], {"code": "c", "message": "no"})
            self.assertEqual(said["error"]["message"], "no")
            self.assertFalse(surface.cuts)


class LateAnswerTests(SynchronousTestCase):
    """
    Answers that are no stream, as an event of a stream that has begun.
    """

    def test_an_answer(self) -> None:
        """
        Whole, however many lines it has.
        """
        told = OPENAI.late(200, b'{"a":\n 1}\n')
        self.assertEqual(told, b'data: {"a":\ndata:  1}\n\n')

    def test_an_error_of_the_daemon(self) -> None:
        """
        In the daemon's own words.
        """
        error = {"message": "too long", "code": 400}
        told = OPENAI.late(400, json.dumps({"error": error}).encode())
        self.assertEqual(json.loads(told.removeprefix(b"data: ")), {"error": error})

    def test_what_is_no_error_object(self) -> None:
        """
        It is put into one, and cut to a length that can be read.
        """
        for body, said in (
            (b'{"error": "no"}', "answered 500, and said:\nno"),
            (b"<html>\xff", "answered 500, and said:\n<html>\ufffd"),
            (b"[]", "answered 500, and said:\n[]"),
            (b"{}", "answered 500, and said:\n{}"),
            (b"x" * 5000, "x" * 900),
        ):
            told = OPENAI.late(500, body)
            error = json.loads(told.removeprefix(b"data: "))["error"]
            self.assertIn(said, error["message"])
            self.assertLess(len(error["message"]), 1100)
            self.assertEqual(error["code"], "upstream_failed")

    def test_an_error_for_a_named_event(self) -> None:
        """
        With the daemon's words, by the name that the client reads.
        """
        error = {"message": "too long", "type": "exceed_context_size_error"}
        body = json.dumps({"error": error}).encode()
        for path, name in (
            ("/v1/messages", b"event: error\n"),
            ("/v1/responses", b"event: response.failed\n"),
        ):
            told = surface_of(path).late(400, body)
            self.assertTrue(told.startswith(name))
            self.assertIn(b"too long", told)
        self.assertEqual(surface_of("/v1/messages").late(200, b"{}"), b"data: {}\n\n")


class DaemonErrorTests(SynchronousTestCase):
    """
    An answer with an error's status.
    """

    def test_bodies(self) -> None:
        """
        Any shape gives a text.
        """
        for body, expected in (
            (b'{"error": {"message": "m", "type": "t"}}', "m"),
            (b'{"error": "text"}', "text"),
            (b'{"object": "error", "message": "m"}', "m"),
            (b'{"detail": [1]}', "[1]"),
            (b'"text"', "text"),
            (b"Bad \xff Gateway", "Bad \ufffd Gateway"),
            (b"x" * 2000, "x" * 1000),
        ):
            with self.subTest(body=body):
                error = daemon_error(400, body)
                self.assertEqual(error.status, 400)
                self.assertIn(expected, error.message)
                self.assertLess(len(error.message), 1100)
