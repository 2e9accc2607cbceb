"""
What the fleet costs: a decision, a launch after an answer, ten thousand swaps.
"""

import gc
import json
import random
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve
from twisted.logger import globalLogBeginner

from benchmarks.client import Client, Stream, listen, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Install, gateway, model
from swapgate.fleet.lifecycle import Phase
from swapgate.fleet.planner import plan
from swapgate.fleet.scheduler import Scheduler
from tests.doubles import Farm, config_of, load_times, view_of
from tests.doubles import model as spec

MODELS, WAITING, DECISIONS = 50, 1000, 400
SWAPS, WARM_UP_SWAPS = 10_000, 1_000
LAUNCHES = 20


def decisions() -> list[Measured]:
    """
    The planner before fifty models of which as many as fit are up, and a thousand who
    wait; the slowest of many random snapshots.
    """
    chance = random.Random(1)
    took_ms = []
    for _ in range(DECISIONS):
        budget, left = 60_000, 60_000
        views = []
        for n in range(MODELS):
            memory = chance.randint(500, 20_000)
            up = memory <= left and chance.random() < 0.8
            left -= memory if up else 0
            phase = chance.choice([Phase.READY, Phase.DRAINING, Phase.STARTING])
            views.append(
                view_of(
                    f"m{n}",
                    phase if up else Phase.STOPPED,
                    memory,
                    chance.random(),
                    chance.randint(0, 3) if up else 0,
                )
            )
        entries = [chance.choice(views).name for _ in range(WAITING)]
        began = time.perf_counter()
        plan(views, list(dict.fromkeys(entries)), budget)
        took_ms.append((time.perf_counter() - began) * 1000)
    return [Measured(max(took_ms), 5, "ms", f"median {median(took_ms):.2f}")]


def launches(install: Install) -> list[Measured]:
    """
    From the last byte of A's answer, for which B waits, to the start of B's program.
    """
    took_ms = []
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal")
        one, other = (evolve(model(name), journal=str(journal)) for name in ("a", "b"))
        with gateway(install, one, other) as gate, Client(gate.port) as client:
            client.time(post(one.name))
            for _ in range(LAUNCHES):
                wish = {"tokens": 10, "interval_s": 0.02}
                stream = Stream(client)
                client.send(post(one.name, stream=True, x_fake=wish))
                with Client(gate.port) as second:
                    waits = threading.Timer(0.1, second.time, [post(other.name)])
                    waits.start()
                    listen([stream])
                    ended = time.monotonic()
                    waits.join()
                started = [
                    entry["at"]
                    for entry in map(json.loads, journal.read_text().splitlines())
                    if (entry["what"], entry["name"]) == ("started", other.name)
                ]
                took_ms.append((started[-1] - ended) * 1000)
                one, other = other, one
    detail = "A's own end and the start of B's interpreter are in it"
    return [Measured(median(took_ms), 150, "ms", detail)]


def many_swaps() -> list[Measured]:
    """
    Two models in turns through a real fleet, with daemons that cost nothing.
    """
    # Until logging begins Twisted keeps what is logged.
    nobody: Any = lambda _: None  # noqa: E731
    globalLogBeginner.beginLoggingTo([nobody], redirectStandardIO=False)
    config = config_of(spec("a"), spec("b"))
    farm = Farm(config)
    scheduler = Scheduler(
        config, farm.make_daemon, farm.clock, farm.make_client, load_times()
    )

    def swap(n: int) -> None:
        name, other = ("a", "b") if n % 2 else ("b", "a")
        waiting = scheduler.lease(name)
        if farm.daemons[other].running:
            farm.daemons[other].end()
        farm.come_up(name)
        waiting.addCallback(lambda lease: lease.release())
        for daemon in farm.daemons.values():
            daemon.told.clear()

    for n in range(WARM_UP_SWAPS):
        swap(n)
    gc.collect()
    before = _resident_mb()
    for n in range(SWAPS):
        swap(n)
    gc.collect()
    return [Measured(_resident_mb() - before, 10, "MB")]


def _resident_mb() -> float:
    """
    The peak, where the present size cannot be told.
    """
    if sys.platform.startswith("linux"):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


FLEET_ROWS = [
    Row("launch", "last byte of A's answer to B's launch, median", launches),
    Row(
        "plan",
        "a decision with 50 models and 1,000 waiting, the slowest",
        measure_imported=decisions,
    ),
    Row("swaps", "resident memory after 10,000 swaps", measure_imported=many_swaps),
]
