"""
A hostile page in a real browser: Chromium, without a window.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import (
    Factory,
    ProcessProtocol,
    Protocol,
    connectionDone,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from swapgate.errors import APIError
from swapgate.server.channel import GatewayChannel
from tests.gate import ROOT, chromium
from tests.rig import RigCase

PAGE = (ROOT / "tests" / "hostile.html").read_bytes()
# Where the hostile page comes from: this machine, so that no browser's own rule about
# pages from outside keeps it from us, but not the gateway's address.
ELSEWHERE = "127.0.0.2"
EVIL = "evil.example"
# Nothing but the two is to be found: no test talks to the outside.
RESOLVER = f"MAP {EVIL} {ELSEWHERE}, MAP * ~NOTFOUND, EXCLUDE localhost"
RESOLVER += f", EXCLUDE 127.0.0.1, EXCLUDE {ELSEWHERE}"
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    # What this browser forbids by itself others may allow.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    f"--host-resolver-rules={RESOLVER}",
)
# The tries that have to reach the gateway's access checks.
TRIES = {
    "models",
    "blind",
    "json",
    "text",
    "untyped",
    "keyed",
    "beacon",
    "image",
    "script",
    "plain_form",
    "usual_form",
    "socket",
    "state",
    "events",
    "load",
    "page",
    "page_blind",
    "page_script",
    "page_style",
    "page_frame",
    "page_object",
    "page_form",
    "history",
    "log",
    "pin",
}


class Browser(ProcessProtocol):
    """
    A browser that runs.
    """

    def __init__(self) -> None:
        self.said = ""
        self.ended: Deferred[None] = Deferred()

    def errReceived(self, data: bytes) -> None:
        self.said += data.decode(errors="replace")

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class Lair(Resource):
    """
    The server of the hostile page, which receives its report.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.report: Deferred[dict[str, str]] = Deferred()

    def render_GET(self, request: Request) -> bytes:  # noqa: N802
        request.setHeader("Content-Type", "text/html")
        if request.path == b"/sandboxed":
            # Its origin is null, as that of a page opened from a file.
            policy = "sandbox allow-scripts allow-forms"
            request.setHeader("Content-Security-Policy", policy)
        return PAGE

    def render_POST(self, request: Request) -> bytes:  # noqa: N802
        assert request.content is not None
        self.report.callback(json.loads(request.content.read()))
        return b""

    def leave(self, why: str) -> None:
        """
        No report will come any more.
        """
        if not self.report.called:
            self.report.errback(AssertionError(f"the browser ended: {why}"))


class Rebound(Protocol):
    """
    An address that a name has lost: it gave the page, and all that the page asks of
    its own origin afterwards goes to the gateway.
    """

    transport: Any

    def __init__(self, port: int) -> None:
        self._port = port
        self._begun = b""
        self._far: Far | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._far is not None:
            self._far.transport.write(data)
            return
        self._begun += data
        if self._begun.startswith(b"GET /page?"):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
            head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(PAGE)
            self.transport.write(head + PAGE)
            self.transport.loseConnection()
            return
        self.transport.pauseProducing()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port)
        factory = Factory.forProtocol(lambda: Far(self))
        factory.noisy = False
        endpoint.connect(factory).addCallback(self._connected)

    def _connected(self, far: IProtocol) -> None:
        assert isinstance(far, Far)
        self._far = far
        far.transport.write(self._begun)
        self.transport.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._far is not None:
            self._far.transport.loseConnection()


class Far(Protocol):
    """
    The other end of it.
    """

    transport: Any

    def __init__(self, near: Rebound) -> None:
        self._near = near

    def dataReceived(self, data: bytes) -> None:
        self._near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._near.transport.loseConnection()


class HostilePageTests(RigCase):
    """
    None of its tries loads a model or reads an answer.
    """

    timeout = 120

    async def begin(self, interface: str = ELSEWHERE) -> None:
        """
        A gateway that records what it refused, and the hostile server.
        """
        path = chromium()
        if path is None:
            raise SkipTest("there is no Chromium here")
        self.path = path
        self.refused: dict[str, APIError] = {}
        self.waiting: Deferred[None] | None = None
        refused = self._refused

        class Watched(GatewayChannel):
            def refuse(self, refusal: APIError, *, after_s: float = 0.0) -> None:
                refused(getattr(self._request, "uri", b""), refusal)
                super().refuse(refusal, after_s=after_s)

        net: Any = reactor
        self.lair = Lair()
        site = Site(self.lair)
        site.noisy = False
        lair = net.listenTCP(0, site, interface=interface)
        self.addCleanup(lair.stopListening)
        self.lair_port = lair.getHost().port
        self.general = self.general.replace("$", str(self.lair_port))
        await self.start(a="")
        assert self.service is not None
        self.service._site.protocol = Watched

    def _refused(self, target: bytes, refusal: APIError) -> None:
        query = parse_qs(urlsplit(target.decode("latin-1")).query)
        self.refused[query.get("by", ["?"])[0]] = refusal
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.callback(None)

    async def visit(self, page: str, target: str) -> dict[str, str]:
        """
        Open a page, let it try, and return its report.
        """
        folder = Path(self.mktemp()).absolute()
        report = f"http://{urlsplit(page).hostname}:{self.lair_port}/report"
        url = f"{page}?{urlencode({'target': target, 'report': report})}"
        argv = [self.path, *OPTIONS, f"--user-data-dir={folder}", url]
        if os.geteuid() == 0:
            # Its own sandbox is not for root.
            argv[1:1] = ["--no-sandbox"]
        browser = Browser()
        spawner: Any = reactor
        env = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        process = spawner.spawnProcess(browser, argv[0], argv, env)

        async def close() -> None:
            if not browser.ended.called:
                process.signalProcess("TERM")
            await browser.ended

        self.addCleanup(close)
        browser.ended.addCallback(lambda _: self.lair.leave(browser.said))
        return await self.lair.report

    async def until_refused(self, tries: set[str]) -> None:
        """
        Wait for the requests that the page does not wait for.
        """
        while not tries <= {*self.refused}:
            self.waiting = Deferred()
            await self.waiting

    async def attack(self, page: str, target: str, code: str) -> dict[str, str]:
        """
        Each try reaches the access checks, which refuse it for this reason.
        """
        found = await self.visit(page, target)
        self.assertEqual(self.told(), [])
        for by, text in found.items():
            # Only the refusal can be read.
            if text:
                self.assertEqual((by, json.loads(text)["error"]["code"]), (by, code))
        await self.until_refused(TRIES)
        for by in TRIES:
            refusal = self.refused[by]
            self.assertEqual((by, refusal.status, refusal.code), (by, 403, code))
        self.assertEqual(self.told(), [])
        return found

    async def test_another_site(self) -> None:
        """
        A page of the internet.
        """
        await self.begin()
        page = f"http://{EVIL}:{self.lair_port}/page"
        for_us = f"http://127.0.0.1:{self.port}"
        found = await self.attack(page, for_us, "origin_not_allowed")
        self.assertEqual(found, dict.fromkeys([*TRIES, "nowhere"], ""))

    async def test_another_server_of_this_machine(self) -> None:
        """
        The same site to a browser, but another origin.
        """
        await self.begin("127.0.0.1")
        page = f"http://localhost:{self.lair_port}/page"
        for_us = f"http://localhost:{self.port}"
        found = await self.attack(page, for_us, "origin_not_allowed")
        self.assertEqual(found, dict.fromkeys([*TRIES, "nowhere"], ""))

    async def test_a_sandbox(self) -> None:
        """
        A page without an origin.
        """
        await self.begin()
        page = f"http://{EVIL}:{self.lair_port}/sandboxed"
        for_us = f"http://127.0.0.1:{self.port}"
        found = await self.attack(page, for_us, "origin_not_allowed")
        self.assertEqual(found, dict.fromkeys([*TRIES, "nowhere"], ""))

    async def test_rebinding(self) -> None:
        """
        A page whose name leads to us now may read what we say: that it is refused.
        """
        await self.begin()
        net: Any = reactor
        factory = Factory.forProtocol(lambda: Rebound(self.port))
        factory.noisy = False
        front = net.listenTCP(self.port, factory, interface=ELSEWHERE)
        self.addCleanup(front.stopListening)
        page = f"http://{EVIL}:{self.port}/page"
        found = await self.attack(page, "", "host_not_allowed")
        for by in ("models", "json", "plain_form"):
            self.assertIn("host_not_allowed", found[by])

    async def test_a_listed_page(self) -> None:
        """
        The page is able to read and to act, where the user lets it: by what shows its
        origin, and by nothing else.
        """
        self.general = f"origins = http://{EVIL}:$"
        await self.begin()
        page = f"http://{EVIL}:{self.lair_port}/page"
        found = await self.visit(page, f"http://127.0.0.1:{self.port}")
        for by in ("models", "keyed"):
            self.assertEqual(json.loads(found[by])["data"][0]["id"], "a")
        self.assertEqual(json.loads(found["json"])["model"], "a")
        self.assertEqual(json.loads(found["state"])["version"], 1)
        self.assertEqual(found["events"], "opened")
        await self.until_refused({"image", "script", "blind"})
        self.assertEqual(len(self.told("started")), 1)
