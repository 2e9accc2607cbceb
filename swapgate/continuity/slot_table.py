"""
Slot table: which conversation is in which slot of a daemon, as far as is known. Pure.

The daemon shows each slot's last task and its tokens, not what they say; what the
answers said of their tokens tells whose slot is whose.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from swapgate.continuity.answers import Counts
from swapgate.continuity.beginnings import NOTHING, Beginning
from swapgate.continuity.snapshots import Match, Snapshot

# So many answers are remembered until their slots are looked at.
_MOST_ENDED: Final = 64
# Engines differ in whether the last token counts.
_NEAR: Final = 2
# A prompt's bytes for each token, where neither side tells.
_BYTES_PER_TOKEN: Final = 4


@frozen
class SlotView:
    """
    One slot as the daemon shows it; None is not shown.

    :param task: the number of its last task in this life.
    """

    id: int
    busy: bool
    task: int | None
    tokens: int | None


@define(eq=False)
class Slot:
    """
    What is known of one slot.

    :ivar task: the number of its last task, when it was looked at.
    :ivar changed: it holds what is not saved.
    :ivar restored: what was restored into it, if no request has used it since.
    """

    id: int
    task: int | None = None
    busy: bool = False
    holds: Beginning = NOTHING
    tokens: int = 0
    prompt_tokens: int | None = None
    changed: bool = False
    restored: Snapshot | None = None
    used: int = 0

    def empty(self) -> None:
        """
        What it holds is not known any more.
        """
        self.holds, self.restored, self.changed = NOTHING, None, False
        self.tokens, self.prompt_tokens = 0, None

    def fill(self, snapshot: Snapshot) -> None:
        """
        This was restored into it.
        """
        self.holds, self.restored, self.changed = snapshot.beginning, snapshot, False
        self.tokens, self.prompt_tokens = snapshot.tokens, snapshot.prompt_tokens


@frozen
class Ended:
    """
    A request that was answered, and what its answer said.
    """

    beginning: Beginning
    counts: Counts


@define(eq=False)
class SlotTable:
    """
    All slots of one daemon.
    """

    _slots: dict[int, Slot] = field(factory=dict, init=False)
    # Whose slots were not looked at since.
    _ended: list[Ended] = field(factory=list, init=False)
    _uses: int = field(default=0, init=False)

    def begin(self, views: Iterable[SlotView]) -> None:
        self._slots = {
            view.id: Slot(view.id, view.task, busy=view.busy) for view in views
        }

    @property
    def slots(self) -> Sequence[Slot]:
        return list(self._slots.values())

    def note_end(self, beginning: Beginning, counts: Counts) -> None:
        """
        A request's answer has ended.
        """
        self._ended = [*self._ended, Ended(beginning, counts)][-_MOST_ENDED:]

    def take_ended(self) -> list[Ended]:
        """
        What has ended, for `settle` once the slots have been looked at.
        """
        ended, self._ended = self._ended, []
        return ended

    def settle(self, views: Sequence[SlotView], ended: list[Ended]) -> None:
        """
        Note what the slots hold, now that they have been looked at.
        """
        changed = []
        # Some builds show no task: whatever has ended has changed them.
        unshown = bool(ended) and all(view.task is None for view in views)
        for view in views:
            slot = self._slots.get(view.id)
            if slot is None:
                continue
            slot.busy = view.busy
            shown = unshown or view.task != slot.task
            if shown and not view.busy:
                changed.append((slot, view))
        for slot, view in changed:
            found = _whose(view, ended, only=len(changed) == 1)
            slot.empty()
            slot.task = view.task
            if found is None:
                continue
            ended.remove(found)
            slot.holds, slot.prompt_tokens = found.beginning, found.counts.prompt
            estimate = len(found.beginning) // _BYTES_PER_TOKEN
            slot.tokens = view.tokens or found.counts.in_slot or estimate
            slot.changed = len(slot.holds) > 0
            self.use(slot)
        if any(slot.busy for slot in self.slots):
            # They may be in there.
            self._ended = ended + self._ended

    def forget(self) -> None:
        """
        What the slots hold by now is never saved.
        """
        self._ended.clear()
        for slot in self.slots:
            slot.changed = False

    def use(self, slot: Slot) -> None:
        self._uses += 1
        slot.used = self._uses

    @property
    def to_save(self) -> Sequence[Slot]:
        """
        The slots that hold what is not saved, and are at rest.
        """
        return [slot for slot in self.slots if slot.changed and not slot.busy]

    @property
    def is_saved(self) -> bool:
        """
        Whether nothing has changed that is not saved.
        """
        return not self._ended and not any(slot.changed for slot in self.slots)

    def common(self, wanted: Beginning) -> int:
        """
        How many bytes of a conversation are in a slot already.
        """
        held = [slot.holds for slot in self.slots]
        held += [each.beginning for each in self._ended]
        return max((each.common(wanted) for each in held), default=0)

    def may_overwrite(self, wanted: Beginning) -> bool:
        """
        Whether a request may overwrite a conversation that is not saved.
        """
        unsaved = [slot.holds for slot in self.slots if slot.changed]
        unsaved += [each.beginning for each in self._ended]
        return any(len(each) and not each.goes_on_in(wanted) for each in unsaved)

    def slot_for(self, wanted: Beginning) -> Slot | None:
        """
        The slot that the daemon will take for a request: of those at rest the one that
        has a tenth of it or more, else the one that was used the longest ago.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        best = max(idle, key=lambda slot: slot.holds.common(wanted), default=None)
        if best is None or 10 * best.holds.common(wanted) > len(wanted) > 0:
            return best
        return min(idle, key=lambda slot: slot.used)

    def take_restored(self, wanted: Beginning) -> Match | None:
        """
        What was restored for a request that comes now.
        """
        for slot in self.slots:
            if slot.restored is not None:
                match = Match(slot.restored, slot.holds.common(wanted))
                if match.is_whole:
                    slot.restored = None
                    return match
        return None


def _whose(view: SlotView, ended: Sequence[Ended], *, only: bool) -> Ended | None:
    """
    The request that has left a slot as it is seen, the last such.

    :param only: no other slot has changed.
    """
    for each in reversed(ended):
        in_slot = each.counts.in_slot
        if in_slot is None or view.tokens is None:
            continue
        if abs(in_slot - view.tokens) <= _NEAR:
            return each
    return ended[-1] if only and ended else None
