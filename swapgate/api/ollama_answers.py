"""
Ollama's API: a daemon's OpenAI answers, translated to NDJSON lines and bodies. Pure.

1. A line is whole: one object and its newline. Ollama's clients read nothing else; an
   SSE comment among them breaks every one.
2. Tool calls arrive in fragments and leave whole, before the last line.
3. The last line counts in ns: as the daemon measured, where it says so.
"""

from math import hypot
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import define, field
from msgspec import Struct

from swapgate.api.ollama import CHAT, EMBED, EMBEDDINGS, error_line, json_line
from swapgate.api.ollama_chunks import DaemonAnswer, Said, Times, Usage, decoded
from swapgate.api.ollama_requests import OllamaRequest
from swapgate.errors import APIError, upstream_failed


class _Embedding(Struct):
    embedding: list[float]
    index: int = 0


class _Embeddings(Struct):
    data: list[_Embedding]
    usage: Usage | None = None


_decode_embeddings: Final = msgspec.json.Decoder(_Embeddings)
_NOT_OVER: Final = (
    "the model's daemon ended its answer without saying that it was over; ask again"
)
_encode: Final = msgspec.json.Encoder().encode


@define(eq=False)
class OllamaAnswer:
    """
    The answer to one chat or generate request.

    `feed()` it each event of a stream, then `finish()`; or the `whole()` answer.

    :param created_at: as `rfc3339` gives it.
    """

    _request: OllamaRequest
    _created_at: str
    _said: DaemonAnswer = field(factory=DaemonAnswer)
    #: No event is needed any more: the stream has said [DONE], or has failed.
    ended: bool = field(default=False, init=False)
    #: What the stream failed with; then it has no last line.
    error: APIError | None = field(default=None, init=False)

    def feed(self, data: bytes) -> bytes:
        """
        The lines of one event; none for one that says nothing.

        :param data: all of the event's data.
        """
        if self.ended:
            return b""
        if data.strip() == b"[DONE]":
            self.ended = True
            return b""
        try:
            said = self._said.take(data)
        except APIError as error:
            return self.fail(error)
        line = self.line(*said) if any(said) else b""
        return line + self._calls_line() if self._said.finish_reason else line

    def fail(self, error: APIError) -> bytes:
        """
        The line that ends a stream which cannot be finished.
        """
        self.error, self.ended = error, True
        return error_line(error)

    def line(self, content: str = "", thinking: str = "") -> bytes:
        """
        A line that adds to the answer; empty, it only keeps a held stream alive.
        """
        return self._line(Said(content, thinking), [], done=False)

    def finish(self, times: Times) -> bytes:
        """
        The last line, at [DONE] or at the clean end of a stream without it.
        """
        if self.error:
            return b""
        if not self.ended and self._said.finish_reason is None:
            # Here the last line would claim it, which is the gateway's own.
            return self.fail(upstream_failed(_NOT_OVER))
        calls = self._calls_line()
        if self.error:
            return calls
        self.ended = True
        return calls + self._last(Said(), [], times)

    def whole(self, body: bytes, times: Times) -> bytes:
        """
        The body of an answer that is no stream.

        :raises APIError: where the daemon's is none.
        """
        said = self._said.take(body)
        return self._last(said, self._said.take_calls(), times)

    def _calls_line(self) -> bytes:
        """
        The line of the tool calls; nothing where there are none.
        """
        try:
            calls = self._said.take_calls()
        except APIError as error:
            return self.fail(error)
        return self._line(Said(), calls, done=False) if calls else b""

    def _last(self, said: Said, calls: list[dict[str, Any]], times: Times) -> bytes:
        reason = self._said.finish_reason
        return self._line(
            said,
            calls,
            done=True,
            # Ollama says stop after tool calls, too.
            done_reason="stop" if reason in {None, "tool_calls"} else reason,
            **times.durations(),
            **self._said.counts(times),
        )

    def _line(self, said: Said, calls: list[dict[str, Any]], **more: Any) -> bytes:
        """
        :param more: the fields that come after what is said.
        """
        line = {"model": self._request.asked, "created_at": self._created_at}
        fields: dict[str, Any] = {"thinking": said.thinking} if said.thinking else {}
        if self._request.path != CHAT:
            return json_line({**line, "response": said.content, **fields, **more})
        if calls:
            fields["tool_calls"] = calls
        message = {"role": "assistant", "content": said.content, **fields}
        return json_line({**line, "message": message, **more})


def loaded(request: OllamaRequest, created_at: str, times: Times) -> bytes:
    """
    The body that answers a request which only loads its model, or unloads it.
    """
    if request.path in {EMBED, EMBEDDINGS}:
        return embeddings(request, b'{"data": []}', times)
    reason = "unload" if request.unloads else "load"
    return OllamaAnswer(request, created_at, DaemonAnswer(reason)).whole(b"{}", times)


def embeddings(request: OllamaRequest, body: bytes, times: Times) -> bytes:
    """
    The body that answers a request for embeddings, of either path.

    :raises APIError: where the daemon's is none.
    """
    answer = decoded(_decode_embeddings, body)
    data = sorted(answer.data, key=attrgetter("index"))
    vectors = [_shortened(each.embedding, request.dimensions) for each in data]
    if request.path == EMBEDDINGS:
        return _encode({"embedding": vectors[0] if vectors else []}) + b"\n"
    fields = {"model": request.asked, "embeddings": vectors, **times.durations()}
    count = answer.usage.prompt_tokens if answer.usage else None
    return _encode({**fields, "prompt_eval_count": count or 0}) + b"\n"


def _shortened(vector: list[float], dimensions: int | None) -> list[float]:
    """
    The first dimensions, of length 1 again.
    """
    if dimensions is None or not 0 < dimensions < len(vector):
        return vector
    first = vector[:dimensions]
    length = hypot(*first) or 1.0
    return [each / length for each in first]
