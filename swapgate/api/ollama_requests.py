"""
Ollama's API: its requests, translated to the daemon's OpenAI API. Pure.

1. Names and meanings are Ollama's: `stream` is true when absent, null means absent,
   unknown fields and options are ignored, and so are those that would need another
   load, such as num_ctx.
2. An empty prompt, or no messages, only loads the model; with keep_alive 0 it unloads.
3. What is of a wrong type is a 400 here: a daemon might answer it with 500, which
   clients try again.
"""

import re
from collections.abc import Mapping
from math import inf
from typing import Any, Final

import msgspec
from attrs import frozen
from msgspec import Raw, Struct

from swapgate.api.ollama import CHAT, EMBED, EMBEDDINGS, GENERATE, find_model, wrong
from swapgate.api.ollama_messages import Message, content_of, translate_messages
from swapgate.errors import APIError
from swapgate.server.json_grammar import quoted

_DURATION: Final = re.compile(
    r"([-+]?)((?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[nuµμm]?s|m|h))+)"
)
_DURATION_PART: Final = re.compile(r"([0-9.]+)([a-zµμ]+)")
_UNITS_S: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
# An object takes some 25 times the memory of its text; text may hold braces, too.
_MOST_OPENERS: Final = 100_000
# Of 12 MiB a usual body is translated in 50 ms, and nothing else is done meanwhile.
_LONGEST_BODY: Final = 12 * 2**20
_LONGEST_DURATION: Final = 64
# A time of day is wanted of it, and there is none after the year 9999.
_FOR_EVER_S: Final = 100 * 365 * 86400.0
_NOTHING: Final = re.compile(rb'null|""|\[\s*\]')
_NUMBER: Final = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")


class _Options(Struct):
    """
    The options that a daemon takes with a request, by their names there.
    """

    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    # Whole numbers, cut off as Ollama does.
    top_k: float | None = None
    repeat_last_n: float | None = None
    seed: float | None = None
    mirostat: float | None = None
    max_tokens: float | None = msgspec.field(default=None, name="num_predict")
    n_keep: float | None = msgspec.field(default=None, name="num_keep")
    stop: list[str] | None = None


_WHOLE: Final = ("top_k", "repeat_last_n", "seed", "mirostat", "max_tokens", "n_keep")


class _Body(Struct):
    """
    What is read of the bodies of all four paths.
    """

    model: str | None = None
    name: str | None = None
    stream: bool | None = None
    keep_alive: float | str | None = None
    options: _Options | None = None
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None
    # chat
    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None
    # generate
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: list[str] | None = None
    # embed: passed on as it is, for there may be very many texts
    input: Raw = Raw(b"null")
    dimensions: int | None = None


_decode: Final = msgspec.json.Decoder(_Body).decode


@frozen(kw_only=True)
class OllamaRequest:
    """
    What a request of Ollama's API asks for.

    :param path: the client's.
    :param asked: the model's name as it was sent, which the answer repeats.
    :param model: the configured name.
    :param keep_alive_s: how long the model stays up when idle: 0 unloads it then, inf
        is for ever; None leaves it to the configuration.
    :param daemon_path: None where the model is only loaded or unloaded.
    :param body: for the daemon.
    :param dimensions: how long embeddings may be; None leaves them whole.
    """

    path: str
    asked: str
    model: str
    stream: bool
    keep_alive_s: float | None
    daemon_path: str | None
    body: bytes
    dimensions: int | None = None

    @property
    def unloads(self) -> bool:
        """
        Whether nothing is wanted but that the model goes.
        """
        return self.daemon_path is None and self.keep_alive_s == 0


def asked_model(body: bytes) -> str:
    """
    The name in a body that needs nothing else, as that of /api/show.
    """
    return _asked(_read(body))


def translate(path: str, body: bytes, names: Mapping[str, str]) -> OllamaRequest:
    """
    Translate the body of a request to one of the translated paths.

    :param body: known to be an object in JSON.
    :param names: the name of the model for every name and alias.
    :raises APIError: where it is not as Ollama's API has it.
    """
    sent = _read(body)
    asked = _asked(sent)
    model = find_model(asked, names)
    daemon_path, fields = _TRANSLATIONS[path](sent)
    stream = sent.stream is not False and path in {CHAT, GENERATE}
    fields = {"model": model, **fields}
    if stream:
        # Without the option the counts would be missing at the end.
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return OllamaRequest(
        path=path,
        asked=asked,
        model=model,
        stream=stream,
        keep_alive_s=_keep_alive_s(sent.keep_alive),
        daemon_path=daemon_path,
        body=msgspec.json.encode(fields),
        dimensions=sent.dimensions if path == EMBED else None,
    )


def _read(body: bytes) -> _Body:
    if len(body) > _LONGEST_BODY:
        message = "the body is larger than 12 MiB, the most of Ollama's API here; send "
        message += "a smaller one, or ask /v1/chat/completions"
        raise APIError(status=413, code="body_too_large", message=message)
    if body.count(b"{") + body.count(b"[") > _MOST_OPENERS:
        message = (
            f"the body has more than {_MOST_OPENERS} braces and brackets that open"
        )
        raise APIError(status=413, code="body_too_large", message=message)
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        message = f"the body is not as Ollama's API has it: {error}"
        raise APIError(status=400, code="invalid_type", message=message) from None


def _asked(sent: _Body) -> str:
    asked = sent.model or sent.name
    if not asked:
        raise wrong("model", "is missing; it must name one of those in /api/tags")
    return asked


def _keep_alive_s(value: float | str | None) -> float | None:
    """
    A number is seconds; text is a Go duration, such as 1h30m, or a number.
    """
    if value is None or value == "":
        return None
    seconds = _duration_s(value) if isinstance(value, str) else value
    return seconds if 0 <= seconds < _FOR_EVER_S else inf


def _duration_s(text: str) -> float:
    if len(text) > _LONGEST_DURATION:
        raise wrong("keep_alive", f"is {len(text)} characters long")
    if _NUMBER.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        right = 'a number of seconds or a duration such as "5m", "1h30m" or "-1m"'
        raise wrong("keep_alive", f"is {quoted(text)}; it must be {right}")
    parts = _DURATION_PART.findall(match[2])
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    return -seconds if match[1] == "-" else seconds


# Each path: the daemon's path, or None, and the fields of its body.

_Translation = tuple[str | None, dict[str, Any]]
_LOADS_ONLY: Final[_Translation] = (None, {})


def _chat(sent: _Body) -> _Translation:
    if not sent.messages:
        return _LOADS_ONLY
    fields = _chat_fields(sent, translate_messages(sent.messages))
    if sent.tools:
        fields["tools"] = [{"type": "function", **tool} for tool in sent.tools]
    return "/v1/chat/completions", fields


def _generate(sent: _Body) -> _Translation:
    """
    A chat, as Ollama applies the model's template; but not to raw prompts.
    """
    if sent.template:
        raise wrong("template", "is not supported; send the whole prompt with raw")
    if not sent.prompt:
        return _LOADS_ONLY
    if not (sent.raw or sent.suffix):
        content = content_of(sent.prompt, sent.images, "images")
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if sent.system:
            messages.insert(0, {"role": "system", "content": sent.system})
        return "/v1/chat/completions", _chat_fields(sent, messages)
    if sent.images:
        raise wrong("images", "cannot be sent with raw or suffix; leave these out")
    fields = _options(sent.options)
    if schema := _schema(sent.format):
        # Only a chat has a response_format.
        fields["json_schema"] = schema
    if sent.raw:
        return "/v1/completions", fields | {"prompt": sent.prompt}
    return "/infill", fields | {
        "input_prefix": sent.prompt,
        "input_suffix": sent.suffix,
    }


def _embed(sent: _Body) -> _Translation:
    texts = bytes(sent.input)
    if _NOTHING.fullmatch(texts):
        return _LOADS_ONLY
    if texts[:1] not in {b'"', b"["}:
        raise wrong("input", "must be a string or an array of strings")
    return "/v1/embeddings", {"input": sent.input, "encoding_format": "float"}


def _embeddings(sent: _Body) -> _Translation:
    if not sent.prompt:
        return _LOADS_ONLY
    return "/v1/embeddings", {"input": sent.prompt, "encoding_format": "float"}


_TRANSLATIONS: Final = {
    CHAT: _chat,
    GENERATE: _generate,
    EMBED: _embed,
    EMBEDDINGS: _embeddings,
}


def _options(options: _Options | None) -> dict[str, Any]:
    found = {} if options is None else msgspec.structs.asdict(options)
    fields = {name: value for name, value in found.items() if value is not None}
    fields |= {name: int(fields[name]) for name in _WHOLE if name in fields}
    # -1 is as many as it likes, -2 as the context holds: what a daemon does unasked.
    if fields.get("max_tokens", 1) <= 0:
        del fields["max_tokens"]
    # -1 is the whole context; llama-server refuses it.
    if fields.get("repeat_last_n", 0) < 0:
        del fields["repeat_last_n"]
    return fields


def _chat_fields(sent: _Body, messages: list[dict[str, Any]]) -> dict[str, Any]:
    fields = {"messages": messages, **_options(sent.options)}
    if schema := _schema(sent.format):
        fields["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        }
    if isinstance(sent.think, bool):
        fields["chat_template_kwargs"] = {"enable_thinking": sent.think}
    elif sent.think:
        # Models differ in which of the two their templates know.
        fields["chat_template_kwargs"] = {
            "enable_thinking": True,
            "reasoning_effort": sent.think,
        }
    return fields


def _schema(wanted: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """
    The JSON schema of what is asked for by `format`; None for plain text.
    """
    if wanted is None or wanted == "":
        return None
    if wanted == "json" or wanted == {}:
        return {"type": "object"}
    if isinstance(wanted, str):
        right = 'it must be "json" or a JSON schema'
        raise wrong("format", f"is {quoted(wanted)}; {right}")
    return wanted
