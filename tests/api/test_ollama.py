"""
Ollama's API: its paths, its errors, and what its clients may leave out.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.ollama import (
    Answerer,
    answerer_of,
    check_type,
    error_line,
    find_model,
    rfc3339,
    wrong,
)
from swapgate.errors import APIError

_FORM = b"application/x-www-form-urlencoded"


class PathTests(SynchronousTestCase):
    """
    What a path below /api/ is.
    """

    def test_answered(self) -> None:
        """
        By us or by a daemon.
        """
        for name in ("tags", "ps", "version", "show"):
            self.assertIs(answerer_of(f"/api/{name}"), Answerer.GATEWAY)
        for name in ("chat", "generate", "embed", "embeddings"):
            self.assertIs(answerer_of(f"/api/{name}"), Answerer.DAEMON)

    def test_what_makes_no_sense(self) -> None:
        """
        501, with the word that was sent.
        """
        for name in ("pull", "push", "create", "copy", "delete", "blobs/sha256:0"):
            error = self.assertRaises(APIError, answerer_of, f"/api/{name}")
            self.assertEqual((error.status, error.code), (501, "not_supported"))
            self.assertIn(f"there is no {name.partition('/')[0]} here", error.message)

    def test_unknown(self) -> None:
        """
        404, with what there is.
        """
        for path in ("/api/", "/api/chat/", "/api/tagsx", "/api/pullx", "/api/Chat"):
            error = self.assertRaises(APIError, answerer_of, path)
            self.assertEqual((error.status, error.code), (404, "not_found"))
            self.assertIn("/api/chat, /api/embed,", error.message)


class ContentTypeTests(SynchronousTestCase):
    """
    Who may leave the Content-Type out.
    """

    def accepts(
        self, value: bytes | None, site: bytes | None, origin: bytes | None
    ) -> bool:
        try:
            check_type(value, site=site, origin=origin)
        except APIError as error:
            self.assertEqual(error.status, 415)
            return False
        return True

    def test_undeclared(self) -> None:
        """
        None or a form will do where no page of another site can have sent it.
        """
        for site, origin, expected in (
            (None, None, True),
            (b"none", None, True),
            (b"none", b"chrome-extension://abc", True),
            (b"same-origin", b"http://127.0.0.1:11434", True),
            (None, b"http://evil.example", False),
            (None, b"null", False),
            (b"cross-site", None, False),
            (b"cross-site", b"http://127.0.0.1", False),
            (b"same-site", b"http://127.0.0.1:3000", False),
            (b"", None, False),
            (b"None", None, False),
        ):
            for value in (None, b"", _FORM, _FORM.upper() + b"; charset=utf-8"):
                with self.subTest(site=site, origin=origin, value=value):
                    self.assertIs(self.accepts(value, site, origin), expected)

    def test_declared(self) -> None:
        """
        JSON always will, and another type never.
        """
        for site in (None, b"none", b"cross-site"):
            for origin in (None, b"http://evil.example"):
                self.assertTrue(self.accepts(b"application/json", site, origin))
                for value in (b"text/plain", _FORM + b"x", b"multipart/form-data"):
                    self.assertFalse(self.accepts(value, site, origin))

    def test_compressed(self) -> None:
        """
        A body that is compressed is refused whatever its type.
        """
        for value in (None, b"application/json"):
            with self.assertRaises(APIError) as caught:
                check_type(value, b"gzip", site=None, origin=None)
            self.assertIn("Content-Encoding", caught.exception.message)


class SmallThingsTests(SynchronousTestCase):
    """
    Names, errors, times.
    """

    def test_names(self) -> None:
        """
        `NAME:latest` is NAME, either way; the very name comes first.
        """
        names = {"a": "A", "b:latest": "B", "c": "C", "c:latest": "L", "d:7b": "D"}
        for asked, expected in {
            "a": "A",
            "a:latest": "A",
            "b": "B",
            "b:latest": "B",
            "c": "C",
            "c:latest": "L",
            "d:7b": "D",
        }.items():
            with self.subTest(asked=asked):
                self.assertEqual(find_model(asked, names), expected)
        for asked in ("d", "d:7b:", ":latest", "A"):
            error = self.assertRaises(APIError, find_model, asked, names)
            self.assertEqual((error.status, error.param), (404, "model"))
            self.assertEqual(
                error.message,
                f'model "{asked}" not found; there are a, b:latest, c, c:latest, d:7b',
            )

    def test_an_error(self) -> None:
        """
        Text, not an object, on one line whatever it holds.
        """
        line = error_line(wrong("a", "is\nü"))
        self.assertEqual(line.count(b"\n"), 1)
        self.assertEqual(json.loads(line), {"error": "a is\nü"})

    def test_a_time(self) -> None:
        """
        As RFC 3339 has it, always with microseconds.
        """
        self.assertEqual(rfc3339(0), "1970-01-01T00:00:00.000000Z")
        self.assertEqual(rfc3339(1764147600.25), "2025-11-26T09:00:00.250000Z")
