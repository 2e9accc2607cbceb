"""
What is known of a model without loading it: its command line, and its file.

A child's command stands in the configuration, an agent's in its plist. Of units, other
commands and remote daemons nothing is known but what the configuration says.
"""

import plistlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from xml.parsers.expat import ExpatError

from attrs import frozen

from swapgate.api.ollama_listings import ListedModel
from swapgate.config.daemon_kinds import ChildSpec, LaunchdSpec
from swapgate.config.model import ONE_AT_A_TIME, ModelSpec


@frozen
class _CommandLine:
    argv: Sequence[str] = ()
    cwd: str = "/"

    def value(self, *names: str) -> str | None:
        """
        The value of an option of llama-server's.
        """
        words = enumerate(self.argv[:-1])
        return next((self.argv[at + 1] for at, word in words if word in names), None)

    def has(self, *names: str) -> bool:
        return not set(names).isdisjoint(self.argv)


def listed(spec: ModelSpec, started: float) -> ListedModel:
    """
    :param started: the gateway's start, which stands for an unknown file's time.
    """
    command = _command_line(spec)
    size, modified_s = _file(command) or (None, started)
    context = command.value("-c", "--ctx-size", "--ctx_size") or ""
    capabilities = ["completion", "tools"]
    if command.has("--embedding", "--embeddings"):
        capabilities = ["embedding"]
    elif command.has("-mm", "--mmproj"):
        capabilities.append("vision")
    return ListedModel(
        name=spec.name,
        aliases=spec.aliases,
        memory_bytes=0 if spec.memory_bytes == ONE_AT_A_TIME else spec.memory_bytes,
        modified_s=modified_s,
        file_bytes=size,
        context_length=int(context) if context.isdecimal() and int(context) else None,
        capabilities=tuple(capabilities),
    )


def _command_line(spec: ModelSpec) -> _CommandLine:
    match spec.service:
        case ChildSpec(command=command, cwd=cwd):
            return _CommandLine(command.words, cwd)
        case LaunchdSpec(plist=path):
            # What is wrong with it is told when it is loaded.
            with suppress(OSError, ValueError, ExpatError, AttributeError):
                plist = plistlib.loads(Path(path).read_bytes())
                argv = plist.get("ProgramArguments", [])
                return _CommandLine(
                    [str(word) for word in argv],
                    str(plist.get("WorkingDirectory", "/")),
                )
    return _CommandLine()


def _file(command: _CommandLine) -> tuple[int, float] | None:
    """
    Size and time of the model's file; None where it is unknown.
    """
    path = command.value("-m", "--model")
    if path is None:
        return None
    try:
        found = Path(command.cwd, path).expanduser().stat()
    except (OSError, RuntimeError, ValueError):
        return None
    return found.st_size, found.st_mtime
