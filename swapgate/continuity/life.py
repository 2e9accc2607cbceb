"""
Life: one life of one daemon: when its slots are saved, and what is restored into them.

1. Saved is what has changed, when nothing is asked of the daemon: soon after an
   answer, before another conversation overwrites it, at the latest before its stop.
2. A request comes before what is saved in the background, and waits for nothing but
   what is surely faster than reading.
3. Whatever goes wrong costs a conversation its snapshot, and no request anything.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.config.model import ModelSpec
from swapgate.continuity.answers import Counts, counts_of, helped
from swapgate.continuity.beginnings import Beginning
from swapgate.continuity.commands import EngineCommand
from swapgate.continuity.slot_table import Slot, SlotTable
from swapgate.continuity.slots import Slots
from swapgate.continuity.snapshots import Match, Snapshot, best_match, to_restore
from swapgate.continuity.speeds import Speeds
from swapgate.continuity.store import ModelStore, Store
from swapgate.continuity.transfers import CALLED_OFF, FAILURES, Outcome, Transfers

# A restore must fail to help so often in a row before it is given up.
_FAILURES_MARKED: Final = 2
# Beside other requests a look at the slots waits for a piece of their work.
_WORTH_WAITING_S: Final = 1.0
# Nothing waits for what is saved in the background, but it has an end.
_BACKGROUND_S: Final = 120.0


@define(eq=False)
class Turn:
    """
    One request of a conversation, from its lease to the end of its answer.

    :ivar expects: what was restored for it.
    :ivar left_to_engine: what was not, as the engine may have it in its own memory.
    :ivar alone: no other request was there while it was.
    """

    _life: "Life"
    beginning: Beginning
    expects: Match | None = field(default=None, init=False)
    left_to_engine: Match | None = field(default=None, init=False)
    alone: bool = field(default=True, init=False)

    def ready(self) -> Deferred[None] | None:
        """
        Fires when the request may be sent; None is at once. It never fails.
        """
        return self._life.prepare(self)

    def ended(self, tail: bytes) -> None:
        """
        :param tail: the end of the answer, as far as there is one.
        """
        self._life.end_turn(self, counts_of(tail))


@define(eq=False)
class Life:
    """
    One life of one daemon.
    """

    spec: ModelSpec
    command: EngineCommand
    _transfers: Transfers
    _slots: Slots
    _clock: IReactorTime
    #: Why nothing is saved or restored; "" if it is, None while that is not known.
    off: str | None = field(default=None, init=False)
    _table: SlotTable = field(factory=SlotTable, init=False)
    _turns: set[Turn] = field(factory=set, init=False)
    _engine_keeps: bool = field(init=False)
    _store: Store = field(init=False)
    _model: ModelStore = field(init=False)
    _quiet: IDelayedCall | None = field(default=None, init=False)
    _saving: DeferredLock = field(factory=DeferredLock, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._engine_keeps = self.command.keeps_in_memory
        self._store, self._model = self._transfers.store, self._transfers.model

    # Its beginning and its end.

    async def open(
        self,
        validity: Callable[[Any], Deferred[str | None]],
        waiting: Sequence[Beginning] | None,
    ) -> bool:
        """
        See what the daemon can do, and restore what is wanted.

        :param validity: that of its snapshots, by its /props; None: it says too little.
        :param waiting: what is waited for; None: nothing is to be restored.
        :return: False where the daemon must be started again.
        """
        try:
            views = await self._slots.list()
            props = await self._slots.props()
        except FAILURES as error:
            self.turn_off(f"its slots cannot be seen: {error}")
            return True
        await self._model.known()
        found = await validity(props)
        if self._model.unusable:
            self.turn_off(self._model.unusable)
        elif found is None:
            self.turn_off("it does not say what it is")
        else:
            self._table.begin(views)
            self._begin(found)
        if self.off == "" and waiting is not None:
            return await self._restore_all(waiting)
        return True

    def _begin(self, validity: str) -> None:
        record = self._model.record
        if record.validity != validity:
            record.validity, record.mark = validity, ""
            record.failures, record.proven, record.speeds = 0, False, Speeds()
        self._store.drop(
            each for each in self._model.snapshots.values() if each.validity != validity
        )
        if record.mark:
            self.turn_off(record.mark)
        else:
            self.off = ""

    def turn_off(self, why: str) -> None:
        """
        Save and restore nothing more in this life.
        """
        self.off = why
        self._stop_waiting()
        self._log.info(
            "{model}: conversations are not kept: {why}", model=self.spec.name, why=why
        )

    def forget(self) -> None:
        """
        Save nothing of what was said until now.
        """
        self._table.forget()

    def end(self) -> None:
        """
        The daemon is gone.
        """
        self.off = self.off or "it is gone"
        self._stop_waiting()
        self._transfers.end()

    async def _restore_all(self, waiting: Sequence[Beginning]) -> bool:
        chosen = to_restore(
            list(self._model.snapshots.values()),
            waiting,
            self._table.slots,
            self._model.record.speeds,
        )
        for slot, match in chosen:
            if not await self._restore(slot, match.snapshot):
                return False
        return True

    async def _restore(self, slot: Slot, snapshot: Snapshot) -> bool:
        """
        :return: whether the daemon is still there.
        """
        self._table.use(slot)
        outcome = await self._transfers.restore(slot, snapshot)
        if outcome is Outcome.GONE:
            self._failed(f"its daemon ended at a restore ({self._transfers.why})")
        return outcome is not Outcome.GONE

    def _failed(self, why: str) -> None:
        """
        A restore was of no use: the second one in a row is the last.
        """
        record = self._model.record
        record.failures += 1
        if record.failures >= _FAILURES_MARKED:
            self._mark(why)
        else:
            self._store.write_record(self._model)

    def _mark(self, why: str) -> None:
        """
        Spend no more time on its snapshots, until its command or its build changes.
        """
        self._model.record.mark = why
        self._store.drop(self._model.snapshots.values())
        self._store.write_record(self._model)
        self._log.warn(
            "{model}: {why}; {remedy}",
            model=self.spec.name,
            why=why,
            remedy=self.command.remedy,
        )
        self.turn_off(why)

    # Requests.

    def begin_turn(self, beginning: Beginning) -> Turn:
        """
        A request has its lease.
        """
        turn = Turn(self, beginning)
        self._turns.add(turn)
        if len(self._turns) > 1:
            for each in self._turns:
                each.alone = False
        self._stop_waiting()
        return turn

    def prepare(self, turn: Turn) -> Deferred[None] | None:
        """
        Save what a request would overwrite, restore what it goes on with.
        """
        if self.off != "":
            return None
        match = self._worth_restoring(turn)
        overwrites = turn.alone and self._table.may_overwrite(turn.beginning)
        if match is None and not overwrites:
            turn.expects = self._table.take_restored(turn.beginning)
            return None
        work = Deferred.fromCoroutine(self._prepare(turn, match))
        work.addTimeout(self.spec.snapshot_timeout_s, self._clock)
        return work.addErrback(self._not_done)

    def _worth_restoring(self, turn: Turn) -> Match | None:
        known = self._table.common(turn.beginning)
        record = self._model.record
        match = best_match(self._model.snapshots.values(), turn.beginning, known)
        # What was never seen to help might end the daemon, and others' answers.
        if match is None or record.failures or not (record.proven or turn.alone):
            return None
        if match.snapshot.id in self._transfers.begun:
            return None
        gained = match.tokens - match.snapshot.tokens_in(known)
        if not record.speeds.restore_pays(gained, match.snapshot.size):
            return None
        if not turn.alone and record.speeds.reading_s(gained) < _WORTH_WAITING_S:
            return None
        if self._engine_keeps and match.snapshot.id in self._transfers.seen:
            turn.left_to_engine = match
            return None
        return match

    async def _prepare(self, turn: Turn, match: Match | None) -> None:
        await self._look()
        # Which of them the daemon takes is its own choice: two conversations may begin
        # alike in its template.
        for slot in self._table.to_save if turn.alone else ():
            goes_on = slot.holds.goes_on_in(turn.beginning)
            if not goes_on and self._model.record.speeds.save_pays(slot.tokens):
                await self._save(slot)
        place = self._table.slot_for(turn.beginning)
        if match is not None and place is not None and self.off == "":
            await self._restore(place, match.snapshot)
        turn.expects = self._table.take_restored(turn.beginning)

    async def _look(self) -> None:
        ended = self._table.take_ended()
        self._table.settle(await self._slots.list(), ended)

    def _not_done(self, failure: Failure) -> None:
        if not failure.check(*CALLED_OFF, *FAILURES):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=self.spec.name
            )

    def end_turn(self, turn: Turn, counts: Counts) -> None:
        """
        A request's answer has ended; more than once is no harm.
        """
        if turn not in self._turns:
            return
        self._turns.remove(turn)
        self._model.record.speeds.note_reading(counts.speed)
        if self.off != "":
            return
        self._table.note_end(turn.beginning, counts)
        self._verify(turn, counts)
        if not self._turns and self.off == "":
            self._quiet = self._clock.callLater(
                self.spec.snapshot_delay_s, self._save_quietly
            )

    def _verify(self, turn: Turn, counts: Counts) -> None:
        """
        See by an answer whether what was restored has helped.
        """
        match = turn.expects or turn.left_to_engine
        verdict = helped(counts, int(match.tokens)) if match and turn.alone else None
        if verdict is None:
            return
        if turn.expects is None:
            self._engine_keeps &= verdict
            return
        record = self._model.record
        record.proven |= verdict
        self._log.info(
            "{model}: after a restore {cached} of {prompt} tokens had not to be read",
            model=self.spec.name,
            cached=counts.cached,
            prompt=counts.prompt,
        )
        if not verdict:
            self._failed("what was restored has helped nothing")
        elif record.failures:
            record.failures = 0
            self._store.write_record(self._model)

    # Saving.

    def _stop_waiting(self) -> None:
        if self._quiet is not None and self._quiet.active():
            self._quiet.cancel()

    def _save_quietly(self) -> None:
        self._save_changed(_BACKGROUND_S, lambda: not self._turns)

    def last_save(self) -> Deferred[None] | None:
        """
        Save what has changed, before the daemon is stopped; None: nothing has.

        It never fails, and fires within `snapshot_timeout`.
        """
        self._stop_waiting()
        if self.off != "" or (self._table.is_saved and not self._saving.locked):
            return None
        return self._save_changed(self.spec.snapshot_timeout_s, lambda: True)

    def _save_changed(
        self, timeout_s: float, may_go_on: Callable[[], bool]
    ) -> Deferred[None]:
        saving: Deferred[None] = self._saving.run(
            lambda: Deferred.fromCoroutine(self._save_each(may_go_on))
        )
        return saving.addTimeout(timeout_s, self._clock).addErrback(self._not_done)

    async def _save_each(self, may_go_on: Callable[[], bool]) -> None:
        if may_go_on():
            await self._look()
        for slot in self._table.to_save:
            if may_go_on() and self.off == "":
                await self._save(slot)

    async def _save(self, slot: Slot) -> None:
        if await self._transfers.save(slot) is Outcome.NEVER:
            self.turn_off(f"it does not save its slots: {self._transfers.why}")
