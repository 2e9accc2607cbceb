"""
Transfers: saves one slot of a daemon, restores one, and takes in what comes of it.
"""

from enum import Enum
from typing import Final

from attrs import define, field
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.client import ResponseNeverReceived

from swapgate.continuity.folder import slot_file
from swapgate.continuity.slot_table import Slot
from swapgate.continuity.slots import Refused, Slots
from swapgate.continuity.snapshots import Snapshot
from swapgate.continuity.store import ModelStore, Store
from swapgate.upstream.response_parser import BadUpstreamResponse

#: What is asked is called off, as it takes too long.
CALLED_OFF: Final = (CancelledError, ConnectingCancelledError, TimeoutError)
#: The daemon has hung up: perhaps it is dead.
GONE: Final = (ConnectError, ConnectionDone, ConnectionLost, ResponseNeverReceived)
#: All that may go wrong between it and us.
FAILURES: Final = (*GONE, Refused, BadUpstreamResponse, OSError)
# What a daemon answers that has slots but saves none, whatever it is asked.
_NEVER: Final = frozenset({404, 405, 501})


class Outcome(Enum):
    """
    What became of a save or a restore.
    """

    DONE = "done"
    FAILED = "failed"
    # This daemon does not do it.
    NEVER = "never"
    # It hung up.
    GONE = "gone"


@define(eq=False)
class Transfers:
    """
    Those of one life of a daemon.

    :ivar seen: what was saved or restored in this life: the engine may have it still.
    :ivar why: what was said with the last outcome that was none.
    """

    store: Store
    model: ModelStore
    _slots: Slots
    _clock: IReactorTime
    seen: set[str] = field(factory=set, init=False)
    #: Restores that did not end in time: the daemon may still be at it.
    begun: set[str] = field(factory=set, init=False)
    why: str = field(default="", init=False)
    # Files that are being written, or were not written to their end.
    _unfinished: set[str] = field(factory=set, init=False)
    _log = Logger()

    async def restore(self, slot: Slot, snapshot: Snapshot) -> Outcome:
        """
        Restore it into this slot, of which nothing is known until then.
        """
        slot.empty()
        self.begun.add(snapshot.id)
        outcome = await self._restore(slot, snapshot)
        self.begun.discard(snapshot.id)
        return outcome

    async def _restore(self, slot: Slot, snapshot: Snapshot) -> Outcome:
        if not await self.store.is_intact(snapshot):
            return Outcome.FAILED
        began_s = self._clock.seconds()
        try:
            done = await self._slots.restore(slot.id, slot_file(snapshot.id))
            if done.tokens != snapshot.tokens:
                raise Refused(200, f"{done.tokens} of {snapshot.tokens} tokens")
        except GONE as error:
            self.why = type(error).__name__
            self.store.drop([snapshot])
            return Outcome.GONE
        except FAILURES as error:
            self._say("could not be restored", str(error))
            self.store.drop([snapshot])
            return Outcome.FAILED
        took_s = self._clock.seconds() - began_s
        self.model.record.speeds.note_restoring(snapshot.size, took_s)
        slot.fill(snapshot)
        self.seen.add(snapshot.id)
        self.store.use(snapshot)
        self._log.info(
            "{model}: restored a conversation of {tokens} tokens in {took_ms:.0f} ms",
            model=self.model.name,
            tokens=snapshot.tokens,
            took_ms=1000 * took_s,
        )
        return Outcome.DONE

    async def save(self, slot: Slot) -> Outcome:
        """
        Save what is in this slot, which is at rest.
        """
        speeds = self.model.record.speeds
        holds, prompt_tokens = slot.holds, slot.prompt_tokens
        # Whatever comes of it: it is tried again after the next answer.
        slot.changed = False
        if not await self.store.make_room(self.model, speeds.size_of(slot.tokens)):
            self._say("was not saved", "there is no room for it on the disk")
            return Outcome.FAILED
        begun = self.store.begin()
        self._unfinished.add(begun.id)
        began_s = self._clock.seconds()
        try:
            done = await self._slots.save(slot.id, slot_file(begun.id))
        except GONE:
            # Its file is deleted when the daemon is surely gone.
            return Outcome.GONE
        except FAILURES as error:
            self._discard(begun.id)
            self._say("could not be saved", str(error))
            self.why = str(error)
            never = isinstance(error, Refused) and error.status in _NEVER
            return Outcome.NEVER if never else Outcome.FAILED
        took_s = self._clock.seconds() - began_s
        kept = None
        if done.tokens:
            speeds.note_saving(done.tokens, done.size, took_s)
            kept = await self.store.keep(self.model, begun, done, holds, prompt_tokens)
        if kept is None:
            self._discard(begun.id)
            self._say("was not saved", f"no such file in {self.model.folder.path}")
            return Outcome.FAILED
        self._unfinished.discard(begun.id)
        self.seen.add(kept.id)
        self._log.info(
            "{model}: saved a conversation of {tokens} tokens, {size:.1f} MB, in "
            "{took_ms:.0f} ms",
            model=self.model.name,
            tokens=done.tokens,
            size=done.size / 1e6,
            took_ms=1000 * took_s,
        )
        return Outcome.DONE

    def _say(self, what: str, why: str) -> None:
        self._log.info(
            "{model}: a conversation {what}: {why}",
            model=self.model.name,
            what=what,
            why=why,
        )

    def _discard(self, snapshot_id: str) -> None:
        self._unfinished.discard(snapshot_id)
        self.store.discard(self.model, [snapshot_id])

    def end(self) -> None:
        """
        The daemon is gone: what it has not written to the end goes, too.
        """
        self.store.discard(self.model, self._unfinished)
        self._unfinished.clear()
