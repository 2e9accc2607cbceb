"""
Entry point of the demo: `python -m swapgate.demo --persona NAME [engine options]`.

Its engine is `swapgate.engine`, or else a llama-server on PATH. The demo's answers are
known, so its engine must be known too: the one on PATH may be of any age, and is used
only where the extra is missing.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from swapgate.demo import INSTALL, DemoError
from swapgate.demo.weights import assemble_packaged, cache_folder, ready_weights
from swapgate.engine import EngineError, server
from swapgate.engine.server import PACKAGE

TEMPLATES = Path(__file__).parent / "templates"
BINARY = "llama-server"
PERSONAS = ("general", "japanese", "programming")

# Only options that swapgate.engine takes, and that every build able to read this model
# has: what is on PATH may be older or newer.
ENGINE_OPTIONS = (
    # On this machine only.
    *("--host", "127.0.0.1"),
    # One conversation at a time; on two busy cores one thread was the fastest.
    *("-c", "4096", "-np", "1", "-t", "1", "--no-warmup"),
    # The same question, the same answer, whatever temperature a client sends.
    *("--top-k", "1"),
    # A base model never knows when to stop: its line ends, or it has said enough.
    *("-r", "\n", "-n", "64"),
    "--jinja",
    # Its model has a sliding window; what is saved of a conversation is small so.
    "--swa-full",
)

# For a llama-server on PATH. Younger than some builds, so not an option: as a variable
# they pass it over. Without it the model is read twice, to see whether it fits.
ENGINE_VARIABLES = {"LLAMA_ARG_FIT": "off"}


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
        binary = Path(folder, BINARY)
        if folder and binary.is_file() and os.access(binary, os.X_OK):
            return binary
    raise DemoError(
        f"there is no engine; install one with: {INSTALL}"
        f" (or put a {BINARY} on PATH, where no {PACKAGE} fits this machine)"
    )


def persona_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """
    The persona, and the rest, which is the engine's.
    """
    match arguments:
        case ["--persona", name, *rest] if name in PERSONAS:
            return name, rest
    raise DemoError(
        f"usage: python -m swapgate.demo --persona {'|'.join(PERSONAS)}"
        " [llama-server options]"
    )


def run(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    installed: bool,
    assemble: Callable[[Path], None] = assemble_packaged,
    serve: Callable[[Sequence[str]], object] = server.run,
    execute: Callable[[Path, list[str], dict[str, str]], object] = os.execve,
) -> None:
    """
    Serve as this persona; what cannot be is an error of one line.

    :param installed: whether the engine's package is there.
    """
    name, rest = persona_of(arguments)
    binary = None if installed else find_binary(environ)
    weights = ready_weights(cache_folder(environ, sys.platform), assemble)
    template = TEMPLATES / f"{name}.jinja"
    options = [
        *("-m", str(weights), "--chat-template-file", str(template)),
        *ENGINE_OPTIONS,
        *rest,
    ]
    if binary is None:
        serve(options)
        return
    # Python ignores it, and what is ignored stays so across an exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        execute(binary, [str(binary), *options], {**ENGINE_VARIABLES, **environ})
    except OSError as error:
        raise DemoError(f"{binary} does not start: {error.strerror}") from error


if __name__ == "__main__":
    try:
        run(sys.argv[1:], os.environ, installed=is_installed())
    except (DemoError, EngineError) as error:
        sys.exit(f"swapgate demo: {error}")
