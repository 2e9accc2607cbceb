"""
One persona of the demo: `python -m swapgate.demo --persona NAME [engine options]`.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from swapgate.demo import DemoError
from swapgate.demo.engine import find_engine, packaged_folder
from swapgate.demo.weights import assemble_packaged, cache_folder, ready_weights

TEMPLATES = Path(__file__).parent / "templates"
PERSONAS = ("general", "japanese", "programming")

# Only options that every build able to read this model has: what is on PATH may be
# older or newer than the packaged one.
ENGINE_OPTIONS = (
    # Nothing here is for the world, and nothing here needs a GPU.
    *("--host", "127.0.0.1", "--device", "none"),
    # One conversation at a time; on two busy cores one thread was the fastest.
    *("-c", "4096", "-np", "1", "-t", "1", "--no-warmup"),
    # The same question, the same answer, whatever temperature a client sends.
    *("--top-k", "1"),
    # A base model never knows when to stop: its line ends, or it has said enough.
    *("-r", "\n", "-n", "64"),
    "--jinja",
)

# Younger than some builds, so not an option: as a variable they pass it over. Without
# it the engine reads the model twice, to see whether it fits.
ENGINE_VARIABLES = {"LLAMA_ARG_FIT": "off"}

Execute = Callable[[Path, list[str], dict[str, str]], object]


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
    packaged: Path | None,
    assemble: Callable[[Path], None] = assemble_packaged,
    execute: Execute = os.execve,
) -> None:
    """
    Become the engine; whatever stands in the way is a `DemoError`.
    """
    name, rest = persona_of(arguments)
    machine = os.uname().machine
    engine, variables = find_engine(environ, packaged, sys.platform, machine)
    weights = ready_weights(cache_folder(environ, sys.platform), assemble)
    template = TEMPLATES / f"{name}.jinja"
    # Python ignores it, and what is ignored stays so across an exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        execute(
            engine,
            [
                str(engine),
                *("-m", str(weights), "--chat-template-file", str(template)),
                *ENGINE_OPTIONS,
                *rest,
            ],
            {**ENGINE_VARIABLES, **variables},
        )
    except OSError as error:
        raise DemoError(f"{engine} does not start: {error.strerror}") from error


if __name__ == "__main__":
    try:
        run(sys.argv[1:], os.environ, packaged=packaged_folder())
    except DemoError as error:
        sys.exit(f"swapgate demo: {error}")
