"""
Ollama's surface: what its clients get of a daemon's OpenAI answer, and of a wait.

Events of the daemon's stream become whole lines; a wait is a line without content.
"""

from collections.abc import Callable

from attrs import define, field

from swapgate.api.ollama import CHAT, GENERATE, error_line
from swapgate.api.ollama_answers import OllamaAnswer, embeddings
from swapgate.api.ollama_chunks import Times
from swapgate.api.ollama_requests import OllamaRequest
from swapgate.api.surfaces import Surface, daemon_error
from swapgate.errors import APIError, upstream_failed

_OK = 200
_LONGEST_STREAM = 256 * 2**20
_OWN_HEADERS = frozenset({b"content-type", b"accept"})


@define(eq=False)
class OllamaSurface(Surface):
    """
    The surface of one translated request.

    :param created_at: as `rfc3339` gives it.
    :param times: how long the request has taken until now.
    """

    stream_type = b"application/x-ndjson"
    cuts = False
    translates = True

    _request: OllamaRequest
    _created_at: str
    _times: Callable[[], Times]
    _answer: OllamaAnswer = field(init=False)
    # Tool calls are kept until they are whole.
    _length: int = field(default=0, init=False)
    # The data of an event that has not ended yet.
    _data: list[bytes] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.begin()

    def headers(self, sent: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [each for each in sent if each[0].lower() not in _OWN_HEADERS]
        return [*kept, (b"Content-Type", b"application/json")]

    def begin(self) -> None:
        self._length = 0
        self._answer = OllamaAnswer(self._request, self._created_at)
        self._data.clear()

    def wait(self, text: str) -> bytes:
        return self._answer.line()

    def failure(self, error: APIError) -> bytes:
        return self._answer.fail(error)

    def lines(self, data: bytes) -> bytes:
        """
        :param data: whole lines of events.
        """
        out = []
        for line in data.splitlines():
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._length += len(line)
            elif line.startswith(b"error:"):
                # llama-server's own, between two events.
                self._data.append(b'{"error":%b}' % line[6:])
            elif not line and self._data:
                out.append(self._answer.feed(b"\n".join(self._data)))
                self._data.clear()
        if self._length > _LONGEST_STREAM and self.failed is None:
            out.append(self.failure(upstream_failed("the model's daemon never ends")))
        return b"".join(out)

    def end(self) -> bytes:
        return self.lines(b"\n") + self._answer.finish(self._times())

    @property
    def failed(self) -> APIError | None:
        return self._answer.error

    def late(self, status: int, body: bytes) -> bytes:
        return self.whole(status, body)[1]

    def whole(self, status: int, body: bytes) -> tuple[int, bytes]:
        try:
            if status != _OK:
                raise daemon_error(status, body)
            if self._request.path in {CHAT, GENERATE}:
                return status, self._answer.whole(body, self._times())
            return status, embeddings(self._request, body, self._times())
        except APIError as error:
            return error.status, error_line(error)
