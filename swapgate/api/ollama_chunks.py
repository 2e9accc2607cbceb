"""
Ollama's API: what a daemon says, chunk by chunk, collected for an answer. Pure.

Read are the answers of chats and completions, whole or streamed, and those of
llama-server's /infill, which has a form of its own.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from attrs import define, field, frozen
from msgspec import Struct

from swapgate.errors import upstream_failed

_T = TypeVar("_T")
_LONGEST_MESSAGE: Final = 1000
# What is raised for what is not JSON, not UTF-8, not as it should be, or too deep.
_BAD_JSON: Final = (msgspec.MsgspecError, ValueError, RecursionError)
# What /infill calls an end; "none" is before it.
_STOP_TYPES: Final = {"eos": "stop", "word": "stop", "limit": "length"}


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Fragment(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(Struct):
    content: str | None = None
    # llama-server's name of it, and vLLM's.
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Fragment] | None = None


class _Choice(Struct):
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class Usage(Struct):
    """
    How many tokens there were.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Timings(Struct):
    prompt_n: int = 0
    cache_n: int = 0
    prompt_ms: float = 0
    predicted_n: int = 0
    predicted_ms: float = 0


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    timings: _Timings | None = None
    error: Any = None
    # An error of vLLM's.
    object: str | None = None
    message: Any = None
    # /infill
    content: str | None = None
    stop_type: str | None = None


_decode: Final = msgspec.json.Decoder(_Chunk)
_decode_arguments: Final = msgspec.json.Decoder(dict[str, Any])


class Said(NamedTuple):
    """
    What one chunk adds to the answer.
    """

    content: str = ""
    thinking: str = ""


@frozen
class Times:
    """
    How long a request took, as the gateway measured: the load of its model, and all.
    """

    load_s: float
    total_s: float

    def durations(self) -> dict[str, int]:
        """
        Both in Ollama's words, in ns.
        """
        return {
            "total_duration": round(self.total_s * 1e9),
            "load_duration": round(self.load_s * 1e9),
        }


@define
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(factory=list)

    def fields(self, index: int, *, cut: bool) -> dict[str, Any]:
        """
        :param cut: the answer was cut at its length, the call perhaps with it.
        """
        try:
            text = "".join(self.arguments) or ("" if cut else "{}")
            arguments = _decode_arguments.decode(text)
        except _BAD_JSON:
            raise upstream_failed(
                f"the model's call of {self.name} was cut off, or is malformed: its "
                "arguments are no object in JSON"
            ) from None
        function = {"index": index, "name": self.name, "arguments": arguments}
        return {"id": self.id, "function": function}


@define(eq=False)
class DaemonAnswer:
    """
    What a daemon has said so far, but for the text, which `take()` hands on.
    """

    finish_reason: str | None = None
    _usage: Usage = field(factory=Usage)
    _timings: _Timings | None = None
    _calls: dict[int, _ToolCall] = field(factory=dict)

    def take(self, data: bytes) -> Said:
        """
        What a chunk, or a whole answer, says; the rest is kept.

        :raises APIError: where it is an error, or nothing that can be understood.
        """
        chunk = decoded(_decode, data)
        if chunk.error is not None:
            raise upstream_failed(_text(chunk.error))
        if chunk.object == "error":
            raise upstream_failed(_text(chunk.message))
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings
        if not chunk.choices:
            self._note_end(_STOP_TYPES.get(chunk.stop_type or ""))
            return Said(chunk.content or "")
        choice = chunk.choices[0]
        self._note_end(choice.finish_reason)
        message = choice.delta or choice.message
        if message is None:
            return Said(choice.text or "")
        if message.tool_calls:
            self._collect(message.tool_calls)
        thinking = message.reasoning_content or message.reasoning
        return Said(message.content or "", thinking or "")

    def take_calls(self) -> list[dict[str, Any]]:
        """
        The tool calls that were collected, as Ollama has them; each is given once.

        :raises APIError: where one is not whole.
        """
        calls, self._calls = self._calls, {}
        cut = self.finish_reason == "length"
        return [calls[index].fields(index, cut=cut) for index in sorted(calls)]

    def counts(self, times: Times) -> dict[str, int]:
        """
        Tokens, and times in ns; an engine that measures none has worked all the time
        but that of the load.
        """
        timings = self._timings or _Timings(
            predicted_ms=(times.total_s - times.load_s) * 1e3
        )
        return {
            # What was in the engine's cache is part of the prompt, too.
            "prompt_eval_count": self._usage.prompt_tokens
            or timings.cache_n + timings.prompt_n,
            "prompt_eval_duration": round(timings.prompt_ms * 1e6),
            "eval_count": self._usage.completion_tokens or timings.predicted_n,
            "eval_duration": round(timings.predicted_ms * 1e6),
        }

    def _note_end(self, reason: str | None) -> None:
        self.finish_reason = reason or self.finish_reason

    def _collect(self, fragments: Iterable[_Fragment]) -> None:
        for place, fragment in enumerate(fragments):
            index = self._place(fragment, place)
            call = self._calls.setdefault(index, _ToolCall())
            function = fragment.function or _Function()
            call.id = call.id or fragment.id or ""
            call.name = call.name or function.name or ""
            call.arguments.append(function.arguments or "")

    def _place(self, fragment: _Fragment, place: int) -> int:
        """
        Which call a fragment belongs to; without an index a new id begins a new one.
        """
        if fragment.index is not None:
            return fragment.index
        known = self._calls.get(place)
        while known is not None and fragment.id and known.id != fragment.id:
            place += 1
            known = self._calls.get(place)
        return place


def decoded(decoder: msgspec.json.Decoder[_T], data: bytes) -> _T:
    """
    What a daemon has sent.

    :raises APIError: where it is nothing that can be understood.
    """
    try:
        return decoder.decode(data)
    except _BAD_JSON as error:
        raise upstream_failed(
            f"the model's daemon sent what is no answer; ask again\n{error}"
        ) from None


def _text(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return text[:_LONGEST_MESSAGE]
