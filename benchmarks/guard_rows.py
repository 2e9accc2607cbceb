"""
What it costs to ask who may ask.
"""

from __future__ import annotations

import json
import time
from statistics import median

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from benchmarks.measured import Measured, Row
from swapgate.config.access import Access
from swapgate.config.keys import Key
from swapgate.server.auth import admit
from swapgate.server.channel import listener_of
from swapgate.server.request_parser import RequestHead

REQUESTS = 2_000
# What is done between two requests, so that the caches forget what the guard needs.
BALLAST = json.dumps({f"k{n}": [n, str(n)] for n in range(2_000)})
KEYS = 10
PAGE = "https://chat.example.org"
TARGET = b"/v1/chat/completions"


def guarded() -> list[Measured]:
    """
    From a head as it was sent, on a new connection, to the pass: of a program, and
    of a listed page with a key, where there are several of each.
    """
    bare = Access()
    full = Access(
        hosts=frozenset({"box.lan", "gate.example.org"}),
        origins=frozenset({PAGE, "https://other.example.org"}),
        keys=tuple(Key.of(f"k{n}", f"sk-{n}") for n in range(KEYS)),
    )
    program = [(b"Host", b"127.0.0.1:11430"), (b"Content-Type", b"a/b")]
    page = [
        *program,
        (b"Origin", PAGE.encode()),
        (b"Sec-Fetch-Site", b"cross-site"),
        (b"Authorization", b"Bearer sk-%d" % (KEYS - 1)),
    ]
    wire = StringTransport(hostAddress=IPv4Address("TCP", "127.0.0.1", 11430))
    medians = []
    for access, headers in ((bare, program), (full, page)):
        took_ms = []
        for _ in range(REQUESTS):
            json.loads(BALLAST)
            began = time.perf_counter()
            head = RequestHead(b"POST", TARGET, b"HTTP/1.1", headers)
            admit(access, listener_of(wire), head)
            took_ms.append((time.perf_counter() - began) * 1000)
        medians.append(median(took_ms))
    detail = f"a program {medians[0]:.3f}, a listed page with a key {medians[1]:.3f}"
    return [Measured(max(medians), 0.05, "ms", detail)]


GUARD_ROWS = [
    Row("guard", "who may ask, for each request, median", measure_imported=guarded)
]
