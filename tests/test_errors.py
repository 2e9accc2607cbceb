"""
API errors, in the shape of OpenAI's API.
"""

import json

from twisted.trial.unittest import SynchronousTestCase

from swapgate.errors import APIError, busy, error_body, upstream_failed


class APIErrorTests(SynchronousTestCase):
    """
    Body and headers of an error response.
    """

    def test_shape(self) -> None:
        """
        The body is OpenAI's error object, in ASCII.
        """
        refusal = APIError(status=404, code="c", message="\u65e5\n", param="model")
        body = error_body(refusal, b"/v1/chat/completions")
        self.assertTrue(body.isascii())
        self.assertEqual(
            json.loads(body),
            {
                "error": {
                    "message": "\u65e5\n",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "c",
                }
            },
        )
        self.assertEqual(str(refusal), refusal.message)

    def test_of_each_api(self) -> None:
        """
        In the shape that the clients of a path read.
        """
        for status, kind in (
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (409, "invalid_request_error"),
            (413, "request_too_large"),
            (502, "api_error"),
            (503, "overloaded_error"),
        ):
            error = APIError(status=status, code="c", message="no")
            body = json.loads(error_body(error, b"/v1/messages?beta=true"))
            said = {"type": kind, "message": "no"}
            self.assertEqual(body, {"type": "error", "error": said})
            self.assertEqual(json.loads(error_body(error, b"/api/x")), {"error": "no"})

    def test_busy(self) -> None:
        """
        It says when to try again.
        """
        error = busy("full", "no room")
        self.assertEqual((error.status, error.code), (503, "full"))
        self.assertEqual(error.response_headers, (("Retry-After", "5"),))

    def test_ours(self) -> None:
        """
        From 500 on it is the server's fault; nothing more is said unless it is given.
        """
        refusal = APIError(status=503, code="full", message="m", retry_after_s=2)
        self.assertEqual(refusal.error["type"], "server_error")
        self.assertEqual((refusal.param, refusal.should_retry), (None, None))
        self.assertEqual(refusal.retry_after_s, 2)
        failed = upstream_failed("m")
        self.assertEqual((failed.status, failed.code), (502, "upstream_failed"))
        final = APIError(status=409, code="c", message="m", should_retry=False)
        self.assertIs(final.should_retry, False)

    def test_headers(self) -> None:
        """
        Those that are given, then when and whether to try again.
        """
        allow = ("Allow", "GET")
        error = APIError(status=405, code="c", message="m", headers=(allow,))
        self.assertEqual(error.response_headers, (allow,))
        error.retry_after_s, error.should_retry = 2, False
        self.assertEqual(
            error.response_headers,
            (allow, ("Retry-After", "2"), ("X-Should-Retry", "false")),
        )
