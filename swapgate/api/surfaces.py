"""
Surfaces: how each API tells its client of a wait and of a failure. Pure.

What a client shows was found by replaying bytes to it. Once its response has begun:

1. OpenAI's clients read an event without a name. While only comments went out, the
   response ends properly after it; once a byte of the answer did, it is cut.
2. Anthropic's read `event: error`, and take any other end for an empty answer.
3. Those of /v1/responses read `event: response.failed`, in either of two places.
4. Ollama's read a line of JSON, and no comment: see `ollama_surface`.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from swapgate.api import sse
from swapgate.errors import APIError, anthropic_error, upstream_failed

_LONGEST_MESSAGE: Final = 1000
_LONGEST_ERROR: Final = 64 * 1024
_FIRST_ERROR: Final = 400


class Surface:
    """
    OpenAI's chats and completions, and every API without rules of its own.

    :cvar stream_type: the Content-Type of a stream.
    :cvar cuts: a stream that fails after a byte of the answer ends without the final
        chunk; else its last event alone says so.
    :cvar translates: the client gets what `lines` and `whole` make of the answer.
    """

    stream_type = b"text/event-stream"
    cuts = True
    translates = False

    def headers(self, sent: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """
        What the daemon gets of the headers that may pass.
        """
        return sent

    def begin(self) -> None:
        """
        An answer begins; a second one, where the first was none.
        """

    def wait(self, text: str) -> bytes:
        """
        What a held stream's client hears of its wait.
        """
        return sse.comment(f"swapgate: {text}")

    def failure(self, error: APIError) -> bytes:
        """
        The last words of a stream that cannot be finished.
        """
        return sse.event({"error": error.error})

    def lines(self, data: bytes) -> bytes:
        """
        What the client gets for these lines of a daemon's stream.
        """
        return data

    def end(self) -> bytes:
        """
        What the client gets at the end of a daemon's stream.
        """
        return b""

    @property
    def failed(self) -> APIError | None:
        """
        What a translated stream has failed with: its client has been told.
        """
        return None

    def whole(self, status: int, body: bytes) -> tuple[int, bytes]:
        """
        Status and body of an answer that is no stream.
        """
        return status, body

    def late(self, status: int, body: bytes) -> bytes:
        """
        A daemon's answer that is no stream, to a client whose stream has begun.
        """
        if status < _FIRST_ERROR:
            lines = (
                body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
            )
            return b"data: " + lines.replace(b"\n", b"\ndata: ") + b"\n\n"
        error = _error_of(body)
        if isinstance(error, dict):
            return sse.event({"error": error})
        return self.failure(daemon_error(status, body))


class _Named(Surface):
    """
    One whose clients read only an event of a certain name.
    """

    cuts = False

    def late(self, status: int, body: bytes) -> bytes:
        if status < _FIRST_ERROR:
            return super().late(status, body)
        return self.failure(daemon_error(status, body))


class _Anthropic(_Named):
    def failure(self, error: APIError) -> bytes:
        return sse.event(anthropic_error(error), name="error")


class _Responses(_Named):
    def failure(self, error: APIError) -> bytes:
        said = {"code": error.code, "message": error.message}
        response = {
            "id": "resp_swapgate",
            "object": "response",
            "created_at": 0,
            "status": "failed",
            "error": said,
            "output": [],
        }
        failed: Mapping[str, Any] = {
            "type": "response.failed",
            "sequence_number": 0,
            "response": response,
            # The AI SDK and OpenAI's own client look here.
            "error": error.error,
        }
        return sse.event(failed, name="response.failed")


OPENAI: Final = Surface()
_SURFACES: Final = {
    "/v1/messages": _Anthropic(),
    "/v1/responses": _Responses(),
    "/responses": _Responses(),
}


def surface_of(path: str) -> Surface:
    """
    That of a path which is relayed as it is.
    """
    return _SURFACES.get(path, OPENAI)


def _error_of(body: bytes) -> Any:
    """
    What a daemon calls its error; its words, where it is no JSON.
    """
    try:
        said = json.loads(body if len(body) <= _LONGEST_ERROR else b"")
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        for name in ("error", "message", "detail"):
            if said.get(name):
                return said[name]
    return body.decode("utf-8", "replace")[:_LONGEST_MESSAGE]


def daemon_error(status: int, body: bytes) -> APIError:
    """
    A daemon's own error, with its words.
    """
    error = _error_of(body)
    failed = upstream_failed(
        f"the model's daemon answered {status}, and said:\n{error}"
    )
    known = status >= _FIRST_ERROR
    if not isinstance(error, dict):
        # What the client is to blame for stays so.
        return evolve(failed, status=status) if known and status < 500 else failed
    return APIError(
        status=status if known else failed.status,
        code=str(error.get("code") or error.get("type") or "upstream_error"),
        message=str(error.get("message") or "the model's daemon gave no reason"),
    )
