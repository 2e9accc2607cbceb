"""
The gateway's own pages: how soon one is shown, and what serving them costs streams.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median, quantiles
from threading import Timer
from typing import Any

import psutil

from benchmarks.client import Client, Stream, listen, post
from benchmarks.measured import Measured, Row
from benchmarks.processes import Gateway, Install, gateway, model
from tests.gate import ROOT, chromium

STREAMS, INTERVAL_S, TOKENS = 50, 0.02, 150
TURNS = 4
VISITS = 15
COSTED = 30
# So long after the beginning a browser comes that has nothing of the pages yet.
VISIT_AFTER_S = 1.0
PAGES = ("/", "/status")
STATIC = ROOT / "swapgate" / "pages" / "static"


def get(path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n"
    return f"{head}Accept-Encoding: gzip\r\n\r\n".encode()


def has_pages(port: int) -> bool:
    """
    Whether this gateway has them: an earlier one has not.
    """
    with Client(port) as client:
        client.send(get("/status"))
        return client.finish()[0] == 200


def visit(port: int) -> int:
    """
    Read both pages, and all files of the package; how many these were.
    """
    names = [each.name for each in STATIC.iterdir()]
    with Client(port) as client:
        for path in (
            *PAGES,
            *(f"/pages/{n}" for n in names if not n.endswith(".html")),
        ):
            client.send(get(path))
            status, _ = client.finish()
            if status != 200:
                raise RuntimeError(f"{path}: {status}")
    return len(names)


def cost_of_a_visit(gate: Gateway) -> float:
    """
    Of the gateway's processor time, in ms: whatever else the machine does.
    """
    process = psutil.Process(gate.pid)
    began = process.cpu_times()
    for _ in range(COSTED):
        visit(gate.port)
    ended = process.cpu_times()
    spent_s = ended.user + ended.system - began.user - began.system
    return 1000 * spent_s / COSTED


@contextmanager
def visitor(port: int) -> Iterator[Callable[[], None]]:
    """
    A process that visits whenever it is told to, and is up before.
    """
    argv = [sys.executable, "-m", "benchmarks.page_rows", str(port)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    told = process.stdin
    process.stdout.readline()

    def tell() -> None:
        told.write(b"\n")
        told.flush()

    try:
        yield tell
    finally:
        told.close()
        process.wait()
        process.stdout.close()


def visited(install: Install) -> list[Measured]:
    """
    50 streams of 3 s with a visit to each, and without, in turns.
    """
    wish = {"tokens": TOKENS, "interval_s": INTERVAL_S}
    request = post("a", stream=True, x_fake=wish)
    ms: dict[str, list[float]] = {"alone": [], "visited": []}
    with ExitStack() as everything:
        gate = everything.enter_context(gateway(install, model("a")))
        with Client(gate.port) as client:
            client.time(post("a"))
        if not has_pages(gate.port):
            return []
        count = visit(gate.port)
        cpu_ms = cost_of_a_visit(gate)
        tell = everything.enter_context(visitor(gate.port))
        for turn in range(2 * TURNS):
            name = ("alone", "visited", "visited", "alone")[turn % 4]
            with ExitStack() as stack:
                clients = [
                    stack.enter_context(Client(gate.port)) for _ in range(STREAMS)
                ]
                streams = [Stream(client) for client in clients]
                for stream in streams:
                    stream.client.send(request)
                    time.sleep(INTERVAL_S / STREAMS)
                if name == "visited":
                    Timer(VISIT_AFTER_S, tell).start()
                listen(streams)
            for stream in streams:
                ms[name] += stream.latencies_ms[1:]
    p99 = {name: quantiles(values, n=100)[98] for name, values in ms.items()}
    detail = ", ".join(f"{name} {value:.2f}" for name, value in p99.items())
    detail += f"; {count} files a visit"
    return [
        Measured(p99["visited"] - p99["alone"], 0.5, "ms", detail),
        Measured(cpu_ms, 20, "ms"),
    ]


def shown(install: Install) -> list[Measured]:
    """
    From the address to the first text on the screen, in a browser that runs and has
    nothing of the page yet; by the browser's own clock.
    """
    path = chromium()
    try:
        # Only these rows need it.
        from playwright.sync_api import sync_playwright  # noqa: PLC0415
    except ImportError:
        path = None
    if path is None:
        return []
    ms: dict[str, list[float]] = {page: [] for page in PAGES}
    with gateway(install, model("a")) as gate, sync_playwright() as playwright:
        if not has_pages(gate.port):
            return []
        options: dict[str, Any] = {"chromium_sandbox": os.geteuid() != 0}
        browser = playwright.chromium.launch(executable_path=path, **options)
        for n in range(VISITS):
            for page_path in PAGES:
                context = browser.new_context()
                page = context.new_page()
                # A process of the browser's for this site: its start is no page's.
                page.goto(f"http://127.0.0.1:{gate.port}/health")
                page.goto(f"http://127.0.0.1:{gate.port}{page_path}")
                took_ms = page.evaluate(FIRST_PAINT)
                if n:
                    ms[page_path].append(took_ms)
                context.close()
        browser.close()
    return [
        Measured(median(values), 100, "ms", f"{page} {min(values):.0f} at best")
        for page, values in ms.items()
    ]


FIRST_PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const found = list.getEntriesByName("first-contentful-paint")[0];
  if (found) done(found.startTime);
}).observe({type: "paint", buffered: true}))"""

PAGE_ROWS = [
    Row("shown", "the chat, and the picture, first text on the screen, median", shown),
    Row(
        "visited",
        "50 streams, p99, with a visit of both pages meanwhile, above without; "
        "the visit's own processor time",
        visited,
    ),
]


def main() -> None:
    """
    The visitor.
    """
    print("ready", flush=True)
    for _ in sys.stdin:
        visit(int(sys.argv[1]))


if __name__ == "__main__":
    main()
