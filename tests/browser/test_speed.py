"""
How much the chat asks of a browser: its weight, its start, its frames.

What is measured is the processor time of the page's main thread, by the browser's own
trace, and not how long a frame took on a machine that other tests share.
"""

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.chat_rig import ChatCase
from tests.browser.rig import browsers, wish
from tests.gate import ROOT

STATIC = ROOT / "swapgate" / "pages" / "static"
# As models write: of everything something.
PART = """
## Part {n}

Some *words* about `swap_{n}` and **memory**, with $x_{n}^2$ and a [link](https://x.org/{n})
in them, and enough of them that a line has to be broken once or twice on most screens.

- one thing, and then
  - another, below it
- a third: 1,000 of them

| model | GB |
|---|--:|
| a{n} | {n}.5 |

```python
def part_{n}(request):
    # What is below is as long as it is.
    for each in range({n}):
        print("part", each, 'of {n}')
    return request
```
"""
LONG = "".join(PART.format(n=n) for n in range(200))
CHARACTERS = 50_000
FRAME_MS = 50.0
# When something of it was seen; a page tells it a moment later.
PAINTED = """() => new Promise((seen) => new PerformanceObserver((list) => {
  const [paint] = list.getEntriesByName("first-contentful-paint");
  if (paint) seen(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
CATEGORIES = ["toplevel", "devtools.timeline", "__metadata"]


class SpeedTests(ChatCase):
    """
    Of the chat as it is served.
    """

    def longest_task_ms(self, page: Page, act: Callable[[], None]) -> float:
        """
        The most processor time of one task of the page's main thread meanwhile.
        """
        browser = browsers.get()
        browser.start_tracing(page=page, categories=CATEGORIES)
        act()
        events: list[dict[str, Any]] = json.loads(browser.stop_tracing())["traceEvents"]
        names = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == "thread_name"
            and event["args"]["name"] == "CrRendererMain"
        }
        tasks: list[float] = [
            event["tdur"] / 1000
            for event in events
            if (event["pid"], event["tid"]) in names
            and event["name"].endswith("RunTask")
            and "tdur" in event
        ]
        self.assertGreater(len(tasks), 100)
        return max(tasks)

    def test_the_meter(self) -> None:
        """
        It sees a task that is too long.
        """
        self.start()
        page = self.blank()
        busy = """() => new Promise((done) => setTimeout(() => {
          const until = performance.now() + 400;
          while (performance.now() < until) { /* as a slow script does */ }
          done();
        }))"""

        def act() -> None:
            page.evaluate(busy)
            for _ in range(100):
                page.evaluate("() => 1")

        self.assertGreater(self.longest_task_ms(page, act), FRAME_MS)

    def test_frames(self) -> None:
        """
        At 100 tokens a second, below 50,000 characters, no task takes longer than 50 ms
        of processor time, so that no frame does.
        """
        before, now = (self.folder / name for name in ("before", "now"))
        before.write_text(LONG[:CHARACTERS], "utf-8")
        now.write_text(LONG[:2400], "utf-8")
        self.memory = {"a": "1 GB", "b": "1 GB"}
        self.start(
            a=wish(text_file=str(before), token_bytes=500),
            b=wish(text_file=str(now), token_bytes=4, interval_s=0.01),
        )
        page = self.chat("/?model=a")
        self.say(page, "much")
        self.until_over(page)
        length = page.evaluate(
            "() => document.querySelector('.markdown').innerText.length"
        )
        self.assertGreater(length, CHARACTERS * 0.8)
        self.pick(page, "b")

        def answer() -> None:
            self.say(page, "more")
            self.until_over(page, 2)

        longest_ms = self.longest_task_ms(page, answer)
        print(f"longest task at 100 tokens/s: {longest_ms:.1f} ms")
        self.assertLess(longest_ms, FRAME_MS)

    def test_frames_of_one_long_answer(self) -> None:
        """
        The same where the answer itself grows to that, 25 times as fast, also where all
        of it is one list, one table or one piece of code.
        """
        row = "| a | {n} | some words that stand in a cell |\n"
        texts = {
            "everything": LONG,
            "list": "".join(f"- item *{n}* of many\n" for n in range(5000)),
            "table": "|a|b|c|\n|-|-|-|\n"
            + "".join(row.format(n=n) for n in range(2000)),
            "code": "```js\n" + "const a = 'b'; // c\n" * 5000,
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text[:CHARACTERS], "utf-8")
        self.start(
            **{
                name: wish(
                    text_file=str(self.folder / name), token_bytes=100, interval_s=0.01
                )
                for name in texts
            }
        )
        for name in texts:
            page = self.chat(f"/?model={name}")

            def answer(page: Page = page) -> None:
                self.say(page, "much")
                self.until_over(page)

            longest_ms = self.longest_task_ms(page, answer)
            print(f"longest task of one long answer, {name}: {longest_ms:.1f} ms")
            self.assertLess(longest_ms, FRAME_MS)
            page.close()

    def test_scrolling(self) -> None:
        """
        It follows a reader who is at the end, and no other.
        """
        text = self.folder / "text"
        text.write_text(LONG[:4000], "utf-8")
        self.start(a=wish(text_file=str(text), token_bytes=10, interval_s=0.01))
        page = self.chat(viewport={"width": 800, "height": 500})
        gap = """() => {
          const log = document.getElementById("log");
          return log.scrollHeight - log.scrollTop - log.clientHeight;
        }"""
        self.say(page, "much")
        page.get_by_text("Part 2", exact=True).wait_for()
        self.assertLess(page.evaluate(gap), 2)
        page.locator("#log").hover()
        page.mouse.wheel(0, -300)
        page.get_by_role("button", name="To the end").wait_for()
        top = page.evaluate("() => document.getElementById('log').scrollTop")
        self.until_over(page)
        self.assertEqual(
            page.evaluate("() => document.getElementById('log').scrollTop"), top
        )
        page.get_by_role("button", name="To the end").click()
        self.assertLess(page.evaluate(gap), 2)
        expect(page.get_by_role("button", name="To the end")).to_be_hidden()

    def test_start(self) -> None:
        """
        It is shown at once; the bound is for a machine that does much else.
        """
        self.start(a="")
        page = self.chat()
        shown_ms = []
        for _ in range(5):
            page.goto(self.url)
            self.ready(page)
            shown_ms.append(page.evaluate(PAINTED))
        print(f"shown after {min(shown_ms):.0f} ms, at the longest {max(shown_ms):.0f}")
        self.assertLess(min(shown_ms), 1000)

    def test_modules_come_together(self) -> None:
        """
        The page names all that is imported, so that none waits for another.
        """
        text = (STATIC / "chat.html").read_text("utf-8")
        [first] = re.findall(r'<script type="module" src="/pages/([\w.]+)">', text)
        named = re.findall(r'"modulepreload" href="/pages/([\w.]+)"', text)
        found: set[str] = set()
        wanted = {first}
        while wanted:
            name = wanted.pop()
            found.add(name)
            source = (STATIC / name).read_text("utf-8")
            imported = set(re.findall(r' from "\./([\w.]+)";', source))
            wanted |= imported - found
        self.assertEqual(sorted(named), sorted(found - {first}))

    def test_weight(self) -> None:
        """
        Both pages with all that they load weigh at most 100 kB, and are loaded once.
        """
        weight = sum(len(gzip.compress(it.read_bytes(), 9)) for it in STATIC.iterdir())
        print(f"weight: {weight} bytes")
        self.assertLess(weight, 100_000)
        self.start(a="")
        page = self.chat()
        first = self._loaded(page)
        self.assertLess(sum(first.values()), 100_000)
        page.goto(self.url)
        self.ready(page)
        # Of what it has the browser asks for nothing but whether the page is another.
        again = self._loaded(page)
        self.assertEqual(
            sum(size for url, size in again.items() if "/pages/" in url), 0
        )

    def _loaded(self, page: Page) -> dict[str, int]:
        loaded: dict[str, int] = page.evaluate(
            """() => Object.fromEntries(
              [...performance.getEntriesByType("resource"),
               ...performance.getEntriesByType("navigation")]
                .filter((it) => !it.name.includes("/swapgate/"))
                .map((it) => [it.name, it.transferSize]))"""
        )
        return loaded
