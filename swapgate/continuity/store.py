"""
Store: the snapshots of all models: what there is, what goes for room, what is measured.

1. What is known is here; files are looked at, written and deleted in threads.
2. All of them together take no more than `snapshot_max`, and leave a tenth of a disk.
3. No failure of a disk is more than a snapshot that is not there.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.continuity.beginnings import Beginning
from swapgate.continuity.folder import Folder, ModelRecord, Unusable, new_id
from swapgate.continuity.slots import Transferred
from swapgate.continuity.snapshots import (
    Snapshot,
    superseded,
    to_delete,
    value_of,
)

InThread = Callable[..., Deferred[Any]]


@frozen
class Begun:
    """
    A snapshot that is being saved.

    :param purges: how often everything had been deleted before.
    """

    id: str
    purges: int


@define(eq=False)
class ModelStore:
    """
    One model's.

    :ivar scanned: it is known what is there.
    :ivar unusable: why its folder cannot be used; "" if it can.
    """

    name: str
    folder: Folder
    record: ModelRecord = field(factory=ModelRecord)
    snapshots: dict[str, Snapshot] = field(factory=dict)
    scanned: bool = False
    unusable: str = ""
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    @property
    def size(self) -> int:
        return sum(each.size for each in self.snapshots.values())

    def known(self) -> Deferred[None]:
        """
        Fires when it is known what is there.
        """
        if self.scanned:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def scan_ends(self) -> None:
        self.scanned = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


@define(eq=False)
class Store:
    """
    All models'.

    :param in_thread: runs a function in a thread.
    :param now: seconds of the epoch.
    """

    _in_thread: InThread
    _now: Callable[[], float]
    most_bytes: int = field(default=0, init=False)
    models: dict[str, ModelStore] = field(factory=dict, init=False)
    _jobs: set[Deferred[Any]] = field(factory=set, init=False)
    # How often everything was deleted.
    _purges: int = field(default=0, init=False)
    _log = Logger()

    def open(self, model: str, folder: str) -> ModelStore:
        """
        Begin to look at a model's folder.
        """
        found = self.models.get(model)
        if found is None or str(found.folder.path) != folder:
            found = self.models[model] = ModelStore(model, Folder(Path(folder)))
            self._run(Deferred.fromCoroutine(self._scan(found)))
        return found

    def keep_only(self, models: Container[str]) -> None:
        """
        Forget all others.
        """
        for name in [name for name in self.models if name not in models]:
            del self.models[name]

    async def _scan(self, store: ModelStore) -> None:
        try:
            await self._in_thread(store.folder.prepare)
            found, record = await self._in_thread(store.folder.scan, store.name)
            store.snapshots.update({each.id: each for each in found})
            store.record = record
        except Unusable as error:
            store.unusable = str(error)
            self._log.warn(
                "{model}: no conversations are kept: {error}",
                model=store.name,
                error=error,
            )
        finally:
            store.scan_ends()

    def _run(self, job: Deferred[Any]) -> None:
        """
        Let a job be done that nothing waits for but the end.
        """
        self._jobs.add(job)
        job.addErrback(self._tell).addBoth(lambda _: self._jobs.discard(job))

    def _tell(self, failure: Failure) -> None:
        # The gateway's end waits for it no longer.
        if not failure.check(CancelledError):
            self._log.failure("a bug in swapgate", failure)

    def settled(self) -> Deferred[Any]:
        """
        Fires when all that was begun is done.
        """
        return DeferredList(list(self._jobs))

    # Room.

    def _value(self, snapshot: Snapshot) -> float:
        speeds = self.models[snapshot.model].record.speeds
        return value_of(snapshot, speeds, self._now())

    @property
    def size(self) -> int:
        """
        What all snapshots take.
        """
        return sum(store.size for store in self.models.values())

    async def make_room(self, store: ModelStore, need: int) -> bool:
        """
        Delete what goes for so many bytes; whether there is room then.
        """
        try:
            disk = await self._in_thread(store.folder.disk)
        except OSError:
            return False
        everything = [s for m in self.models.values() for s in m.snapshots.values()]
        deleted = to_delete(everything, need, self.most_bytes, disk, self._value)
        if deleted is None:
            return False
        self.drop(deleted)
        return True

    # Snapshots.

    def begin(self) -> Begun:
        """
        One is about to be saved.
        """
        return Begun(new_id(), self._purges)

    async def keep(
        self,
        store: ModelStore,
        begun: Begun,
        saved: Transferred,
        holds: Beginning,
        prompt_tokens: int | None,
    ) -> Snapshot | None:
        """
        Take one in that has been saved; None where its file is not what it should be.

        What it takes the place of goes when it is surely on the disk.
        """
        found = await self._in_thread(store.folder.seal, begun.id)
        if found is None or found.size != saved.size or begun.purges != self._purges:
            return None
        snapshot = Snapshot(
            id=begun.id,
            model=store.name,
            validity=store.record.validity,
            digests=holds.digests,
            tokens=saved.tokens,
            prompt_tokens=prompt_tokens,
            size=found.size,
            mtime_ns=found.mtime_ns,
            ends=found.ends,
            used_s=self._now(),
        )
        old = superseded(store.snapshots.values(), store.name, holds)
        for each in old:
            del store.snapshots[each.id]
        store.snapshots[begun.id] = snapshot
        self._run(Deferred.fromCoroutine(self._finish(store, snapshot, old)))
        return snapshot

    async def _finish(
        self, store: ModelStore, snapshot: Snapshot, old: Sequence[Snapshot]
    ) -> None:
        ids = [each.id for each in old]
        try:
            await self._in_thread(store.folder.finish, snapshot, ids)
        except OSError as error:
            self._log.warn(
                "{model}: a conversation cannot be kept: {error}",
                model=store.name,
                error=error,
            )
            self.discard(store, [snapshot.id, *ids])
        if snapshot.id not in store.snapshots:
            # It was dropped meanwhile.
            self.discard(store, [snapshot.id])
        # It may be larger than was expected.
        elif not await self.make_room(store, 0):
            self.drop([snapshot])
        self.write_record(store)

    async def is_intact(self, snapshot: Snapshot) -> bool:
        """
        Whether its file is the one that was saved; if not, it is forgotten.
        """
        store = self.models.get(snapshot.model)
        if store is None:
            return False
        if await self._in_thread(store.folder.is_intact, snapshot):
            return True
        self.drop([snapshot])
        return False

    def use(self, snapshot: Snapshot) -> None:
        """
        It has been restored.
        """
        store = self.models.get(snapshot.model)
        if store is not None and snapshot.id in store.snapshots:
            used = store.snapshots[snapshot.id] = snapshot.used(self._now())
            self._run(self._in_thread(_write, store.folder, used))

    def drop(self, snapshots: Iterable[Snapshot]) -> None:
        """
        Forget these, and delete their files.
        """
        for each in list(snapshots):
            store = self.models.get(each.model)
            if store is not None:
                self.discard(store, [each.id])

    def discard(self, store: ModelStore, ids: Iterable[str]) -> None:
        """
        Delete the files of what never was, or is no longer, a snapshot.
        """
        ids = list(ids)
        for each in ids:
            store.snapshots.pop(each, None)
        if ids:
            self._run(self._in_thread(store.folder.delete, ids))

    def write_record(self, store: ModelStore) -> None:
        """
        Write down what is known of the model by now.
        """
        record = deepcopy(store.record)
        self._run(self._in_thread(store.folder.write_record, record))

    async def purge(self) -> tuple[int, int]:
        """
        Delete everything: how many there were, and how many bytes. What helped nothing
        before is tried again.
        """
        self._purges += 1
        stores = list(self.models.values())
        count = sum(len(store.snapshots) for store in stores)
        size = self.size
        for store in stores:
            store.snapshots.clear()
            store.record.mark, store.record.failures = "", 0
            await self._in_thread(store.folder.delete_all)
        return count, size


def _write(folder: Folder, snapshot: Snapshot) -> None:
    """
    Write it again, unless its file is gone or the disk is full.
    """
    try:
        folder.write(snapshot)
    except OSError:
        return
    if not folder.is_intact(snapshot):
        folder.delete([snapshot.id])
