"""
The picture of the gateway in a real browser: a swap, what can be done, what is told.
"""

import json
import threading
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.rig import PATIENCE_S, BrowserCase, Gateway, browsers

expect.set_options(timeout=PATIENCE_S * 1000)

KEY = "correct-horse-battery"
LOADING = "--log --load-time 1.5"
# So long a frame is, at 60 of them a second.
FRAME_MS = 1000 / 60
MODELS, WAITING = 100, 1000
NOTHING: dict[str, Any] = {"content_type": "text/javascript", "body": ""}


class StatusCase(BrowserCase):
    """
    A page on the picture, and clients beside it.
    """

    models = {"a": LOADING, "b": LOADING}

    def setUp(self) -> None:
        super().setUp()
        self.clients: list[threading.Thread] = []
        self.addCleanup(self.join)

    def ask(self, model: str, **wish: Any) -> None:
        """
        A stream of this model, read to its end in a thread.
        """
        body = {"model": model, "stream": True, "x_fake": wish}
        request = Request(
            f"{self.url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )

        def read() -> None:
            try:
                with urlopen(request, timeout=60) as answer:
                    answer.read()
            except HTTPError as error:
                error.close()
            except HTTPException:
                # The gateway was stopped before its end.
                pass

        client = threading.Thread(target=read, daemon=True)
        client.start()
        self.clients.append(client)

    def join(self) -> None:
        for client in self.clients:
            client.join(60)

    def status(self, **options: Any) -> Page:
        """
        Open it, and wait until it is live.
        """
        page = self.open("/status", **options)
        expect(page.locator("#connection")).to_have_text("Live")
        return page

    def card(self, page: Page, model: str) -> Locator:
        return page.locator(f".card[data-model='{model}']")

    def button(self, page: Page, name: str) -> Locator:
        return page.get_by_role("button", name=name, exact=True)

    def in_phase(self, page: Page, model: str, phase: str) -> None:
        expect(self.card(page, model)).to_have_attribute("data-phase", phase)


class SwapTests(StatusCase):
    """
    The picture through a swap.
    """

    def test_a_swap(self) -> None:
        """
        Loaded, asked, waited for, evicted; and told why.
        """
        self.general = "fair_wait = 1 s"
        self.start()
        page = self.status()
        words = page.locator(".memory-words")
        expect(words).to_have_text("0.0 GB of 10.0 GB in use: none is up")
        self.ask("a", tokens=120, interval_s=0.05)
        self.in_phase(page, "a", "starting")
        expect(self.card(page, "a").get_by_role("progressbar")).to_be_visible()
        self.in_phase(page, "a", "ready")
        expect(words).to_have_text("8.0 GB of 10.0 GB in use: a (ready)")
        expect(self.card(page, "a")).to_contain_text("1 answer in flight")
        expect(self.card(page, "a")).to_contain_text("tokens/s")
        self.ask("b", tokens=3)
        waiting = page.locator("#queue tbody tr")
        expect(waiting).to_contain_text("its turn, after a")
        expect(waiting).to_contain_text("an answer of a to end")
        expect(page.locator("#queue")).to_contain_text("1 request waiting")
        self.in_phase(page, "a", "draining")
        self.in_phase(page, "b", "starting")
        self.in_phase(page, "a", "stopped")
        self.in_phase(page, "b", "ready")
        expect(page.locator("#queue")).to_contain_text("No request waits.")
        expect(self.card(page, "a")).to_contain_text("loads in about ")
        why = page.locator("#swaps tbody tr", has_text="b is waited for")
        expect(why).to_contain_text("unload")
        expect(why).to_contain_text("1 request waited for b")
        self.check_page(page)

    def test_the_lanes(self) -> None:
        """
        They tell why, on hover and by keyboard.
        """
        self.start(a="", b="")
        page = self.status()
        self.ask("a", tokens=20, interval_s=0.05)
        self.in_phase(page, "a", "ready")
        self.ask("b")
        self.in_phase(page, "b", "ready")
        lanes = page.get_by_role("application")
        expect(page.locator(".lane-names li")).to_have_count(2)
        tip = page.locator(".lane-tip")
        self.button(page, "5 min").click()
        lanes.focus()
        page.keyboard.press("ArrowRight")
        told = set()
        for _ in range(20):
            told.add(tip.inner_text())
            page.keyboard.press("ArrowLeft")
        drained = [each for each in told if "finishing answers" in each]
        self.assertEqual(len(drained), 1, told)
        self.assertIn("Why: b is waited for", drained[0])
        self.assertIn("1 request waited for b", drained[0])
        page.keyboard.press("ArrowDown")
        expect(tip).to_contain_text("b: ")
        page.keyboard.press("Escape")
        expect(tip).to_be_hidden()
        # What goes on grows: from its middle on it is b's alone.
        page.locator(".lanes-box rect.lane-ready").hover()
        expect(tip).to_contain_text("b: ready")
        box = lanes.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 10, box["y"] + 10)
        expect(tip).to_be_hidden()
        self.check_page(page)

    def test_a_failed_load(self) -> None:
        """
        What happened, what to do, when it can be tried again, what the daemon said.
        """
        self.start(a="--exit-after 0.1 --listen-late 5 --last-words 'no memory left'")
        page = self.status()
        self.ask("a")
        card = self.card(page, "a")
        self.in_phase(page, "a", "failed")
        expect(card).to_contain_text("exited with status 1")
        expect(card).to_contain_text("load it again once the cause below is mended")
        card.get_by_text("What the daemon said").click()
        expect(card.locator("pre")).to_have_text("no memory left")
        self.assertEqual(self.axe(page), [])


class ActionTests(StatusCase):
    """
    What can be done here.
    """

    def test_odd_names(self) -> None:
        """
        A model may be called what any object of JavaScript has, or markup.
        """
        names = ("constructor", "__proto__", "<b>x</b>/c")
        self.start(**dict.fromkeys(names, ""), a="")
        page = self.status()
        self.ask("a", tokens=30, interval_s=0.1)
        self.in_phase(page, "a", "ready")
        expect(self.card(page, "a")).to_contain_text("tokens/s")
        expect(page.locator(".card h3")).to_have_text([*names, "a"])
        for name in names:
            self.button(page, f"Load {name}").click()
            self.in_phase(page, name, "ready")
        self.check_page(page)

    def test_load_and_unload(self) -> None:
        """
        By the keyboard alone.
        """
        self.start()
        page = self.status()
        self.button(page, "Load a").press("Enter")
        expect(self.button(page, "Loading… a")).to_be_disabled()
        self.in_phase(page, "a", "ready")
        expect(page.locator("#toast")).to_have_text("a is ready")
        self.button(page, "Unload a").press("Enter")
        self.in_phase(page, "a", "stopped")
        expect(page.locator("#toast")).to_have_text("a is unloaded")
        self.check_page(page)

    def test_pin(self) -> None:
        """
        It stays; what has no room beside it says so, and so does its refusal.
        """
        self.expected = ("status of 409",)
        self.start(a="", b="")
        page = self.status()
        self.button(page, "Load a").click()
        self.in_phase(page, "a", "ready")
        pin = self.button(page, "Pin a")
        pin.click()
        expect(pin).to_have_attribute("aria-pressed", "true")
        expect(self.card(page, "b")).to_contain_text(
            "no room beside a, which is pinned"
        )
        self.button(page, "Load b").click()
        expect(page.locator("#toast")).to_contain_text("pinned models keep the memory")
        self.in_phase(page, "a", "ready")
        pin.click()
        expect(pin).to_have_attribute("aria-pressed", "false")
        self.button(page, "Load b").click()
        self.in_phase(page, "b", "ready")
        self.in_phase(page, "a", "stopped")
        self.check_page(page)

    def test_log(self) -> None:
        """
        The lines so far, those that come, and the focus back where it was.
        """
        self.start()
        page = self.status()
        self.button(page, "Load a").click()
        self.in_phase(page, "a", "ready")
        opener = self.button(page, "Log of a")
        opener.click()
        log = page.get_by_role("log")
        expect(log).to_contain_text("[swapgate] started, process")
        expect(log).to_contain_text("main: listening")
        self.ask("a")
        expect(log).to_contain_text("main: finished")
        self.button(page, "Unload a").click()
        expect(log).to_contain_text("[swapgate] exited with status 0")
        lines = log.inner_text().splitlines()
        self.assertEqual(len([each for each in lines if "listening" in each]), 1)
        page.get_by_role("heading", name="Log of a").press("Escape")
        expect(log).to_be_hidden()
        expect(opener).to_be_focused()
        self.check_page(page)


class ConnectionTests(StatusCase):
    """
    The way to the gateway.
    """

    def test_it_comes_back(self) -> None:
        """
        A gateway that was away is there again, with a history of its own.
        """
        self.expected = ("net::ERR",)
        self.start(a="", b="")
        page = self.status()
        self.button(page, "Load a").click()
        self.in_phase(page, "a", "ready")
        expect(page.locator(".lane-names li")).to_have_text(["a"])
        self.gateway.stop()
        expect(page.locator("#connection")).to_have_text("Reconnecting…")
        config = self.folder / "swapgate.cfg"
        text = config.read_text().replace("tcp:0:", f"tcp:{self.port}:")
        config.write_text(text)
        self.gateway = Gateway(config)
        self.addCleanup(self.gateway.stop)
        expect(page.locator("#connection")).to_have_text("Live")
        self.in_phase(page, "a", "stopped")
        self.button(page, "Load b").click()
        expect(page.locator(".lane-names li")).to_have_text(["b"])

    def test_a_key(self) -> None:
        """
        Asked for once; without one the page says what it needs.
        """
        self.expected = ("status of 401",)
        keys = self.folder / "keys"
        keys.write_text(f"me: {KEY}\n")
        keys.chmod(0o600)
        self.general = f"api_keys = file:{keys}"
        self.start(a="")
        page = self.open("/status")
        page.get_by_role("button", name="Not now").click()
        expect(page.locator("#connection")).to_have_text("A key is needed")
        page.get_by_role("button", name="Enter a key").click()
        page.get_by_label("Key", exact=True).fill(KEY)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#connection")).to_have_text("Live")
        self.button(page, "Load a").click()
        self.in_phase(page, "a", "ready")
        expect(self.button(page, "Forget key")).to_be_visible()
        self.assertNotIn(KEY, page.url)

    def test_a_link_of_another_site(self) -> None:
        """
        It opens the page, which works, and which the other site has no hold on.
        """
        self.start(a="")
        # Its requests to another host are what is tested.
        context = browsers.get().new_context()
        self.addCleanup(context.close)
        page = context.new_page()

        def serve(route: Route) -> None:
            body = f'<a target="_blank" rel="opener" href="{self.url}/status">go</a>'
            route.fulfill(content_type="text/html", body=body)

        page.route("http://elsewhere.example/", serve)
        page.goto("http://elsewhere.example/")
        with context.expect_page() as opened:
            page.get_by_role("link", name="go").click()
        found = opened.value
        expect(found.locator("#connection")).to_have_text("Live")
        self.assertIsNone(found.evaluate("() => window.opener"))


class LookTests(StatusCase):
    """
    Wide and narrow, light and dark, for all who read it.
    """

    def test_axe(self) -> None:
        """
        Nothing serious is found while much goes on.
        """
        self.start(a=LOADING, b="--exit-after 0.1 --listen-late 5", c="--log")
        page = self.status(viewport={"width": 1200, "height": 900})
        self.ask("b")
        self.in_phase(page, "b", "failed")
        self.ask("c", tokens=200, interval_s=0.05)
        self.in_phase(page, "c", "ready")
        for _ in range(3):
            self.ask("a")
        expect(page.locator("#queue tbody tr")).to_have_count(3)
        self.button(page, "Log of c").click()
        for scheme in ("light", "dark"):
            for width in (1200, 390):
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size({"width": width, "height": 800})
                with self.subTest((scheme, width)):
                    self.assertEqual(self.axe(page), [])
        self.check_page(page)

    def test_narrow(self) -> None:
        """
        Nothing is wider than a phone.
        """
        name = "a-model-with-a-long-name-indeed-Q4_K_M.gguf"
        self.start(**{name: "", "b": ""})
        page = self.status(viewport={"width": 320, "height": 640})
        self.ask(name, tokens=60, interval_s=0.05)
        self.in_phase(page, name, "ready")
        self.ask("b")
        expect(page.locator("#swaps tbody tr").first).to_be_visible()
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        self.assertLessEqual(wide, 320)


def state_of(turn: int) -> dict[str, Any]:
    """
    A hundred models and a thousand who wait; each turn all looks otherwise.
    """
    phases = ("ready", "starting", "stopped", "draining", "failed", "stopping")
    now = 1_800_000_000.0 + turn
    models = []
    for n in range(MODELS):
        phase = phases[(n + turn) % len(phases)]
        error = {"message": f"it failed {turn} times\nin words", "at": now - turn}
        models.append(
            {
                "name": f"model-{n}",
                "aliases": [f"alias-{n}"],
                "phase": phase,
                "since": now - n - turn,
                "memory_bytes": 10**9,
                "pin": n % 7 == turn % 7,
                "preload": False,
                "in_flight": (n + turn) % 3,
                "answering_s": 1.5 * turn,
                "waiting": (n * turn) % 20,
                "load": {"estimate_s": 12.0, "elapsed_s": 3.0, "progress": 0.25},
                "stuck": None,
                "retry_in_s": 5.0,
                "idle_unload_in_s": None,
                "max_active": None,
                "tokens_per_s": 10.0 * turn + n,
                "log": True,
                "last_error": error if n % 3 == 0 else None,
            }
        )
    return {
        "version": 1,
        "at": now,
        "budget": {"bytes": 64 * 10**9, "used_bytes": 50 * 10**9},
        "held": WAITING,
        "max_held": 4096,
        "models": models,
        # The gateway tells of the first hundred.
        "queue": [
            {
                "model": f"model-{(n + turn) % MODELS}",
                "age_s": n + turn,
                "stream": n % 2 == 0,
                "behind": None,
                "waits_for": {
                    "what": "answer",
                    "model": f"model-{(n * turn) % MODELS}",
                },
            }
            for n in range(100)
        ],
        "swaps": [
            {
                "model": f"model-{(n + turn) % MODELS}",
                "what": ("load", "unload")[n % 2],
                "cause": f"model-{turn} is waited for",
                "began": now - n,
                "duration_s": n / 10,
                "outcome": "ready",
                "waiting": [{"model": "model-1", "requests": turn, "longest_s": 2.0}],
            }
            for n in range(50)
        ],
    }


def history_of(count: int) -> dict[str, Any]:
    """
    An hour of swaps of a hundred models.
    """
    now = 1_800_000_000.0
    phases = ("starting", "ready", "draining", "stopping")
    return {
        "at": now,
        "phases": [
            {
                "number": n,
                "model": f"model-{n % MODELS}",
                "phase": phases[n // MODELS % len(phases)],
                "cause": "asked for",
                "began": now - 3600 * (1 - n / count),
                "ended": now - 3600 * (1 - n / count) + 20,
                "waiting": [],
            }
            for n in range(count)
        ],
        "waits": [],
        "swaps": [],
    }


# Draws each state of `states`, then the history; returns what the script took for each.
DRAW = """async ([states, history]) => {
  const source = document.querySelector("script[type=module]").src;
  const { Picture } = await import(new URL("./status.js", source));
  const picture = new Picture();
  const took = [];
  const measure = (act) => {
    const began = performance.now();
    act();
    took.push(performance.now() - began);
  };
  for (const state of states) {
    picture.heard(state, "state");
    measure(() => picture.draw());
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  measure(() => picture.joined(history));
  return took;
}"""


class ManyTests(StatusCase):
    """
    A hundred models, and a thousand who wait.
    """

    def test_within_a_frame(self) -> None:
        """
        Where all has changed the script takes less than a frame; the best of some, for
        a busy machine takes longer.
        """
        self.start(a="")
        page = self.context(viewport={"width": 1200, "height": 900}).new_page()
        page.route("**/status_start.js", lambda route: route.fulfill(**NOTHING))
        page.goto(f"{self.url}/status")
        states = [state_of(turn) for turn in range(20)]
        took = page.evaluate(DRAW, [states, history_of(2000)])
        expect(page.locator(".card")).to_have_count(MODELS)
        expect(page.locator("#queue")).to_contain_text("1000 requests waiting")
        expect(page.locator("#queue tbody tr")).to_have_count(100)
        # The first makes all cards, the last is of the lanes.
        _, *updates, _ = took
        self.assertLess(min(updates), FRAME_MS)
