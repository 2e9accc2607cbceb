"""
Validity: for which daemon a snapshot is good, as a digest of all that matters. Pure.

Another file of the model, another build, context, cache type, slot count or flag makes
another digest. What is not told by `/props` is taken from the command, where it is
known: the types of the cache, flash attention, --swa-full, adapters.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from attrs import asdict, frozen

from swapgate.continuity.commands import EngineCommand

#: With another form of the files, or of what is kept beside them, comes another number.
FORMAT: Final = 1


@frozen
class FileIdentity:
    """
    Which file this is.

    :param ends: a digest of its head and its tail.
    """

    path: str
    size: int
    mtime_ns: int
    ends: str


@frozen
class EngineFacts:
    """
    What `/props` says of a daemon; "" and 0 where it says nothing.

    :param context: of one slot, in tokens.
    """

    model_path: str
    build: str
    slots: int
    context: int
    rest: str


def engine_facts(props: Any) -> EngineFacts | None:
    """
    What is known of a daemon by its `/props`; None where that is no answer to it.
    """
    if not isinstance(props, dict):
        return None
    settings = props.get("default_generation_settings")
    settings = settings if isinstance(settings, dict) else {}
    params = settings.get("params")
    lora = params.get("lora") if isinstance(params, dict) else None
    slots, context = props.get("total_slots"), settings.get("n_ctx")
    return EngineFacts(
        model_path=_text(props.get("model_path")),
        build=_text(props.get("build_info")),
        slots=slots if isinstance(slots, int) else 0,
        context=context if isinstance(context, int) else 0,
        rest=json.dumps([lora, props.get("modalities"), props.get("model_ftype")]),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def named_files(
    command: EngineCommand, facts: EngineFacts, folder: str
) -> Sequence[str]:
    """
    The paths of the files that matter: the model's, its adapters', its projector's.

    :param folder: in which the command is run.
    """
    words = {word for word in command.words if word.endswith(".gguf")}
    paths = sorted(words | ({facts.model_path} if facts.model_path else set()))
    return [path if path.startswith("/") else f"{folder}/{path}" for path in paths]


def validity(
    command: EngineCommand,
    environ: Iterable[tuple[str, str]],
    facts: EngineFacts,
    files: Iterable[FileIdentity],
    packages: Mapping[str, str],
) -> str:
    """
    The digest of all that a snapshot depends on.

    :param environ: what is set for the daemon by its configuration.
    :param packages: the versions of those that the engine is made of.
    """
    everything = [
        FORMAT,
        command.what_matters,
        sorted(environ),
        asdict(facts),
        [asdict(each) for each in files],
        sorted(packages.items()),
    ]
    return sha256(json.dumps(everything).encode()).hexdigest()[:32]
