"""
Pins by request: what is pinned stays, and what cannot be served beside it is refused.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import Config
from swapgate.fleet.lease import Lease, TooLarge
from tests.doubles import Farm, config_of, model


class PinTests(SynchronousTestCase):
    """
    Fake daemons.
    """

    def begin(self, config: Config) -> None:
        self.farm = Farm(config)
        self.scheduler = self.farm.scheduler()

    def load(self, name: str) -> Lease:
        lease = self.scheduler.lease(name)
        self.farm.pass_time(0.1)
        self.farm.come_up(name)
        return self.successResultOf(lease)

    def phase(self, name: str) -> str:
        return self.scheduler.states[name].life.phase.value

    def test_not_evicted(self) -> None:
        """
        Another one goes instead, though it was used later.
        """
        self.begin(config_of(model("a", 4), model("b", 4), model("c", 4), budget=8))
        self.load("a").release()
        self.farm.pass_time(1)
        self.load("b").release()
        self.scheduler.pin("a", pinned=True)
        self.scheduler.lease("c")
        self.farm.pass_time(0.1)
        self.assertEqual((self.phase("a"), self.phase("b")), ("ready", "stopping"))

    def test_not_unloaded_when_idle(self) -> None:
        """
        Until it is not pinned any more.
        """
        self.begin(config_of(model("a", idle_unload_s=5.0)))
        self.load("a").release()
        state = self.scheduler.states["a"]
        self.scheduler.pin("a", pinned=True)
        self.assertIsNone(state.idle_at_s)
        self.scheduler.pin("a", pinned=False)
        self.farm.pass_time(6)
        self.assertTrue(state.is_idle(self.farm.clock.seconds()))

    def test_draining(self) -> None:
        """
        What drains for another one is given back to service.
        """
        self.begin(config_of(model("a", 4), model("b", 4), model("c", 4), budget=8))
        lease = self.load("a")
        other = self.load("b")
        waiting = self.scheduler.lease("c")
        self.farm.pass_time(0.1)
        self.assertIn("draining", (self.phase("a"), self.phase("b")))
        drained = "a" if self.phase("a") == "draining" else "b"
        self.scheduler.pin(drained, pinned=True)
        self.farm.pass_time(0.1)
        self.assertEqual(self.phase(drained), "ready")
        self.assertEqual(self.phase("b" if drained == "a" else "a"), "draining")
        (other if drained == "a" else lease).release()
        self.farm.daemons["b" if drained == "a" else "a"].end()
        self.farm.pass_time(0.1)
        self.farm.come_up("c")
        self.successResultOf(waiting)

    def test_what_can_never_be_served(self) -> None:
        """
        Is refused at once, whether it waits already or comes later; until there is
        room again.
        """
        self.begin(config_of(model("a"), model("b")))
        self.load("a")
        waiting = self.scheduler.lease("b")
        self.scheduler.pin("a", pinned=True)
        refused = self.failureResultOf(waiting, TooLarge)
        self.assertIn("a, which is pinned", str(refused.value))
        self.failureResultOf(self.scheduler.lease("b"), TooLarge)
        self.scheduler.pin("a", pinned=False)
        again = self.scheduler.lease("b")
        self.assertNoResult(again)
        again.addErrback(lambda _: None)

    def test_too_many(self) -> None:
        """
        What would not fit together cannot be pinned, and nothing changes.
        """
        models = model("a", 6, pin=True), model("b", 6), model("c", 1, pin=True)
        self.begin(config_of(*models, budget=10))
        with self.assertRaises(TooLarge) as refused:
            self.scheduler.pin("b", pinned=True)
        # It is that one which has no room, and is not pinned.
        said = str(refused.exception)
        self.assertTrue(said.startswith("b needs "), said)
        self.assertIn("a, c, which are pinned, keep ", said)
        self.assertFalse(self.scheduler.states["b"].pinned)
        self.scheduler.pin("a", pinned=False)
        self.scheduler.pin("b", pinned=True)
        self.assertTrue(self.scheduler.states["b"].pinned)
        self.assertFalse(self.scheduler.states["a"].pinned)

    def test_reload(self) -> None:
        """
        What it leaves as it was stays pinned; what it changes is as it says.
        """
        models = model("a", 4), model("b", 4), model("c", 4)
        self.begin(config_of(*models, budget=20))
        for name in "ab":
            self.scheduler.pin(name, pinned=True)
        changed = config_of(models[0], model("b", 5), models[2], budget=20)
        self.scheduler.reconfigure(changed)
        pinned = {n: s.pinned for n, s in self.scheduler.states.items()}
        self.assertEqual(pinned, {"a": True, "b": False, "c": False})

    def test_a_smaller_budget(self) -> None:
        """
        Where not all would fit any more, the configuration alone counts.
        """
        models = model("a", 4), model("b", 4, pin=True), model("c", 1)
        self.begin(config_of(*models, budget=10))
        self.scheduler.pin("a", pinned=True)
        self.load("a").release()
        self.scheduler.reconfigure(config_of(*models, budget=6))
        pinned = {n: s.pinned for n, s in self.scheduler.states.items()}
        self.assertEqual(pinned, {"a": False, "b": True, "c": False})
        waiting = self.scheduler.lease("b")
        self.farm.pass_time(0.1)
        self.assertEqual(self.phase("a"), "stopping")
        waiting.addErrback(lambda _: None)
