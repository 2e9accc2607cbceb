"""
Paths in their normal form, and those that the user adds.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.ini import BadValue
from swapgate.config.url_paths import extra_paths, health_path, normal


class NormalTests(SynchronousTestCase):
    """
    One form for each path.
    """

    def test_normal(self) -> None:
        """
        One slash at the end goes, and the second of two /v1.
        """
        for path, same in {
            "/": "/",
            "/v1": "/v1",
            "/v1/": "/v1",
            "/v1/v1": "/v1",
            "/v1/v1/models/": "/v1/models",
            "/v1/v1beta": "/v1/v1beta",
            "/v1/v1/v1/models": "/v1/v1/models",
            "/V1/v1/models": "/V1/v1/models",
            "/a/v1/v1/b": "/a/v1/v1/b",
        }.items():
            self.assertEqual(normal(path), same)


class HealthTests(SynchronousTestCase):
    """
    `health`.
    """

    def test_health(self) -> None:
        """
        A path with its query, or none.
        """
        self.assertEqual(health_path("/api?x=1"), "/api?x=1")
        self.assertIsNone(health_path("none"))
        for text in ("health", "/a b", "/a#b", ""):
            error = self.assertRaises(BadValue, health_path, text)
            said = f"{text!r} is no path; write one like /health, or none"
            self.assertEqual(str(error), said)


class ExtraTests(SynchronousTestCase):
    """
    `extra_paths`.
    """

    def test_read(self) -> None:
        """
        Between commas or line ends, in their normal form; paths of administration as
        well.
        """
        self.assertEqual(
            extra_paths("/v1/tomorrow, /v1beta/models/a:go\n/api/chat ,/props"),
            {"/v1/tomorrow", "/v1beta/models/a:go", "/api/chat", "/props"},
        )

    def test_mistakes(self) -> None:
        """
        Each with its remedy.
        """
        for text, remedy in {
            "v1/x": "write one like /v1/tomorrow",
            "/": "write one like",
            "/a//b": "write one like",
            "/a/../b": "write one like",
            "/a?b": "write one like",
            "/a%20b": "write one like",
            "/a,": "'' is no path",
            "/v1/v1/x": "write that",
            "/health": "answered by the gateway itself",
            "/v1/models": "answered by the gateway itself",
            "/swapgate/state": "answered by the gateway itself",
            "/status": "answered by the gateway itself",
            "/pages/chat.js": "answered by the gateway itself",
        }.items():
            self.assertIn(remedy, str(self.assertRaises(BadValue, extra_paths, text)))
