"""
What the fleet and the api are told of conversations.
"""

import json
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import ChildSpec, RemoteSpec, SystemdSpec
from swapgate.config.expand import Command
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec
from swapgate.continuity.folder import Folder, ModelRecord
from swapgate.continuity.keeper import Keeper, not_kept
from swapgate.continuity.life import Turn
from swapgate.continuity.places import folder_name
from swapgate.upstream.client import UpstreamClient
from tests.continuity.test_slots import FakeDaemon
from tests.continuity.test_snapshots import snapshot
from tests.doubles import config_of, model, run_now

BODY = [json.dumps({"messages": [{"content": "x" * 500}]}).encode()]
LLAMA = ChildSpec(command=Command(words=("llama-server",)), cwd="/")
PROPS = {"model_path": "/m.gguf"}


class Daemon(FakeDaemon):
    """
    One that shows its slots, or does not answer.
    """

    def __init__(self) -> None:
        super().__init__(200, [])
        self.silent = self.broken = False

    async def ask(self, *asked: Any) -> Any:
        if self.silent:
            await Deferred()
        if self.broken:
            raise TypeError
        slots = asked[1] == b"/slots"
        self.body = json.dumps([{"id": 0}] if slots else PROPS).encode()
        return await super().ask(*asked)


class KeeperCase(SynchronousTestCase):
    """
    A model that is a llama-server, and its state folder.
    """

    def setUp(self) -> None:
        self.state_dir = Path(self.mktemp()).absolute()
        self.clock = Clock()
        self.keeper = Keeper(str(self.state_dir), self.clock, run_now, lambda: 0.0)
        self.spec = model("m", service=LLAMA)
        self.keeper.configure(self.config(self.spec))
        self.daemon = Daemon()
        self.client = cast(UpstreamClient, self.daemon)

    def config(self, *specs: ModelSpec) -> Config:
        return evolve(config_of(*specs), state_dir=str(self.state_dir))

    @property
    def folder(self) -> Path:
        return self.state_dir / "snapshots" / folder_name("m")

    def healthy(self) -> bool:
        found = self.keeper.healthy(self.spec, self.client, [])
        return self.successResultOf(found)

    def turn(self, key_name: str | None = None) -> Turn | None:
        beginning = self.keeper.beginning("m", BODY, key_name)
        return self.keeper.turn(self.spec, self.client, beginning)

    def shown(self) -> tuple[object, object]:
        status = self.keeper.status(self.spec, self.client)
        return status["on"], status["why"]


class ArgumentsTests(KeeperCase):
    """
    What a child is started with.
    """

    def test_folder(self) -> None:
        """
        It is told its folder, which is there again when it was deleted.
        """
        for path in (self.folder / ".nobackup", self.folder):
            path.unlink() if path.is_file() else path.rmdir()
        found = self.keeper.arguments(self.spec)
        self.assertEqual(found, ("--slot-save-path", str(self.folder)))
        self.assertTrue(self.folder.is_dir())

    def test_unusable(self) -> None:
        """
        A folder that cannot be used is no failed load.
        """
        for path in (self.folder / ".nobackup", self.folder):
            path.unlink() if path.is_file() else path.rmdir()
        self.folder.write_text("")
        self.assertEqual(self.keeper.arguments(self.spec), ())
        self.assertIn("File exists", str(self.shown()[1]))

    def test_others(self) -> None:
        """
        What is no llama-server, or off, is started as it is.
        """
        for other in (evolve(self.spec, service=SystemdSpec(unit="x")), model("new")):
            self.keeper.configure(self.config(other))
            self.assertEqual(self.keeper.arguments(other), ())


class FleetTests(KeeperCase):
    """
    What the fleet tells.
    """

    def test_life(self) -> None:
        """
        From healthy to gone.
        """
        self.assertEqual(self.shown(), (None, None))
        self.assertTrue(self.healthy())
        self.assertEqual(self.shown(), (True, None))
        self.assertIsNone(self.keeper.halting(self.client))
        self.keeper.gone(self.client)
        self.keeper.gone(self.client)
        self.assertEqual(self.shown(), (True, None))

    def test_silent(self) -> None:
        """
        A daemon that does not answer is let in all the same.
        """
        self.daemon.silent = True
        over = self.keeper.healthy(self.spec, self.client, [])
        self.clock.advance(3)
        self.assertTrue(self.successResultOf(over))
        self.assertEqual(self.shown()[0], False)

    def test_bug(self) -> None:
        """
        Nor does a mistake of ours keep anybody waiting.
        """
        self.daemon.broken = True
        self.assertTrue(self.healthy())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_never(self) -> None:
        """
        Where none are kept nothing is asked.
        """
        self.keeper.configure(self.config(evolve(self.spec, continuity="off")))
        self.assertTrue(self.healthy())
        self.assertEqual(self.daemon.asked, [])
        self.assertIsNone(self.turn())
        self.assertIsNone(self.keeper.beginning("m", BODY, None))
        self.assertIsNone(self.keeper.beginning("unknown", BODY, None))
        self.assertEqual(self.shown(), (False, "continuity = off"))
        self.assertFalse(self.folder.exists())

    def test_off_later(self) -> None:
        """
        What was kept is deleted when it is not to be any more.
        """
        for number in range(2):
            (self.folder / f"{number:016}.slot").write_text("what was said")
        model_store = self.keeper._store.models["m"]
        model_store.snapshots["a"] = snapshot("a", model="m")
        self.assertEqual(self.keeper.totals["bytes"], 100)
        self.healthy()
        self.keeper.configure(self.config(evolve(self.spec, continuity="off")))
        self.assertEqual(self.keeper.totals["bytes"], 0)
        self.assertFalse(self.folder.exists())
        # Its daemon is still up until it is unloaded.
        store = self.keeper._store
        intact = Deferred.fromCoroutine(store.is_intact(snapshot("a")))
        self.assertFalse(self.successResultOf(intact))
        store.use(snapshot("a"))
        store.drop([snapshot("a")])

    def test_found(self) -> None:
        """
        A daemon that was up before has its conversations kept from then on.
        """
        turn = self.turn("key")
        assert turn is not None
        self.assertGreater(len(turn.beginning), 400)
        self.assertEqual(self.shown(), (True, None))
        turn.ended(b"")
        self.assertIsNotNone(self.keeper.halting(self.client))
        self.successResultOf(self.keeper.stop(1))

    def test_stuck(self) -> None:
        """
        A disk that hangs keeps no gateway from its end.
        """
        self.keeper = Keeper(
            str(self.state_dir), self.clock, lambda *_: Deferred(), lambda: 0.0
        )
        self.keeper.configure(self.config(self.spec))
        over = self.keeper.stop(2)
        self.clock.advance(1.9)
        self.assertNoResult(over)
        self.clock.advance(0.1)
        self.successResultOf(over)

    def test_purge(self) -> None:
        """
        What was said until then is not saved any more.
        """
        turn = self.turn()
        assert turn is not None
        turn.ended(b"")
        purged = Deferred.fromCoroutine(self.keeper.purge())
        self.assertEqual(self.successResultOf(purged), (0, 0))
        self.assertIsNone(self.keeper.halting(self.client))
        self.assertEqual(self.keeper.totals, {"bytes": 0, "max_bytes": 8_000_000_000})


class NotKeptTests(KeeperCase):
    """
    What --check says.
    """

    def test_said(self) -> None:
        """
        Only what may surprise, and what would help.
        """
        unit = SystemdSpec(unit="x")
        config = self.config(
            self.spec,
            model("off", service=unit, continuity="off"),
            model("away", service=RemoteSpec()),
            model("unit", service=unit),
        )
        [line] = not_kept(config)
        self.assertIn("unit: conversations are not kept: snapshot_dir is not", line)

    def test_marked(self) -> None:
        """
        What was seen to help nothing, and the flag that may.
        """
        record = ModelRecord(mark="what was restored has helped nothing")
        Folder(self.folder).write_record(record)
        [line] = not_kept(self.config(self.spec))
        self.assertIn("has helped nothing; add --swa-full", line)
