"""
Command line of `python -m swapgate.engine`: the options of llama-server that it takes.

1. An option means what it means to llama-server, and is spelt as there.
2. Any other one is an error that names it: ignored, it would be missed later.
3. What is not given is as llama-server has it, but for `fit_params` (see `DEFAULTS`).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from swapgate.engine import EngineError


class Member(NamedTuple):
    """
    A member of one of xllamacpp's enumerations.
    """

    enumeration: str
    name: str


Value = str | int | bool | tuple[str, ...] | Member
# Fields of xllamacpp's CommonParams, by their dotted names.
Settings = dict[str, Value]

# Where xllamacpp's own defaults are not llama-server's, or not good.
DEFAULTS: Settings = {
    "port": 8080,
    # Automatic: four conversations that share the context.
    "n_parallel": -1,
    # To see whether it fits the model would be read twice. The gateway's budget has
    # decided that it fits.
    "fit_params": False,
}

_INT32_MAX = 2**31 - 1
_ESCAPE = re.compile(r"""\\(?:([nrt'"\\])|x([0-9A-Fa-f]{2}))""")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}
_FLASH_ATTENTION = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}
_CACHE_TYPES = (
    *("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"),
)


class _Wrong(Exception):
    """
    A value that will not do, and what would.
    """


class _Option(NamedTuple):
    """
    :param field: what it sets.
    :param value: what it sets that to, or for an option with a value what reads that.
    :param repeats: given again, it adds to what was given before.
    """

    names: tuple[str, ...]
    field: str
    value: Value | Callable[[str], Value] = True
    repeats: bool = False


def _number(least: int, most: int = _INT32_MAX, **words: int) -> Callable[[str], Value]:
    """
    A whole number in decimal, or one of the words that stand for one.
    """

    def read(text: str) -> Value:
        if text in words:
            return words[text]
        if re.fullmatch("-?[0-9]{1,10}", text) and least <= int(text) <= most:
            return int(text)
        named = "".join(f"{word}, " for word in words)
        raise _Wrong(f"{named}a number from {least} to {most}")

    return read


def _text(text: str) -> Value:
    if not text:
        raise _Wrong("something")
    return text


def _list(text: str) -> Value:
    names = tuple(name for each in text.split(",") if (name := each.strip()))
    if not names:
        raise _Wrong("a name, or several with commas between them")
    return names


def _reverse_prompt(text: str) -> Value:
    r"""
    As llama-server reads it: `\n` in the argument is a new line.
    """
    if not text:
        raise _Wrong("the text to stop at")

    def one(found: re.Match[str]) -> str:
        letter, code = found.groups()
        return _ESCAPED[letter] if letter else chr(int(code, 16))

    return (_ESCAPE.sub(one, text),)


def _flash_attention(text: str) -> Value:
    if text not in _FLASH_ATTENTION:
        raise _Wrong("on, off or auto")
    name = f"LLAMA_FLASH_ATTN_TYPE_{_FLASH_ATTENTION[text]}"
    return Member("llama_flash_attn_type", name)


def _cache_type(text: str) -> Value:
    if text not in _CACHE_TYPES:
        raise _Wrong(f"one of {', '.join(_CACHE_TYPES)}")
    return Member("ggml_type", f"GGML_TYPE_{text.upper()}")


_OPTIONS = (
    _Option(("-m", "--model"), "model.path", _text),
    _Option(("--port",), "port", _number(0, 65535)),
    _Option(("--host",), "hostnames", _list),
    _Option(("-a", "--alias"), "model_alias", _list),
    _Option(("-c", "--ctx-size"), "n_ctx", _number(0)),
    _Option(("-np", "--parallel"), "n_parallel", _number(-1)),
    _Option(("-t", "--threads"), "cpuparams.n_threads", _number(-1)),
    _Option(
        ("-ngl", "--gpu-layers", "--n-gpu-layers"),
        "n_gpu_layers",
        _number(-1, auto=-1, all=-2),
    ),
    _Option(("-n", "--predict", "--n-predict"), "n_predict", _number(-1)),
    _Option(("-r", "--reverse-prompt"), "antiprompt", _reverse_prompt, repeats=True),
    _Option(("--top-k",), "sampling.top_k", _number(0)),
    _Option(("-mm", "--mmproj"), "mmproj.path", _text),
    _Option(("--jinja",), "use_jinja"),
    _Option(("--chat-template-file",), "chat_template", _text),
    _Option(("--slot-save-path",), "slot_save_path", _text),
    _Option(("--swa-full",), "swa_full"),
    _Option(("-cram", "--cache-ram"), "cache_ram_mib", _number(-1)),
    _Option(("-ctxcp", "--ctx-checkpoints"), "n_ctx_checkpoints", _number(0)),
    _Option(("--embedding", "--embeddings"), "embedding"),
    _Option(
        ("--rerank", "--reranking"),
        "pooling_type",
        Member("llama_pooling_type", "LLAMA_POOLING_TYPE_RANK"),
    ),
    _Option(("-fa", "--flash-attn"), "flash_attn_type", _flash_attention),
    _Option(("-ctk", "--cache-type-k"), "cache_type_k", _cache_type),
    _Option(("-ctv", "--cache-type-v"), "cache_type_v", _cache_type),
    _Option(("--no-warmup",), "warmup", False),
)
_BY_NAME = {name: option for option in _OPTIONS for name in option.names}


def parse(arguments: Sequence[str]) -> Settings:
    """
    What a command line sets, over `DEFAULTS`; the files it names are not looked at.
    """
    settings = dict(DEFAULTS)
    left = list(arguments)
    while left:
        name = left.pop(0)
        option = _BY_NAME.get(name)
        if option is None:
            known = ", ".join(each.names[-1] for each in _OPTIONS)
            raise EngineError(
                f"there is no option {name!r} here, only {known};"
                " for another one use a llama-server"
            )
        value: Any = option.value
        if callable(value):
            value = _value(name, value, left)
        if option.repeats:
            value = settings.get(option.field, ()) + value
        settings[option.field] = value
    if "model.path" not in settings:
        raise EngineError("no model is named; name a GGUF file with -m")
    if settings["n_parallel"] == 0:
        raise EngineError("--parallel 0 serves no request; write 1 or more, or -1")
    # To rank is to embed, and then to pool.
    if "pooling_type" in settings:
        settings["embedding"] = True
    return settings


def _value(name: str, read: Callable[[str], Value], left: list[str]) -> Value:
    """
    The value that stands after an option; taken from what is left.
    """
    bare_flash = read is _flash_attention and (not left or left[0].startswith("-"))
    if not left and not bare_flash:
        raise EngineError(f"{name} needs a value after it")
    # Older builds knew no values of it, and plists are as old as they are.
    text = "on" if bare_flash else left.pop(0)
    try:
        return read(text)
    except _Wrong as wrong:
        raise EngineError(f"{name} {text!r} will not do; write {wrong}") from None
