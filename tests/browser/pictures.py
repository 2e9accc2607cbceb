"""
The pictures of the README: `python -m tests.browser.pictures`, and nothing by hand.

Each is of the page as it is served, before stand-in daemons.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser.chat_rig import ChatCase
from tests.browser.rig import browsers, wish
from tests.browser.test_status import StatusCase
from tests.gate import ROOT

FOLDER = ROOT / "docs" / "pictures"
WIDE: dict[str, Any] = {"viewport": {"width": 960, "height": 730}}
NARROW: dict[str, Any] = {
    "viewport": {"width": 360, "height": 600},
    "color_scheme": "dark",
}
QUESTION = "How do I hold a request until its backend is healthy?"
ANSWER = """\
Poll it, and answer when it says **ok**; *bound* the wait:

```python
async def hold(backend, deadline=60.0):
    async with timeout(deadline):
        while not await backend.healthy():
            await sleep(0.2)  # not in a busy loop
```

| state | `/health` |
|---|---|
| loading | 503 |
| ready | 200 |
"""
OTHER = """\
Keep the request open, and look at `/health` until it answers 200.

- Give the wait an end.
- Tell the client of it in comments of its stream.
- Forward the request once the backend is up.
"""


class Pictures(ChatCase):
    """
    No test: a case only for its gateway, its pages and its cleaning up.
    """

    def mktemp(self) -> str:
        """
        Not below where this is run.
        """
        return str(Path(tempfile.mkdtemp(prefix="swapgate-pictures-")) / "run")

    def runTest(self) -> None:  # noqa: N802
        """
        All of them.
        """
        FOLDER.mkdir(exist_ok=True)
        self.general = "linger = 0"
        fast: dict[str, Any] = {"token_bytes": 4, "interval_s": 0.02}
        self.start(
            **{
                "phi-4": f"--load-time 4 {wish(text=ANSWER, **fast)}",
                "gemma-3-12b": f"--load-time 1 {wish(text=OTHER, **fast)}",
                "qwen2.5-14b": "",
            }
        )
        self.take("chat.png", self.answered, **WIDE)
        self.take("loading.png", self.loading, **WIDE)
        self.take("side-by-side.png", self.compared, **WIDE)
        self.take("narrow.png", self.answered, **NARROW)

    def take(self, name: str, act: Callable[[Page], None], **options: Any) -> None:
        page = self.chat("/?model=phi-4", **options)
        act(page)
        page.evaluate("() => document.activeElement.blur()")
        page.mouse.move(0, 0)
        path: Path = FOLDER / name
        page.screenshot(path=path, animations="disabled")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")
        page.context.close()

    def answered(self, page: Page) -> None:
        self.say(page, QUESTION)
        self.until_over(page)

    def loading(self, page: Page) -> None:
        # Another model is up.
        self.pick(page, "gemma-3-12b")
        self.say(page, "Are you there?")
        self.until_over(page)
        self.pick(page, "phi-4")
        self.say(page, QUESTION)
        page.get_by_text("2 s of about").wait_for()

    def compared(self, page: Page) -> None:
        self.answered(page)
        page.get_by_label("Answer again").click()
        page.get_by_role("menuitem", name="gemma").click()
        self.until_over(page, 2)


class StatusPicture(StatusCase):
    """
    No test, either: the picture of the gateway, in the middle of much.
    """

    models = {
        "gemma-3-12b": "--log --load-time 2",
        "qwen2.5-14b": "--log --load-time 3",
        "phi-4": "--log --load-time 4",
        "whisper": "--exit-after 0.2 --listen-late 9 --last-words 'no such file'",
    }
    memory = {
        "gemma-3-12b": "8.2 GB",
        "qwen2.5-14b": "11 GB",
        "phi-4": "9.1 GB",
        "whisper": "1.5 GB",
    }
    general = "fair_wait = 2 s"

    def mktemp(self) -> str:
        return str(Path(tempfile.mkdtemp(prefix="swapgate-pictures-")) / "run")

    def text(self, **models: str) -> str:
        return super().text(**models).replace("= 10 GB", "= 21.8 GB")

    def runTest(self) -> None:  # noqa: N802
        """
        Some swaps, then four that wait.
        """
        self.start()
        page = self.status(viewport={"width": 1160, "height": 1390})
        for _ in range(4):
            for name, seconds in (("gemma-3-12b", 5), ("qwen2.5-14b", 7), ("phi-4", 8)):
                self.ask(name, tokens=40, interval_s=0.05)
                page.wait_for_timeout(seconds * 1000)
        self.ask("whisper")
        self.ask("qwen2.5-14b", tokens=400, interval_s=0.05)
        page.wait_for_timeout(4500)
        for _ in range(3):
            self.ask("gemma-3-12b", tokens=400, interval_s=0.04)
        page.wait_for_timeout(4500)
        for _ in range(4):
            self.ask("phi-4", tokens=40, interval_s=0.05)
        page.locator("#queue").get_by_text("to end").first.wait_for()
        self.button(page, "5 min").click()
        lanes = page.get_by_role("application")
        lanes.focus()
        lanes.press("ArrowRight")
        for _ in range(5):
            lanes.press("ArrowLeft")
        path: Path = FOLDER / "status.png"
        page.screenshot(path=path, animations="disabled")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def main() -> None:
    """
    Take them all.
    """
    for case in (Pictures(), StatusPicture()):
        result = case.defaultTestResult()
        case.run(result)
        for _, trace in (*result.errors, *result.failures):
            raise SystemExit(trace)
    browsers.close()


if __name__ == "__main__":
    main()
