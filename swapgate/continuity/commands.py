"""
Commands: where a daemon saves its slots, and what of its command matters to them. Pure.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from attrs import frozen

#: The option of llama-server that says where slots are saved.
SAVE_PATH: Final = "--slot-save-path"
_SWA_FULL: Final = "--swa-full"
_CACHE_RAM: Final = frozenset({"--cache-ram", "-cram"})
_OURS: Final = frozenset({"swapgate.engine", "swapgate.demo"})
# What may change without harm to what was saved, with one value each.
_HARMLESS: Final = frozenset(
    {
        *(SAVE_PATH, "--host", "--port", "-a", "--alias", "-t", "--threads"),
        *("-tb", "--threads-batch", "--api-key", "--api-key-file", "--log-file"),
        *(*_CACHE_RAM, "-to", "--timeout", "--threads-http"),
    }
)


@frozen
class EngineCommand:
    """
    The words of a command that runs an engine, as far as they are known.

    :param words: empty: they are not known.
    """

    words: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """
        Whether this is surely llama-server, or swapgate's own engine, so that it takes
        llama-server's options at its end.
        """
        return self.is_ours or (
            bool(self.words) and PurePosixPath(self.words[0]).name == "llama-server"
        )

    @property
    def is_ours(self) -> bool:
        return len(self.words) > 2 and self.words[1] == "-m" and self.words[2] in _OURS

    @property
    def save_path(self) -> str | None:
        """
        Where it saves its slots by itself.
        """
        return self._value(SAVE_PATH)

    @property
    def keeps_in_memory(self) -> bool:
        """
        Whether the engine may itself keep a conversation that another overwrites.
        """
        values = (self._value(name) for name in _CACHE_RAM)
        return "0" not in values

    @property
    def remedy(self) -> str:
        """
        What may help where what was restored has helped nothing.
        """
        if _SWA_FULL in self.words:
            return "nothing is known that would help"
        return f"add {_SWA_FULL} to its command if its model has a sliding window"

    @property
    def what_matters(self) -> tuple[str, ...]:
        """
        The words without those that may change without harm to what was saved.
        """
        kept: list[str] = []
        words = list(self.words)
        while words:
            word = words.pop(0)
            if word in _HARMLESS:
                del words[:1]
            else:
                kept.append(word)
        return tuple(kept)

    def _value(self, option: str) -> str | None:
        """
        What stands after an option, the last time that it is given.
        """
        found = None
        for word, after in zip(self.words, self.words[1:], strict=False):
            if word == option:
                found = after
        return found


def engine_command(words: Sequence[str]) -> EngineCommand:
    return EngineCommand(tuple(words))
