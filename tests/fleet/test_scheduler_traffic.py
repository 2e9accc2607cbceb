"""
The promise under traffic that never ends, for every model at once.
"""

import random
from collections.abc import Callable
from functools import partial

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from swapgate.fleet.lease import Lease
from tests.doubles import Farm, config_of, model

BUDGET, STEP_S, LASTS_S = 10, 0.05, 90.0


@define
class Habit:
    """
    How one model is asked for, and how long it takes.
    """

    memory: int
    every_s: float
    answer_s: float
    load_s: float


class Traffic:
    """
    Clients that ask for all the models again and again, and how long each waited.
    """

    def __init__(self, seed: int) -> None:
        self.longest_s, self.answers = 0.0, 0
        self._waiting: dict[object, float] = {}
        self._chance = random.Random(seed)
        pick = self._chance.choice
        self.fair_wait_s = pick([3.0, 6.0])
        self.habits = {
            name: Habit(
                memory=pick([2, 3, 4, 5, 6, 8]),
                every_s=pick([0.5, 1, 2, 20]),
                answer_s=pick([0.3, 2, 6]),
                load_s=pick([0.5, 2]),
            )
            for name in "abcde"[: pick([3, 4, 5])]
        }
        config = config_of(
            *(model(n, h.memory, linger_s=0.5) for n, h in self.habits.items()),
            budget=BUDGET,
            fair_wait_s=self.fair_wait_s,
        )
        self._farm = Farm(config)
        self._clock = self._farm.clock
        self._scheduler = self._farm.scheduler()

    @property
    def bound_s(self) -> float:
        """
        fair_wait, the answers in flight (which take half as long again at the most),
        and a swap to each model.
        """
        swaps_s = sum(habit.load_s + 0.5 for habit in self.habits.values())
        answers_s = sum(1.5 * habit.answer_s for habit in self.habits.values())
        return self.fair_wait_s + swaps_s + answers_s

    def go_on(self) -> None:
        for name in self.habits:
            self._clock.callLater(self._chance.random(), self._ask, name)
        for _ in range(round(LASTS_S / STEP_S)):
            self._clock.advance(STEP_S)
            self._let_daemons_be()
        for asked_s in self._waiting.values():
            self._note_wait(asked_s)

    def _ask(self, name: str) -> None:
        someone = object()
        self._waiting[someone] = self._clock.seconds()
        self._scheduler.lease(name).addCallback(partial(self._served, name, someone))
        self._later(self.habits[name].every_s, partial(self._ask, name))

    def _served(self, name: str, someone: object, lease: Lease) -> None:
        self._note_wait(self._waiting.pop(someone))
        self.answers += 1
        self._later(self.habits[name].answer_s, lease.release)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._clock.callLater(seconds * (0.5 + self._chance.random()), call)

    def _note_wait(self, asked_s: float) -> None:
        self.longest_s = max(self.longest_s, self._clock.seconds() - asked_s)

    def _let_daemons_be(self) -> None:
        """
        Up when they have loaded, gone when they are told.
        """
        for state in self._scheduler.states.values():
            name = state.spec.name
            daemon, loading_s = self._farm.daemons[name], state.queue.loading_s
            if daemon.told[-1:] == ["halt"] and daemon.running:
                daemon.end()
            elif loading_s is not None and loading_s > self.habits[name].load_s:
                self._farm.clients[name].health = 200


class TrafficTests(SynchronousTestCase):
    """
    Many mixtures of models, sizes and habits.
    """

    def test_nobody_waits_longer_than_promised(self) -> None:
        """
        However much is asked for, and whatever fits together.
        """
        for seed in range(40):
            traffic = Traffic(seed)
            traffic.go_on()
            self.assertLess(traffic.longest_s, 1.1 * traffic.bound_s, seed)
            self.assertGreater(traffic.answers, 10, seed)
