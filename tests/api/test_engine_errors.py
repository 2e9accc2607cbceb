"""
Engine errors: llama-server's own words, and whose fault they tell of.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.engine_errors import MAX_BODY, told_status

VISION = (
    "image input is not supported - hint: if this is unexpected, you may need to "
    "provide the mmproj"
)


def body_of(message: object, kind: object = "server_error", code: int = 500) -> bytes:
    error = {"code": code, "message": message, "type": kind}
    return json.dumps({"error": error}).encode()


class ToldStatusTests(SynchronousTestCase):
    """
    The messages are llama-server's: seen from a real one, or read in its source.
    """

    def test_fails_again(self) -> None:
        """
        What the request asks for this engine cannot do.
        """
        for message in (
            VISION,
            VISION.replace("image", "audio"),
            "image input is not supported by this server",
            "Failed to load image or audio file",
            "Failed to parse messages: [json.exception.type_error.302] type must be",
            'Failed to parse tools: Missing tool type: {"x":1}; tools = [{"x": 1}]',
            "Failed to parse tool call arguments as JSON: [json.exception.parse_err",
            "'messages' is required",
            "Cannot use both json_schema and grammar",
            "tools param requires --jinja flag",
            "Unknown reasoning format: zz",
            (
                "\n------------\nWhile executing CallExpression at line 1, column 2\n"
                "Error: Jinja Exception: Conversation roles must alternate"
            ),
        ):
            with self.subTest(message=message):
                self.assertEqual(told_status(500, body_of(message)), 400)

    def test_not_what_it_was_started_for(self) -> None:
        """
        501, whatever it is about.
        """
        said = "This server does not support embeddings. Start it with `--embeddings`"
        body = body_of(said, "not_supported_error", 501)
        self.assertEqual(told_status(501, body), 400)

    def test_all_else_stays(self) -> None:
        """
        It may pass, or nothing is known of it.
        """
        for body in (
            body_of("failed to decode, ret = -3"),
            body_of("context does not support it: image input is not supported"),
            body_of("the model said: Failed to parse messages"),
            body_of("Failed to download image: timeout"),
            body_of("[json.exception.type_error.316] invalid UTF-8 byte"),
            body_of(VISION, "other"),
            body_of(VISION, None),
            body_of([VISION]),
            b'{"error": "image input is not supported"}',
            b'["error"]',
            b"image input is not supported",
            b"[" * MAX_BODY,
            b"\xff",
            b"",
        ):
            with self.subTest(body=body[:60]):
                self.assertEqual(told_status(500, body), 500)

    def test_other_statuses(self) -> None:
        """
        What waits or was refused already is said as it is.
        """
        for status in (200, 400, 502, 503):
            self.assertEqual(told_status(status, body_of(VISION)), status)

    def test_long(self) -> None:
        """
        It is not looked into.
        """
        body = body_of(VISION + " " * MAX_BODY)
        self.assertEqual(told_status(500, body), 500)
