"""
Preflight: checks a command's program, folder and model file before it is run.

A model that serves is evicted for another one only after these checks.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

_MODEL_OPTIONS = ("-m", "--model")


def cannot_run(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> str | None:
    """
    Why this command would not run; None where all is found.

    :param env: the environment it would have; its PATH is searched.
    """
    if not Path(cwd).is_dir():
        return f"the folder {cwd} is not there"
    if shutil.which(argv[0], path=env.get("PATH", os.defpath)) is None:
        return f"{argv[0]!r} is not an executable on PATH"
    model = _model_file(argv)
    if model is not None:
        path = Path(cwd, model)
        if not path.is_file():
            return f"the model file {path} is not there"
        if not os.access(path, os.R_OK):
            return f"the model file {path} may not be read"
    return None


def port_in_use(port: int, holder: str) -> str:
    remedy = "stop that process, or give the model another port"
    return f"port {port} is in use ({holder}); {remedy}"


def _model_file(argv: Sequence[str]) -> str | None:
    """
    The file that llama-server and its kin are told to load.

    Elsewhere the same options name a module, or a model in a hub: no GGUF file.
    """
    given = [value for option, value in pairwise(argv) if option in _MODEL_OPTIONS]
    given += [
        value
        for argument in argv
        for option, equals, value in [argument.partition("=")]
        if equals and option in _MODEL_OPTIONS
    ]
    return next((value for value in given if value.endswith(".gguf")), None)
