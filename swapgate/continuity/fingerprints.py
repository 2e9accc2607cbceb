"""
Fingerprints: the files and packages that an engine is made of, as they are now. Blocks.
"""

import plistlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from swapgate.config import daemon_kinds as kinds
from swapgate.config.model import ModelSpec
from swapgate.continuity.commands import EngineCommand, engine_command
from swapgate.continuity.folder import identity
from swapgate.continuity.places import command_of
from swapgate.continuity.validity import engine_facts, named_files, validity

# What swapgate's own engine is made of.
_PACKAGE: Final = "xllamacpp"


def found_command(spec: ModelSpec) -> EngineCommand:
    """
    The command of a model's daemon, an agent's as its property list has it.
    """
    if isinstance(spec.service, kinds.LaunchdSpec):
        words = _plist(spec.service.plist).get("ProgramArguments", ())
        return engine_command([str(word) for word in words])
    return command_of(spec)


def fingerprint(spec: ModelSpec, props: Any) -> str | None:
    """
    For which daemon what is saved now is good; None where it says too little of itself.

    :param props: its /props.
    """
    facts = engine_facts(props)
    if facts is None or not facts.model_path:
        return None
    command = found_command(spec)
    folder = getattr(spec.service, "cwd", "/")
    paths = [*named_files(command, facts, folder), *_program(command)]
    files = [found for path in paths if (found := identity(Path(path))) is not None]
    return validity(command, _environ(spec), facts, files, _packages(command))


def _program(command: EngineCommand) -> Sequence[str]:
    path = shutil.which(command.words[0]) if command.words else None
    return [] if path is None else [path]


def _environ(spec: ModelSpec) -> Sequence[tuple[str, str]]:
    if isinstance(spec.service, kinds.LaunchdSpec):
        given = _plist(spec.service.plist).get("EnvironmentVariables", {})
        return [(str(name), str(value)) for name, value in dict(given).items()]
    return getattr(spec.service, "env", ())


def _plist(path: str) -> dict[str, Any]:
    """
    A property list; empty where it cannot be read.
    """
    try:
        found = plistlib.loads(Path(path).read_bytes())
    # It fails in many ways at what is no property list.
    except Exception:
        found = None
    return found if isinstance(found, dict) else {}


def _packages(command: EngineCommand) -> Mapping[str, str]:
    # Another interpreter may have another one, and is known by its path.
    if command.is_ours and command.words[0] == sys.executable:
        with suppress(PackageNotFoundError):
            return {_PACKAGE: version(_PACKAGE)}
    return {}
