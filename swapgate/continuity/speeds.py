"""
Speeds: how fast a model reads, and its snapshots are saved and restored. Pure.

All of them are measured, on this machine, and kept. Where one is not known yet, trying
is how it becomes known.
"""

from statistics import median
from typing import Final

from msgspec import Struct, field

# So many measurements are kept of each.
_KEPT: Final = 5
# What is restored must be this many times as fast as reading: both vary.
_RESTORE_FACTOR: Final = 2
# What is saved before another conversation overwrites it may be asked for no more.
_SAVE_FACTOR: Final = 10
# Where nothing is measured yet; only one snapshot's worth against another's.
_READING: Final = 500.0


class Speeds(Struct):
    """
    The last measurements.

    :ivar reading: in tokens a second.
    :ivar saving: bytes, and the seconds that they took; restoring the same.
    :ivar token_bytes: what a token takes in a snapshot; 0 is unknown.
    """

    reading: list[float] = field(default_factory=list)
    saving: list[tuple[int, float]] = field(default_factory=list)
    restoring: list[tuple[int, float]] = field(default_factory=list)
    token_bytes: float = 0.0

    def note_reading(self, speed: float | None) -> None:
        if speed:
            self.reading = [*self.reading, speed][-_KEPT:]

    def note_saving(self, tokens: int, size: int, took_s: float) -> None:
        self.token_bytes = size / tokens
        self.saving = [*self.saving, (size, took_s)][-_KEPT:]

    def note_restoring(self, size: int, took_s: float) -> None:
        self.restoring = [*self.restoring, (size, took_s)][-_KEPT:]

    def reading_s(self, tokens: float) -> float:
        """
        How long it may take to read so many tokens.
        """
        return tokens / (median(self.reading) if self.reading else _READING)

    def size_of(self, tokens: int) -> int:
        """
        How large a snapshot of so many tokens may be; 0 where none was seen.
        """
        return int(tokens * self.token_bytes)

    def restore_pays(self, tokens: float, size: int) -> bool:
        """
        Whether to restore so many bytes is surely faster than to read these tokens.
        """
        cost_s = _seconds(self.restoring, size)
        if not self.reading or cost_s is None:
            return tokens > 0
        return self.reading_s(tokens) > _RESTORE_FACTOR * cost_s

    def save_pays(self, tokens: int) -> bool:
        """
        Whether a request should wait until these tokens are saved, which it is about to
        overwrite.
        """
        cost_s = _seconds(self.saving, self.size_of(tokens))
        if not self.reading or cost_s is None:
            return tokens > 0
        return self.reading_s(tokens) > _SAVE_FACTOR * cost_s


def _seconds(measured: list[tuple[int, float]], size: int) -> float | None:
    """
    How long so many bytes may take.
    """
    total = sum(size for size, _ in measured)
    return size * sum(took_s for _, took_s in measured) / total if total else None
