"""
Snapshots: which to restore, which are out of date, which to delete for room. Pure.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from attrs import frozen
from msgspec import Struct
from msgspec.structs import replace

from swapgate.continuity.beginnings import Beginning
from swapgate.continuity.speeds import Speeds

# Of a disk's space, so much stays free.
_FREE_SHARE: Final = 0.1
_HOUR_S: Final = 3600.0

T = TypeVar("T")


class Snapshot(Struct, frozen=True, kw_only=True):
    """
    One slot as it was saved, and what was in it.

    :ivar id: a random number, by which its files are called.
    :ivar validity: see `validity`.
    :ivar digests: the beginning of the conversation that is in it.
    :ivar tokens: all that it holds.
    :ivar prompt_tokens: those of them that its last request sent; None is unknown.
    :ivar mtime_ns: of the file, which is never written again.
    :ivar ends: a digest of the file's head and tail.
    :ivar used_s: when it was last saved or restored, in seconds of the epoch.
    """

    id: str
    model: str
    validity: str
    digests: bytes
    tokens: int
    prompt_tokens: int | None
    size: int
    mtime_ns: int
    ends: str
    used_s: float

    @property
    def beginning(self) -> Beginning:
        return Beginning(self.digests)

    def used(self, now_s: float) -> "Snapshot":
        return replace(self, used_s=now_s)

    def tokens_in(self, common: int) -> float:
        """
        How many of a prompt's tokens lie in so many of its bytes.
        """
        tokens = self.tokens if self.prompt_tokens is None else self.prompt_tokens
        length = len(self.beginning)
        return tokens * min(common / length, 1.0) if length else 0.0


@frozen
class Match:
    """
    A snapshot that holds the beginning of a conversation.

    :param common: how much of it, in bytes.
    """

    snapshot: Snapshot
    common: int

    @property
    def is_whole(self) -> bool:
        """
        Whether the conversation goes on from where the snapshot ends.
        """
        return self.common == len(self.snapshot.beginning)

    @property
    def tokens(self) -> float:
        return self.snapshot.tokens_in(self.common)


def best_match(
    snapshots: Iterable[Snapshot], wanted: Beginning, known: int = 0
) -> Match | None:
    """
    The snapshot that has the longest beginning in common with what is wanted; of two
    such the one that was used last.

    :param known: how much of it is at hand anyway; it must have more.
    """
    # There may be a thousand: most differ at once.
    alike = (each for each in snapshots if wanted.begins_like(each.digests))
    matches = (Match(each, each.beginning.common(wanted)) for each in alike)
    return max(
        (match for match in matches if match.common > known),
        key=lambda match: (match.common, match.snapshot.used_s),
        default=None,
    )


def to_restore(
    snapshots: Sequence[Snapshot],
    waiting: Iterable[Beginning],
    slots: Sequence[T],
    speeds: Speeds,
) -> Sequence[tuple[T, Match]]:
    """
    Which snapshot goes into which slot of a daemon that has just begun.

    Where requests wait, what they want, in their order. Where none does, what was used
    last: the next one will want something.

    :param slots: the daemon's, all empty.
    """
    chosen: dict[str, Match] = {}
    waiting = list(waiting)
    for wanted in waiting:
        match = best_match(snapshots, wanted)
        if match and match.snapshot.id not in chosen:
            chosen[match.snapshot.id] = match
    if not waiting:
        latest = sorted(snapshots, key=lambda each: each.used_s, reverse=True)
        chosen = {each.id: Match(each, len(each.beginning)) for each in latest}
    paying = (
        match
        for match in chosen.values()
        if speeds.restore_pays(match.tokens, match.snapshot.size)
    )
    return list(zip(slots, paying, strict=False))


def superseded(
    snapshots: Iterable[Snapshot], model: str, beginning: Beginning
) -> Sequence[Snapshot]:
    """
    Those of the model whose conversations go on in this one.
    """
    return [
        each
        for each in snapshots
        if each.model == model and each.beginning.goes_on_in(beginning)
    ]


@frozen
class Disk:
    """
    The space of one file system, in bytes.
    """

    free: int
    total: int

    def lacks(self, need: int) -> int:
        """
        How much must be deleted before so much more may be written.
        """
        return need - self.free + int(self.total * _FREE_SHARE)


def to_delete(
    snapshots: Sequence[Snapshot],
    need: int,
    most: int,
    disk: Disk,
    value: Callable[[Snapshot], float],
) -> Sequence[Snapshot] | None:
    """
    What goes so that a snapshot of so many bytes has room, the least valuable first;
    None where there would be no room for it.

    :param most: how much all of them may take.
    """
    if need > most:
        return None
    missing = max(sum(each.size for each in snapshots) + need - most, disk.lacks(need))
    deleted = []
    for each in sorted(snapshots, key=value):
        if missing <= 0:
            break
        deleted.append(each)
        missing -= each.size
    return deleted if missing <= 0 else None


def value_of(snapshot: Snapshot, speeds: Speeds, now_s: float) -> float:
    """
    Seconds that it will save, for each byte that it takes; less the longer it lies.
    """
    age_s = max(now_s - snapshot.used_s, 0.0)
    saved_s = speeds.reading_s(snapshot.tokens)
    return saved_s / max(snapshot.size, 1) / (1 + age_s / _HOUR_S)
