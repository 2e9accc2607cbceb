"""
Ollama's API: what is listed of models, from what is known of them. Pure.

Clients are strict about fields that may be unknown: `size` must be a whole number,
`digest` hexadecimal, `modified_at` a date, and `details` must be whole.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

from attrs import frozen

from swapgate.api.ollama import rfc3339

#: Copilot asks for 0.6.4 at least; thinking came with 0.9.0. A client may parse it.
VERSION: Final = "0.9.0"
# As Ollama says it, in a year that every client can parse.
_NEVER: Final = "9999-12-31T23:59:59Z"


@frozen(kw_only=True)
class ListedModel:
    """
    What is known of a model.

    :param memory_bytes: what its daemon takes when it is up.
    :param file_bytes: the size of its file.
    :param modified_s: when its file changed, or the gateway started, in seconds of the
        epoch.
    :param digest: its file's SHA-256, in hexadecimal.
    :param family: the architecture, such as gemma3.
    :param capabilities: completion, tools, vision, thinking, embedding.
    """

    name: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int = 0
    modified_s: float
    file_bytes: int | None = None
    digest: str | None = None
    family: str = "unknown"
    parameter_size: str = ""
    quantization: str = ""
    context_length: int | None = None
    capabilities: tuple[str, ...] = ("completion",)


def version() -> dict[str, Any]:
    """
    The answer to GET /api/version.
    """
    return {"version": VERSION}


def tags(models: Iterable[ListedModel]) -> dict[str, Any]:
    """
    The answer to GET /api/tags: names first, then aliases, each an entry of its own.
    """
    models = list(models)
    names = [(model.name, model) for model in models]
    names += [(alias, model) for model in models for alias in model.aliases]
    entries = [
        {**_entry(name, model), "modified_at": rfc3339(model.modified_s)}
        for name, model in names
    ]
    return {"models": entries}


def ps(up: Iterable[tuple[ListedModel, float | None]]) -> dict[str, Any]:
    """
    The answer to GET /api/ps.

    :param up: the models that are up, each with the time when it is unloaded if no
        request asks for it, in seconds of the epoch; None is never.
    """
    entries = []
    for model, expires_s in up:
        entry = _entry(model.name, model) | {
            "expires_at": _NEVER if expires_s is None else rfc3339(expires_s),
            "size_vram": model.memory_bytes,
        }
        if model.context_length is not None:
            entry["context_length"] = model.context_length
        entries.append(entry)
    return {"models": entries}


def show(model: ListedModel) -> dict[str, Any]:
    """
    The answer to POST /api/show.
    """
    info: dict[str, Any] = {"general.architecture": model.family}
    if model.context_length is not None:
        info[f"{model.family}.context_length"] = model.context_length
    return {
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": _details(model),
        "model_info": info,
        "capabilities": list(model.capabilities),
        "modified_at": rfc3339(model.modified_s),
    }


def _entry(name: str, model: ListedModel) -> dict[str, Any]:
    size = model.memory_bytes if model.file_bytes is None else model.file_bytes
    return {
        "name": name,
        "model": name,
        "size": size,
        # Some clients tell models apart by it.
        "digest": model.digest or sha256(model.name.encode()).hexdigest(),
        "details": _details(model),
    }


def _details(model: ListedModel) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameter_size,
        "quantization_level": model.quantization,
    }
