"""
What continuity gains and costs, with the real engine and the demo's model.

With and without take turns in one run: two gateways, one after the other, each with two
models of which one fits. Needs the extra `demo`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.client import Client, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Install, Model, free_port, gateway
from swapgate.demo.weights import cache_folder, ready_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTHS = (500, 1500, 3000)
TURNS = 2
SWAPS = 6
# What is saved in the background is saved so soon after an answer.
_DELAY_S = 0.1
_WORDS = ("sea", "lamp", "tower", "stone", "gull", "boat", "star", "wind", "salt")


def text(tokens: int, seed: int) -> str:
    """
    About so many tokens, which no other text begins with.
    """
    random = Random(seed)
    words = (random.choice(_WORDS) for _ in range(tokens - 10))
    return f"{seed}. {' '.join(words)}"


def turns(*said: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": each} for n, each in enumerate(said)]


class Pair:
    """
    A gateway with two models, one of which fits; the first has the conversations.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def say(self, *said: str, model: str = "a") -> tuple[float, Any]:
        """
        Seconds to the first token, and what its headers and timings say.
        """
        body: dict[str, Any] = {"messages": turns(*said), "max_tokens": 4}
        body |= {"stream": True, "temperature": 0}
        with Client(self.port) as client:
            began = time.perf_counter()
            client.send(post(model, **body))
            heard = b""
            while b'"content":"' not in heard:
                heard += client.receive()
            took_s = time.perf_counter() - began
            _, answer = client.finish(heard)
        head = heard.partition(b"\r\n\r\n")[0].lower()
        waits = re.findall(rb"x-swapgate-(?:load|queue)-ms: (\d+)", head)
        [timings] = re.findall(rb'"timings":(\{[^}]*\})', answer)
        found = json.loads(timings)
        found["held_s"] = sum(map(int, waits)) / 1000
        return took_s, found

    def load(self, model: str = "a") -> float:
        """
        Swap to this model: how many seconds that takes.
        """
        with Client(self.port) as client:
            head = f"POST /swapgate/models/{model}/load HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            head += "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            return client.time(head.encode())


@frozen(kw_only=True)
class RealModel(Model):
    """
    The demo's model behind the real engine.
    """

    weights: Path

    def argv(self) -> list[str]:
        engine = [sys.executable, "-m", "swapgate.engine", "-m", str(self.weights)]
        options = ["-c", "4096", "-np", "1", "-t", "1", "--swa-full", "--no-warmup"]
        return [*engine, *options, "--port", str(self.port)]

    def service(self) -> str:
        return f"{super().service()}\nenv = PYTHONPATH"


@contextmanager
def pair(install: Install, continuity: str) -> Iterator[Pair]:
    """
    One with continuity, or without.
    """
    weights = ready_weights(cache_folder(os.environ, sys.platform))
    models = [
        RealModel(name=name, port=free_port(), weights=weights) for name in ("a", "b")
    ]
    options = f"linger = 0\ncontinuity = {continuity}\nsnapshot_delay = {_DELAY_S:g} s"
    with gateway(install, *models, options=options) as gate:
        yield Pair(gate.port)


def first_tokens(install: Install) -> list[Measured]:
    """
    After a swap back, from the request to the first token: the load is over by then.
    """
    took: dict[tuple[str, int], list[float]] = {}
    for turn in range(TURNS):
        for setting in ("auto", "off"):
            with pair(install, setting) as gate:
                for length in LENGTHS:
                    story = text(length, 10_000 * turn + length)
                    gate.say(story)
                    time.sleep(5 * _DELAY_S)
                    gate.load("b")
                    gate.load("a")
                    took_s, _ = gate.say(story, "It is a story.", "What of?")
                    took.setdefault((setting, length), []).append(took_s)
    found = []
    for length in LENGTHS:
        kept, lost = (median(took[setting, length]) for setting in ("auto", "off"))
        detail = f"{length:,} tokens: {lost * 1000:.0f} ms without"
        found.append(Measured(kept * 1000, lost * 1000 / 5, "ms", detail))
    return found


def added(install: Install) -> list[Measured]:
    """
    What a swap takes more where there was something to save, which was done in the
    background; and what a new conversation waits more where others are kept.
    """
    swaps: dict[str, list[float]] = {"auto": [], "off": []}
    news: dict[str, list[float]] = {"auto": [], "off": []}
    for turn in range(TURNS):
        for setting, swapped in swaps.items():
            with pair(install, setting) as gate:
                for n in range(SWAPS):
                    gate.say(text(200, 100 * turn + n))
                    time.sleep(5 * _DELAY_S)
                    swapped.append(gate.load("b"))
                    took_s, timings = gate.say(text(60, 9000 + 100 * turn + n))
                    read_s = timings["prompt_ms"] / 1000
                    news[setting].append(took_s - read_s)
    found = []
    for times, what in ((swaps, "a swap"), (news, "a new conversation's load")):
        kept_ms, lost_ms = (1000 * median(times[each]) for each in ("auto", "off"))
        detail = f"{what}: {lost_ms:.0f} ms without, median"
        found.append(Measured(kept_ms - lost_ms, 20, "ms", detail))
    return found


CONTINUITY_ROWS = [
    Row("continuity", "first token after a swap back, real engine", first_tokens),
    Row("saving", "continuity adds to a swap, to a new conversation's", added),
]
