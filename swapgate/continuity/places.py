"""
Places: where each model's conversations are saved, or why they are not. Pure.
"""

import re
from hashlib import sha256
from typing import Final

from attrs import frozen

from swapgate.config import daemon_kinds as kinds
from swapgate.config.model import ModelSpec
from swapgate.continuity.commands import SAVE_PATH, EngineCommand, engine_command

_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")
_SHOWN: Final = 40


@frozen
class Place:
    """
    A model's folder.

    :param adds_option: its daemon is told of it by us; else by its own command.
    """

    folder: str
    adds_option: bool = False


def folder_name(model: str) -> str:
    """
    The name of the folder of a model, whose own name may hold anything.
    """
    digest = sha256(model.encode()).hexdigest()[:8]
    return f"{_NOT_PLAIN.sub('-', model)[:_SHOWN].strip('.-')}-{digest}"


def command_of(spec: ModelSpec) -> EngineCommand:
    """
    A child's command. What an agent or a unit runs is not in the configuration.
    """
    if not isinstance(spec.service, kinds.ChildSpec):
        return EngineCommand()
    return engine_command(spec.service.command.argv(0))


def place_of(spec: ModelSpec, root: str) -> Place | str:
    """
    Where a model's conversations are saved; or why they cannot be, in words.

    :param root: the folder for those of children.
    """
    if spec.continuity == "off":
        return "continuity = off"
    if isinstance(spec.service, kinds.RemoteSpec):
        return "a remote daemon saves nothing here"
    command = command_of(spec)
    if isinstance(spec.service, kinds.ChildSpec) and command.is_known:
        if command.save_path is not None:
            return Place(_from(spec.service.cwd, command.save_path))
        own = f"{root}/{folder_name(spec.name)}"
        return Place(spec.snapshot_dir or own, adds_option=True)
    if spec.snapshot_dir is None:
        return (
            f"snapshot_dir is not set; give its own command {SAVE_PATH} FOLDER, and "
            "write snapshot_dir = FOLDER"
        )
    return Place(spec.snapshot_dir)


def _from(folder: str, path: str) -> str:
    return path if path.startswith("/") else f"{folder}/{path}"
