"""
What it costs to translate a stream for Ollama's clients.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from statistics import median

from attrs import evolve

from benchmarks.client import Client, Stream, listen, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Install, gateway, model

TOKENS, INTERVAL_S = 200, 0.02
# No field of the daemon's event is in a translated line but the token's text: that
# carries the time. Both streams are read by it.
TOKEN_NS = re.compile(rb'"content": ?"(\d+) "')
PATHS = {"pass-through": "/v1/chat/completions", "NDJSON": "/api/chat"}


def ndjson(install: Install) -> list[Measured]:
    """
    One stream by each API at the same time, twice: each is once the first to be asked.
    """
    wish = json.dumps({"tokens": TOKENS, "interval_s": INTERVAL_S, "timed": True})
    daemon = evolve(model("a"), wish=wish)
    ms: dict[str, list[float]] = {name: [] for name in PATHS}
    with gateway(install, daemon) as gate:
        for names in (list(PATHS), list(reversed(PATHS))):
            with ExitStack() as stack:
                streams: dict[str, Stream] = {}
                for name in names:
                    client = stack.enter_context(Client(gate.port))
                    client.time(post(daemon.name, PATHS[name], stream=False))
                    streams[name] = Stream(client, TOKEN_NS)
                for name in names:
                    request = post(daemon.name, PATHS[name], stream=True)
                    streams[name].client.send(request)
                    time.sleep(INTERVAL_S / 2)  # they keep out of each other's way
                listen(list(streams.values()))
            for name, stream in streams.items():
                if len(stream.latencies_ms) != TOKENS:
                    raise RuntimeError(f"{name}: {len(stream.latencies_ms)} tokens")
                ms[name] += stream.latencies_ms
    medians = {name: median(values) for name, values in ms.items()}
    detail = ", ".join(f"{name} {value:.3f}" for name, value in medians.items())
    return [Measured(medians["NDJSON"] - medians["pass-through"], 0.05, "ms", detail)]


OLLAMA_ROWS = [
    Row(
        "ndjson",
        "Ollama's lines at 50 events/s, each above the same passed on, median",
        ndjson,
    ),
]
