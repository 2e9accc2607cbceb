"""
How fairly is the one place shared? Two that loop, a flood, a thousand at once.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.task import Clock

from benchmarks.client import Client, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Gateway, Install, gateway, model
from benchmarks.timeline import timeline
from swapgate.fleet.scheduler import Scheduler
from tests.doubles import FakeDaemon, Farm, config_of, load_times
from tests.doubles import model as spec

if TYPE_CHECKING:
    from swapgate.daemons import Owner
    from swapgate.fleet.lease import Lease

LOAD_S, ANSWER_S = 2.0, 0.5
LOOPS_FOR_S = 60.0
FLOOD_ANSWER_S, FLOOD_EVERY_S = 2.0, 0.5
MIXED, NAMES = 1000, "abc"
SMALL_CASES, SMALL, WITHIN_S = 40, 6, 8.0
# The gateway as people have it.
USUAL = ""
FAIR_WAIT_S = 15.0


def state(gate: Gateway) -> Any:
    with Client(gate.port) as client:
        client.send(b"GET /swapgate/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return json.loads(client.finish()[1])


def draw(gate: Gateway, began: float, what: str) -> None:
    """
    The timeline goes beside the table, not into it.
    """
    lasted = time.time() - began
    print(f"\n{what}:\n{timeline(state(gate), began, lasted)}\n", file=sys.stderr)


def two_loops(install: Install) -> list[Measured]:
    """
    Two clients ask for two models again and again, each as soon as it is answered.
    """
    pair = model("a", LOAD_S), model("b", LOAD_S)
    with gateway(install, *pair, options=USUAL) as gate:
        began = time.time()
        answers: list[float] = []

        def loop(name: str) -> None:
            with Client(gate.port) as client:
                while time.time() - began < LOOPS_FOR_S:
                    client.time(post(name, x_fake={"delay_s": ANSWER_S}))
                    answers.append(time.time())

        with ThreadPoolExecutor() as pool:
            list(pool.map(loop, "ab"))
        loads = [s for s in state(gate)["swaps"] if s["what"] == "load"]
        draw(gate, began, "two clients that loop on a and b")
    # One that swapped at every request would have a load for each answer.
    most = LOOPS_FOR_S / FAIR_WAIT_S + 2
    return [Measured(len(loads), most, "loads", f"{len(answers)} answers in 60 s")]


def flood(install: Install) -> list[Measured]:
    """
    Streams of A of which there is always one; somebody wants B.
    """
    pair = model("a", LOAD_S), model("b", LOAD_S)
    served = threading.Event()
    with gateway(install, *pair, options=USUAL) as gate, ThreadPoolExecutor(64) as pool:
        with Client(gate.port) as first:
            first.time(post("a"))
        began = time.time()

        def one() -> None:
            wish = {"tokens": 20, "interval_s": FLOOD_ANSWER_S / 20}
            with Client(gate.port) as client:
                client.time(post("a", stream=True, x_fake=wish))

        def keep_asking() -> None:
            while not served.is_set():
                pool.submit(one)
                time.sleep(FLOOD_EVERY_S)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        time.sleep(1)
        with Client(gate.port) as client:
            waited_s = client.time(post("b"))
        served.set()
        asking.join()
        draw(gate, began, "a flood on a, one request for b after a second")
    at_most = FAIR_WAIT_S + FLOOD_ANSWER_S + LOAD_S + 1
    return [Measured(waited_s, at_most, "s", "fair_wait 15 s, answer 2 s, load 2 s")]


def mixed(install: Install) -> list[Measured]:
    """
    A thousand requests for three models at once, against three loads and no more.
    """
    three = [model(name, LOAD_S) for name in NAMES]
    chance = random.Random(1)
    names = [chance.choice(NAMES) for _ in range(MIXED)]
    with gateway(install, *three, options=USUAL) as gate:
        clients = [Client(gate.port) for _ in names]
        began = time.time()
        for client, name in zip(clients, names, strict=True):
            client.send(post(name, x_fake={"delay_s": ANSWER_S}))
        for client in clients:
            assert client.finish()[0] == 200
            client.sock.close()
        took_s = time.time() - began
        draw(gate, began, "a thousand at once")
    best_s = len(NAMES) * (LOAD_S + ANSWER_S)
    detail = f"{took_s:.1f} s against {best_s} s"
    return [Measured(took_s / best_s, 1.3, "times", detail)]


def small_cases() -> list[Measured]:
    """
    How long a few requests take in all, against the best order that there is; virtual.
    """
    chance = random.Random(2)
    fleet_s = best_s = 0.0
    for _ in range(SMALL_CASES):
        case = sorted(
            (chance.uniform(0, WITHIN_S), chance.choice(NAMES)) for _ in range(SMALL)
        )
        fleet_s += by_the_fleet(case)
        best_s += min(in_this_order(order) for order in permutations(case))
    detail = f"small cases: {fleet_s:.0f} s against {best_s:.0f} s by brute force"
    return [Measured(fleet_s / best_s, 1.3, "times", detail)]


def in_this_order(order: tuple[tuple[float, str], ...]) -> float:
    """
    When the last answer ends; those of one model that follow each other share a load.
    """
    up, ready_s, busy_until_s = "", 0.0, 0.0
    for asked_s, name in order:
        if name != up:
            up, ready_s = name, max(busy_until_s, asked_s) + LOAD_S
        busy_until_s = max(busy_until_s, max(asked_s, ready_s) + ANSWER_S)
    return busy_until_s


@define(eq=False)
class TimedDaemon(FakeDaemon):
    """
    Loads in its time, and goes at once.
    """

    farm: Farm = field(kw_only=True)

    def launch(self, owner: Owner) -> None:
        super().launch(owner)
        self.farm.clock.callLater(LOAD_S, self._come_up)

    def _come_up(self) -> None:
        self.farm.clients[self.name].health = 200

    def halt(self) -> None:
        self.farm.clock.callLater(0, self.end)


def by_the_fleet(case: list[tuple[float, str]]) -> float:
    """
    The same by a real fleet, as people have it.
    """
    config = config_of(
        *(spec(name, linger_s=0.5) for name in NAMES), fair_wait_s=FAIR_WAIT_S
    )
    clock = Clock()
    farm = Farm(config, clock)

    def make(of: Any) -> TimedDaemon:
        daemon = farm.daemons[of.name] = TimedDaemon(of.name, farm=farm)
        return daemon

    scheduler = Scheduler(config, make, clock, farm.make_client, load_times())
    ended: list[float] = []

    def answered(lease: Lease) -> None:
        lease.release()
        ended.append(clock.seconds())

    def served(lease: Lease) -> None:
        clock.callLater(ANSWER_S, answered, lease)

    for asked_s, name in case:
        clock.callLater(
            asked_s, lambda name=name: scheduler.lease(name).addCallback(served)
        )
    while len(ended) < len(case):
        clock.advance(0.01)
    return max(ended)


FAIR_ROWS = [
    Row("loops", "two clients loop on two models for 60 s", two_loops),
    Row("flood", "a flood on A: the wait of one request for B", flood),
    Row(
        "mixed",
        "1,000 requests at once over three models; small cases",
        mixed,
        small_cases,
    ),
]
