"""
API errors: status, code, message and headers of an error response; each API's shape.
"""

import json
import re

from attrs import define


@define(kw_only=True, eq=False)
class APIError(Exception):
    """
    An error response of the gateway's own: `status` is HTTP's, `code` OpenAI's.

    :param param: the field of the body that is wrong.
    :param should_retry: whether the client is told to retry or not; None leaves it to
        the status.
    :param headers: more headers that the response must have.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    should_retry: bool | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.message

    @property
    def error(self) -> dict[str, object]:
        """
        OpenAI's error object, for a response's body or an event of a stream.
        """
        return {
            "message": self.message,
            # Whose fault it is.
            "type": "invalid_request_error" if self.status < 500 else "server_error",
            "param": self.param,
            "code": self.code,
        }

    @property
    def response_headers(self) -> tuple[tuple[str, str], ...]:
        """
        The headers of its response, but for those about the body.
        """
        retry = (
            ("Retry-After", self.retry_after_s),
            ("X-Should-Retry", self.should_retry),
        )
        said = ((name, str(it).lower()) for name, it in retry if it is not None)
        return (*self.headers, *said)


_RETRY_AFTER_S = 5


def busy(code: str, message: str) -> APIError:
    """
    The error of what passes by itself: it can be tried again.
    """
    return APIError(
        status=503, code=code, message=message, retry_after_s=_RETRY_AFTER_S
    )


UPSTREAM_FAILED = "upstream_failed"
_MESSAGES = re.compile(rb"(?:/v1)+/messages")
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def upstream_failed(message: str) -> APIError:
    """
    The error of a daemon that has not answered as it should.
    """
    return APIError(status=502, code=UPSTREAM_FAILED, message=message)


def anthropic_error(error: APIError) -> dict[str, object]:
    """
    Anthropic's error object.
    """
    by_fault = "invalid_request_error" if error.status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(error.status, by_fault)
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def error_body(error: APIError, target: bytes) -> bytes:
    """
    The JSON body of its response, in the shape of the API that was asked.

    :param target: the request's, or what is known of it.
    """
    if target.startswith(b"/api/"):
        body: dict[str, object] = {"error": error.message}
    elif _MESSAGES.match(target):
        body = anthropic_error(error)
    else:
        body = {"error": error.error}
    return json.dumps(body).encode("ascii")
