"""
What is measured, and what it may be at most.

Direct and relayed samples alternate within one run, on the very same daemon, so
that the machine's moods hit both.
"""

from __future__ import annotations

import base64
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median, quantiles

import psutil
from attrs import evolve

from benchmarks.client import (
    HEALTH,
    Client,
    Stream,
    keep_busy,
    listen,
    post,
    post_bytes,
)
from benchmarks.measured import Measured, Row
from benchmarks.nginx import nginx
from benchmarks.processes import (
    Gateway,
    Install,
    Model,
    Peak,
    gateway,
    model,
    own_time,
)

LOADS_S = (0.15, 0.3, 0.6, 1.0, 1.5)
SWAPS_EACH = 4
EXCHANGES = 500
WARM_UP = 50
HELD = 1000
HELD_LOAD_S = 4.0
BUSY, BUSY_REQUESTS = 16, 1600
POUR_BYTES = 200_000_000
POUR_WATCHED_S = 3.0
BODY_BYTES = 20_000_000
PING_S = 0.001


def swap(install: Install) -> list[Measured]:
    """
    From the request for B, while A is idle, to B's first byte; less B's own time.
    """
    medians_ms: list[float] = []
    for load_s in LOADS_S:
        wanted, other = model("b", load_s), model("a", load_s)
        above_ms: list[float] = []
        with gateway(install, wanted, other) as gate, Client(gate.port) as client:
            client.time(post(other.name))
            for _ in range(SWAPS_EACH):
                own_s = own_time(wanted, post(wanted.name))
                took_s = client.time(post(wanted.name))
                above_ms.append((took_s - own_s) * 1000)
                wanted, other = other, wanted
        medians_ms.append(median(above_ms))
    each = zip(LOADS_S, medians_ms, strict=True)
    detail = ", ".join(f"{load_s} s: {ms:.0f}" for load_s, ms in each)
    return [Measured(median(medians_ms), 100, "ms", detail)]


def exchanges(
    install: Install,
    request: bytes,
    until: bytes,
    at_most_ms: float,
    samples: int = EXCHANGES,
) -> list[Measured]:
    """
    The same request over and over, in turns on a connection of each side.
    """
    took_ms: dict[str, list[float]] = {}
    with ExitStack() as stack:
        _, ports = sides(install, stack, model("a"))
        clients = {
            name: stack.enter_context(Client(port)) for name, port in ports.items()
        }
        for n in range(WARM_UP + samples):
            names = list(clients)
            for name in names if n % 2 else reversed(names):
                took = clients[name].time(request, until) * 1000
                if n >= WARM_UP:
                    took_ms.setdefault(name, []).append(took)
    return [above({name: median(ms) for name, ms in took_ms.items()}, at_most_ms)]


def sides(
    install: Install, stack: ExitStack, daemon: Model
) -> tuple[Gateway, dict[str, int]]:
    """
    A gateway, and the ports by which one daemon is asked: its own, and the proxies'.
    """
    gate = stack.enter_context(gateway(install, daemon))
    with Client(gate.port) as client:
        client.time(post(daemon.name))
    ports = {"direct": daemon.port, "relayed": gate.port}
    if (port := stack.enter_context(nginx(daemon.port))) is not None:
        ports["nginx"] = port
    return gate, ports


def above(ms: dict[str, float], at_most_ms: float) -> Measured:
    detail = ", ".join(f"{name} {value:.2f}" for name, value in sorted(ms.items()))
    return Measured(ms["relayed"] - ms["direct"], at_most_ms, "ms", detail)


def plain(install: Install) -> list[Measured]:
    return exchanges(install, post("a"), b"", 0.6)


def first_event(install: Install) -> list[Measured]:
    return exchanges(install, post("a", stream=True), b"data:", 0.8)


def prompt(install: Install, size: int, at_most_ms: float, samples: int) -> Measured:
    """
    A conversation of this size, its text escaped as JSON escapes it.
    """
    turn = 'She said: "Gr\u00fc\u00df Gott!"\n' * (size // 36)
    [measured] = exchanges(install, post("a", prompt=turn), b"", at_most_ms, samples)
    return evolve(measured, detail=f"{size // 1000} kB: {measured.detail}")


def prompts(install: Install) -> list[Measured]:
    return [
        prompt(install, 240_000, 5, EXCHANGES),
        prompt(install, 4_000_000, 60, EXCHANGES // 10),
    ]


def one_stream(install: Install) -> list[Measured]:
    """
    A stream by each side at the same time, each at 50 events a second.
    """
    request = post("a", stream=True, x_fake={"tokens": 300, "interval_s": 0.02})
    with ExitStack() as stack:
        _, ports = sides(install, stack, model("a"))
        streams = {
            name: Stream(stack.enter_context(Client(port)))
            for name, port in ports.items()
        }
        for stream in streams.values():
            stream.client.send(request)
            time.sleep(0.02 / len(streams))  # they keep out of each other's way
        listen(list(streams.values()))
    ms = {name: median(stream.latencies_ms) for name, stream in streams.items()}
    return [above(ms, 0.2)]


def fifty_streams(install: Install) -> list[Measured]:
    """
    Fifty at a time, each at 50 events a second, by each side in turn.
    """
    request = post("a", stream=True, x_fake={"tokens": 150, "interval_s": 0.02})
    all_ms: dict[str, list[float]] = {}
    with ExitStack() as stack:
        _, ports = sides(install, stack, model("a"))
        for name, port in [*ports.items()] * 2:
            with ExitStack() as fifty:
                clients = [fifty.enter_context(Client(port)) for _ in range(50)]
                streams = [Stream(client) for client in clients]
                for stream in streams:
                    stream.client.send(request)
                    time.sleep(0.02 / 50)
                listen(streams)
            for stream in streams:
                # The first of each waits for fifty connections to be made.
                all_ms.setdefault(name, []).extend(stream.latencies_ms[1:])
    return [above({name: quantiles(ms, n=100)[98] for name, ms in all_ms.items()}, 3)]


def busy(install: Install) -> list[Measured]:
    """
    16 clients, each with one stream of 20 events after the other, by each side in turn.
    """
    request = post("a", stream=True, x_fake={"tokens": 20})
    ms: dict[str, list[float]] = {}
    with ExitStack() as stack:
        gate, ports = sides(install, stack, model("a"))
        for name, port in [*ports.items()] * 3:
            with ExitStack() as all_of_them:
                clients = [all_of_them.enter_context(Client(port)) for _ in range(BUSY)]
                began = time.perf_counter()
                keep_busy(clients, request, BUSY_REQUESTS)
                took_ms = (time.perf_counter() - began) * 1000
            ms.setdefault(name, []).append(took_ms / BUSY_REQUESTS)
        resident_mb = psutil.Process(gate.pid).memory_info().rss / 1e6
    least = {name: min(values) for name, values in ms.items()}
    rates = ", ".join(f"{name} {1000 / value:.0f}" for name, value in least.items())
    return [
        Measured(least["relayed"], 5, "ms", f"requests a second: {rates}"),
        Measured(resident_mb, 150, "MB"),
    ]


def held(install: Install) -> list[Measured]:
    """
    A thousand requests that wait for one load.
    """
    first, wanted = model("a"), model("b", HELD_LOAD_S)
    lost = 0
    with gateway(install, first, wanted) as gate, ExitStack() as stack:
        stack.enter_context(Client(gate.port)).time(post(first.name))
        peak = Peak(gate.pid)
        clients = [stack.enter_context(Client(gate.port)) for _ in range(HELD)]
        began = time.perf_counter()
        for client in clients:
            client.send(post(wanted.name))
        sent_s = time.perf_counter() - began
        for client in clients:
            try:
                status, body = client.finish()
                lost += status != 200 or b"Paris." not in body
            except OSError:
                lost += 1
        done_s = time.perf_counter() - began - HELD_LOAD_S
        growth_mb = peak.growth_mb()
    detail = f"sent in {sent_s:.1f} s, all answered {done_s:.1f} s after the load time"
    if sent_s > HELD_LOAD_S:
        raise RuntimeError("not all of them were held: " + detail)
    return [
        Measured(lost, 0, "lost", detail),
        Measured(growth_mb, 50, "MB"),
    ]


def pour(install: Install) -> list[Measured]:
    """
    A client that reads nothing of an answer of 200 MB, as a stream and plain.
    """
    event_bytes = 8192
    stream = {"tokens": POUR_BYTES // event_bytes, "token_bytes": event_bytes}
    requests = {
        "stream": post("a", stream=True, x_fake=stream),
        "plain": post("a", x_fake={"plain_bytes": POUR_BYTES}),
    }
    growth_mb: dict[str, float] = {}
    with gateway(install, model("a")) as gate:
        for name, request in requests.items():
            with Client(gate.port) as client:
                client.time(post("a"))
                peak = Peak(gate.pid)
                client.send(request)
                time.sleep(POUR_WATCHED_S)
                growth_mb[name] = peak.growth_mb()
                client.receive()  # or nothing was poured at all
    detail = ", ".join(f"{name} {mb:.1f}" for name, mb in growth_mb.items())
    return [Measured(max(growth_mb.values()), 16, "MB", detail)]


def big_body(install: Install) -> list[Measured]:
    """
    20 MB as one image, and as a million small things, and 5 MB of what takes longest to
    read; meanwhile `/health` is asked.
    """
    image = base64.b64encode(os.urandom(BODY_BYTES * 3 // 4)).decode()
    turn = {"role": "user", "content": 'He said: "\u00fc?"\n', "n": [1, 2.5, None]}
    level = '{"a":' * 100 + "1" + "}" * 100
    deep = ",".join([level] * (BODY_BYTES // 4 // len(level)))
    turns = [turn] * (BODY_BYTES // len(json.dumps(turn)))
    bodies = {
        "one image": json.dumps({"messages": [{"content": image}], "model": "a"}),
        "many turns": json.dumps({"model": "a", "messages": turns}),
        "many levels": f'{{"model": "a", "messages": [{deep}]}}',
    }
    longest_ms: dict[str, float] = {}
    with (
        gateway(install, model("a")) as gate,
        Client(gate.port) as pinger,
        ThreadPoolExecutor(1) as uploader,
    ):
        pinger.time(post("a"))
        peak = Peak(gate.pid)
        for name, body in bodies.items():
            request = post_bytes("/v1/chat/completions", body.encode())
            pings_ms: list[float] = []
            for _ in range(3):
                with Client(gate.port) as client:
                    upload = uploader.submit(client.time, request)
                    while not upload.done():
                        pings_ms.append(pinger.time(HEALTH) * 1000)
                        time.sleep(PING_S)
                    upload.result()
            longest_ms[name] = max(pings_ms)
        growth_mb = peak.growth_mb()
    detail = ", ".join(f"{name} {ms:.0f}" for name, ms in longest_ms.items())
    return [
        Measured(growth_mb, 60, "MB"),
        Measured(max(longest_ms.values()), 50, "ms", detail),
    ]


ROWS = [
    Row("swap", "swap above the engine's own stop and load, median", swap),
    Row("plain", "warm plain answer, first byte above direct", plain),
    Row("first", "warm stream, first event above direct", first_event),
    Row(
        "one",
        "one stream at 50 events/s, each event above direct, median",
        one_stream,
    ),
    Row(
        "fifty",
        "50 streams at 50 events/s, each event above direct, p99",
        fifty_streams,
    ),
    Row("busy", "16 clients, streams of 20 events: each request, and memory", busy),
    Row("prompts", "a prompt of 240 kB, and of 4 MB, first byte above direct", prompts),
    Row("held", "1,000 requests held for one load", held),
    Row("pour", "a client that reads nothing while the daemon pours 200 MB", pour),
    Row("body", "a 20 MB request body: peak, longest wait of another", big_body),
]
