"""
The pages in a real Chromium, before a gateway in a process of its own.

Any console error, failed policy, exception in the page, and any request to another host
fails the test that it happens in.

Playwright is driven synchronously, so nothing here enters the reactor.
"""

import atexit
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    sync_playwright,
)
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from swapgate.daemons.processes import signal_group
from tests.gate import chromium
from tests.rig import FAKE, MODEL, told_in
from tests.test_tap import TWISTD, environment

# How long anything may take on a slow machine; no test waits for it to pass.
PATIENCE_S = 60.0
_LISTENS = re.compile(r" starting on (\d+)")
_BLANK: Any = {
    "content_type": "text/html",
    "body": "<!doctype html><title>blank</title><link rel=icon href='data:,'>"
    "<link rel=stylesheet href=/pages/style.css><body>",
}
_AXE = "axe_playwright_python"


def wish(**wishes: Any) -> str:
    """
    Options of a stand-in daemon: how it answers every request, see its `Wish`.
    """
    # In a configuration a dollar begins a substitution.
    return f"--wish {shlex.quote(json.dumps(wishes))}".replace("$", "$$")


class Gateway:
    """
    `twistd swapgate` in a process of its own, and what it logs.
    """

    def __init__(self, config: Path) -> None:
        argv = [*TWISTD, "swapgate", "--config", str(config)]
        self.process = subprocess.Popen(
            argv,
            cwd=config.parent,
            env=environment(HOME=str(config.parent)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.until(_LISTENS)[1])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def until(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """
        Wait for a line of the log that has this.
        """
        while (line := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
            if found := pattern.search(line):
                return found
        raise AssertionError(f"the gateway ended:\n{''.join(self.lines)}")

    def stop(self) -> None:
        """
        SIGTERM, and the end.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


class _Browsers:
    """
    One browser for all tests of a process; a context for each test is as good as new.
    """

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def get(self) -> Browser:
        if self._browser is None:
            path = chromium()
            if path is None:
                raise SkipTest("there is no Chromium here")
            self._playwright = sync_playwright().start()
            # trial knows no fixtures of a class or a module.
            atexit.register(self.close)
            options = ["--disable-gpu", "--disable-dev-shm-usage"]
            self._browser = self._playwright.chromium.launch(
                executable_path=path,
                args=options,
                # Its own sandbox is not for root.
                chromium_sandbox=os.geteuid() != 0,
            )
        return self._browser

    def close(self) -> None:
        if self._browser is not None and self._playwright is not None:
            self._browser.close()
            self._playwright.stop()
            self._browser = self._playwright = None


browsers = _Browsers()


class BrowserCase(SynchronousTestCase):
    """
    A gateway before stand-in daemons, of which one fits at a time, and a page on it.
    """

    # Options of the daemons, by model; every test may change its own.
    models: dict[str, str] = {"a": "", "b": ""}
    memory: dict[str, str] = {}
    general = ""
    # What the console may say: each a part of a message that the test expects.
    expected: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.journal = self.folder / "journal"
        self.complaints: list[str] = []
        # It runs when all else is over.
        self.addCleanup(lambda: self.assertEqual(self.complaints, []))

    # The gateway.

    def start(self, **models: str) -> None:
        """
        Start the gateway before these daemons.
        """
        config = self.folder / "swapgate.cfg"
        config.write_text(self.text(**models))
        self.gateway = Gateway(config)
        self.addCleanup(self._sweep)
        self.addCleanup(self.gateway.stop)
        self.port = self.gateway.port
        self.url = f"http://127.0.0.1:{self.port}"

    def restart(self) -> None:
        """
        End the gateway, and start another one at the same port.
        """
        self.gateway.stop()
        config = self.folder / "swapgate.cfg"
        config.write_text(config.read_text().replace("tcp:0:", f"tcp:{self.port}:"))
        self.gateway = Gateway(config)
        self.addCleanup(self.gateway.stop)

    def text(self, **models: str) -> str:
        """
        A configuration; `models` are names and options of their daemons.
        """
        text = (
            f"[swapgate]\nlisten = tcp:0:interface=127.0.0.1\n"
            f"state_dir = {self.folder / 'state'}\nmemory_budget = 10 GB\n"
            f"{self.general}\n"
        )
        for name, options in (models or self.models).items():
            text += MODEL.format(
                name=name,
                fake=FAKE,
                journal=self.journal,
                state=self.folder / "deaths",
                options=options,
                memory=self.memory.get(name, "8 GB"),
            )
        return text

    def _sweep(self) -> None:
        # Nothing else ends what a killed gateway leaves behind.
        for entry in self.told("started"):
            try:
                signal_group(entry["pgid"], signal.SIGKILL)
            except ProcessLookupError:
                continue

    def told(self, what: str = "", name: str = "") -> list[dict[str, Any]]:
        """
        What the daemons wrote into their journal.
        """
        return told_in(self.journal, what, name)

    # The browser.

    def context(self, **options: Any) -> BrowserContext:
        """
        A browser without a past, with these options of Playwright's.
        """
        context = browsers.get().new_context(**options)
        context.set_default_timeout(PATIENCE_S * 1000)
        self.addCleanup(context.close)
        context.on("console", self._console)
        context.on("weberror", lambda it: self.complaints.append(str(it.error)))
        context.on("request", self._requested)
        return context

    def open(self, path: str = "/", **options: Any) -> Page:
        """
        A page of the gateway, in a browser of its own.
        """
        page = self.context(**options).new_page()
        page.goto(self.url + path)
        return page

    def blank(self) -> Page:
        """
        A page of the gateway's origin with nothing on it: for a module alone.
        """
        page = self.context().new_page()
        page.route("**/blank", lambda route: route.fulfill(**_BLANK))
        page.goto(f"{self.url}/blank")
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(
            part in message.text for part in self.expected
        ):
            self.complaints.append(f"{message.type}: {message.text}")

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        ours = f"{parts.scheme}://{parts.netloc}" == self.url
        if not ours and parts.scheme not in ("data", "blob"):
            self.complaints.append(f"a request to another host: {request.url}")

    def check_page(self, page: Page) -> None:
        """
        Nothing was wrong so far; what the page did is heard of first.
        """
        page.evaluate("() => new Promise(done => requestAnimationFrame(done))")
        self.assertEqual(self.complaints, [])

    def until(self, page: Page, holds: Callable[[], bool]) -> None:
        """
        Wait for what only this side can see; the page goes on meanwhile.
        """
        for _ in range(int(PATIENCE_S / 0.02)):
            if holds():
                return
            page.wait_for_timeout(20)
        raise AssertionError(f"{holds} does not come")

    def axe(self, page: Page) -> list[str]:
        """
        What axe-core finds serious or critical, a line for each rule and place.
        """
        return list(_findings(page))


def _findings(page: Page) -> Iterator[str]:
    # The page's policy lets no script in that is added as an element.
    page.evaluate(_axe_source())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    for violation in found["violations"]:
        if violation["impact"] in ("serious", "critical"):
            for node in violation["nodes"]:
                yield f"{violation['id']}: {node['html'][:200]}"


def _axe_source() -> str:
    return files(_AXE).joinpath("axe.min.js").read_text("utf-8")
