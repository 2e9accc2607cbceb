"""
Errors: what the gateway answers itself, and its body in the OpenAI shape.
"""

import json


class APIError(Exception):
    """
    A request we answer ourselves: `status` is the HTTP code, `code` the machine's word.

    :param param: the part of the body that is to blame.
    :param should_retry: whether the client is told to try again or not; None leaves
        it to the status.
    :param headers: what the answer must say besides.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.headers = headers

    @property
    def type(self) -> str:
        """
        Whose fault it is, in OpenAI's words.
        """
        return "invalid_request_error" if self.status < 500 else "server_error"

    @property
    def error(self) -> dict[str, object]:
        """
        The error object that OpenAI's clients know, in an answer or in a stream.
        """
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }


UPSTREAM_FAILED = "upstream_failed"


def upstream_failed(message: str) -> APIError:
    """
    The error of a daemon that has not answered as it should.
    """
    return APIError(status=502, code=UPSTREAM_FAILED, message=message)


def error_body(refusal: APIError) -> bytes:
    """
    The JSON of an answer that is a refusal.
    """
    return json.dumps({"error": refusal.error}).encode("ascii")
