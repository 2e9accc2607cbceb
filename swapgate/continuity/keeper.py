"""
Keeper: keeps conversations through swaps. What the fleet and the api call.

It is the fleet's `Conversations`. It has a `Life` for each daemon that is up, and a
`Store` for all that is saved.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.continuity.beginnings import NOTHING, Beginning, beginning_of
from swapgate.continuity.commands import SAVE_PATH
from swapgate.continuity.fingerprints import fingerprint
from swapgate.continuity.folder import Folder, Unusable, remove_other_folders
from swapgate.continuity.life import Life, Turn
from swapgate.continuity.places import Place, command_of, place_of
from swapgate.continuity.slots import Slots
from swapgate.continuity.store import InThread, Store
from swapgate.continuity.transfers import CALLED_OFF, Transfers
from swapgate.upstream.client import UpstreamClient

# Below the state folder.
_ROOT: Final = "snapshots"


def not_kept(config: Config) -> Iterator[str]:
    """
    A line for each model whose conversations are not kept, though it says nothing of
    that itself: why, and what would help.
    """
    for spec in config.models:
        place = place_of(spec, root_of(config.state_dir))
        if isinstance(place, Place):
            mark = Folder(Path(place.folder)).read_record().mark
            why = mark and f"{mark}; {command_of(spec).remedy}"
        else:
            quiet = spec.continuity == "off" or isinstance(spec.service, RemoteSpec)
            why = "" if quiet else place
        if why:
            yield f"{spec.name}: conversations are not kept: {why}"


def root_of(state_dir: str) -> str:
    """
    The folder for those of children.
    """
    return f"{state_dir}/{_ROOT}"


@define(eq=False)
class Keeper:
    """
    All models'.

    :param in_thread: runs a function in a thread.
    :param now: seconds of the epoch.
    """

    _state_dir: str
    _clock: IReactorTime
    _in_thread: InThread
    _now: Callable[[], float]
    _root: str = field(init=False)
    _store: Store = field(init=False)
    _places: dict[str, Place | str] = field(factory=dict, init=False)
    # By the client of the daemon's life.
    _lives: dict[UpstreamClient, Life] = field(factory=dict, init=False)
    # Why it was off in the last life of a model's daemon; "" if it was on.
    _last_off: dict[str, str] = field(factory=dict, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._root = root_of(self._state_dir)
        self._store = Store(self._in_thread, self._now)

    def configure(self, config: Config) -> None:
        """
        Live by this configuration: see what there is of its models, and delete what
        there is of others.
        """
        self._store.most_bytes = config.snapshot_max_bytes
        self._places = {spec.name: place_of(spec, self._root) for spec in config.models}
        kept = {n: p.folder for n, p in self._places.items() if isinstance(p, Place)}
        self._store.keep_only(kept)
        for name, folder in kept.items():
            self._store.open(name, folder)
        folders = [PurePath(folder).name for folder in kept.values()]
        removing = self._in_thread(remove_other_folders, self._root, folders)
        removing.addErrback(self._tell, self._root)

    def stop(self, within_s: float) -> Deferred[Any]:
        """
        Fires when all that was begun is done, or when there is no more time.
        """
        for client in list(self._lives):
            self.gone(client)
        settled = self._store.settled().addTimeout(within_s, self._clock)
        return settled.addErrback(lambda failure: failure.trap(*CALLED_OFF))

    def _place(self, spec: ModelSpec) -> Place | str:
        return self._places.get(spec.name, "it is not in the configuration")

    def _tell(self, failure: Failure, what: str) -> None:
        self._log.failure("{what}: a bug in swapgate", failure, what=what)

    # What a daemon is started with.

    def arguments(self, spec: ModelSpec) -> Sequence[str]:
        """
        What is added to the command of a child, whose folder is there then.
        """
        place = self._place(spec)
        if not isinstance(place, Place) or not place.adds_option:
            return ()
        try:
            self._store.open(spec.name, place.folder).folder.prepare()
        except Unusable as error:
            self._last_off[spec.name] = str(error)
            return ()
        return (SAVE_PATH, place.folder)

    # What the fleet tells.

    def healthy(
        self, spec: ModelSpec, client: UpstreamClient, waiting: Sequence[object] | None
    ) -> Deferred[bool]:
        life = self._life(spec, client)
        if life is None:
            return succeed(True)
        wanted = None
        if waiting is not None:
            wanted = [each for each in waiting if isinstance(each, Beginning)]
        return self._open(life, wanted)

    def _life(self, spec: ModelSpec, client: UpstreamClient) -> Life | None:
        place = self._place(spec)
        if not isinstance(place, Place):
            return None
        slots, model = Slots(client), self._store.open(spec.name, place.folder)
        transfers = Transfers(self._store, model, slots, self._clock)
        life = Life(spec, command_of(spec), transfers, slots, self._clock)
        self._lives[client] = life
        return life

    def _open(self, life: Life, waiting: Sequence[Beginning] | None) -> Deferred[bool]:
        validity = partial(self._in_thread, fingerprint, life.spec)
        opening = Deferred.fromCoroutine(life.open(validity, waiting))
        opening.addTimeout(life.spec.snapshot_timeout_s, self._clock)
        return opening.addErrback(self._not_opened, life)

    def _not_opened(self, failure: Failure, life: Life) -> bool:
        if not failure.check(*CALLED_OFF):
            self._tell(failure, life.spec.name)
        if life.off is None:
            life.turn_off("its slots could not be seen in time")
        return True

    def halting(self, client: UpstreamClient) -> Deferred[None] | None:
        life = self._lives.get(client)
        return None if life is None else life.last_save()

    def gone(self, client: UpstreamClient) -> None:
        life = self._lives.pop(client, None)
        if life is not None:
            if life.off is not None:
                self._last_off[life.spec.name] = life.off
            life.end()

    # What the api asks.

    def beginning(
        self, model: str, body: Sequence[bytes | bytearray], key_name: str | None
    ) -> Beginning | None:
        """
        That of a request's conversation; None where none are kept.

        :param key_name: of the API key that it was sent with.
        """
        if not isinstance(self._places.get(model), Place):
            return None
        return beginning_of(body, key_name or "")

    def turn(
        self, spec: ModelSpec, client: UpstreamClient, beginning: Beginning | None
    ) -> Turn | None:
        """
        A request of a conversation has its lease; None where none are kept.
        """
        life = self._lives.get(client)
        if life is None:
            # It was up before the gateway, or it is one whose are never kept.
            life = self._life(spec, client)
            if life is None:
                return None
            self._open(life, None)
        return None if life.off else life.begin_turn(beginning or NOTHING)

    def status(
        self, spec: ModelSpec, client: UpstreamClient | None
    ) -> Mapping[str, Any]:
        """
        What is kept of a model, and why if nothing is.
        """
        model = self._store.models.get(spec.name)
        why = self._why_off(spec, client)
        return {
            "on": None if why is None else why == "",
            "why": why or None,
            "snapshots": len(model.snapshots) if model else 0,
            "bytes": model.size if model else 0,
        }

    def _why_off(self, spec: ModelSpec, client: UpstreamClient | None) -> str | None:
        place = self._place(spec)
        if not isinstance(place, Place):
            return place
        life = self._lives.get(client) if client is not None else None
        return self._last_off.get(spec.name) if life is None else life.off

    @property
    def totals(self) -> Mapping[str, int]:
        """
        What all snapshots take, and may take.
        """
        return {"bytes": self._store.size, "max_bytes": self._store.most_bytes}

    async def purge(self) -> tuple[int, int]:
        """
        Delete all snapshots: how many there were, and how many bytes. What was said
        until now is saved no more.
        """
        for life in self._lives.values():
            life.forget()
        return await self._store.purge()
