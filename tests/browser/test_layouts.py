"""
The chat in the dark, on a narrow screen, by a screen reader, and with a key.
"""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.chat_rig import ChatCase
from tests.browser.rig import wish

TEXT = """
# A heading

Some words with `code`, **marks** and a [link](https://example.org/).

| a | very | wide | table | with | many | columns | in | it |
|---|------|------|-------|------|------|---------|----|----|
| 1 | 2222 | 3333 | 44444 | 5555 | 6666 | 7777777 | 88 | 99 |

```python
def long(line):  # that does not fit into a narrow window, so it has to scroll
    return "text", 42
```

$$
x^2
$$

- [x] done
"""
LAYOUTS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 640}},
    "narrow and dark": {
        "viewport": {"width": 360, "height": 640},
        "color_scheme": "dark",
    },
}
KEY = "correct-horse-battery"


class LayoutTests(ChatCase):
    """
    Its main states in each layout.
    """

    expected = ("status of 409",)

    def setUp(self) -> None:
        super().setUp()
        self.start(
            a=wish(text=TEXT, reasoning="Hm. " * 20),
            b=wish(text="Short."),
            bad="--never-healthy --exit-after 0.1 --last-words 'no such file'",
        )

    def look(self, page: Page, state: str) -> None:
        """
        Nothing is wider than the window, and axe-core finds nothing serious.
        """
        wide = page.evaluate(
            "() => document.documentElement.scrollWidth - window.innerWidth"
        )
        self.assertLessEqual((state, wide), (state, 0))
        self.assertEqual((state, self.axe(page)), (state, []))

    def walk(self, layout: str, **options: Any) -> None:
        page = self.chat("/?model=a", **options)
        self.look(page, f"{layout}, empty")
        self.say(page, "hello")
        self.until_over(page)
        page.locator("details.thinking summary").click()
        self.look(page, f"{layout}, an answer")
        page.get_by_label("Answer again").click()
        self.look(page, f"{layout}, a menu")
        page.get_by_role("menuitem", name="bad").click()
        self.until_over(page, 2)
        self.look(page, f"{layout}, two answers, and an error")
        page.get_by_label("Edit message").click()
        self.look(page, f"{layout}, a message that is edited")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_label("Settings of this conversation").click()
        self.look(page, f"{layout}, settings")
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        expect(page.get_by_label("Find a conversation")).to_be_focused()
        self.look(page, f"{layout}, conversations")

    def test_light(self) -> None:
        self.walk("light", **LAYOUTS["light"])

    def test_dark(self) -> None:
        """
        The colours are others.
        """
        self.walk("dark", **LAYOUTS["dark"])
        page = self.chat(**LAYOUTS["dark"])
        shown = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        self.assertEqual(shown, "rgb(21, 25, 24)")

    def test_narrow(self) -> None:
        """
        The list of conversations comes when it is asked for.
        """
        self.walk("narrow", **LAYOUTS["narrow"])
        self.walk("narrow and dark", **LAYOUTS["narrow and dark"])
        page = self.chat(**LAYOUTS["narrow"])
        search = page.get_by_label("Find a conversation")
        expect(search).to_be_hidden()
        page.get_by_role("button", name="Conversations", exact=True).click()
        expect(search).to_be_visible()
        page.get_by_label("Close list").click()
        expect(search).to_be_hidden()

    def test_what_a_screen_reader_hears(self) -> None:
        """
        The state of an answer, not each of its tokens.
        """
        page = self.chat("/?model=b")
        page.evaluate(
            """() => {
              window.heard = [];
              const state = document.getElementById("state");
              new MutationObserver(() => window.heard.push(state.textContent))
                .observe(state, { childList: true });
            }"""
        )
        self.say(page, "hello")
        self.until_over(page)
        heard = page.evaluate("() => window.heard")
        self.assertEqual(
            heard, ["Waiting for b.", "b answers.", "The answer is complete."]
        )
        live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
        for text in live.all_inner_texts():
            self.assertNotIn("Short.", text)

    def test_little_motion(self) -> None:
        """
        Where a user wants none, nothing moves.
        """
        page = self.chat(reduced_motion="reduce")
        moving = page.evaluate("() => document.getAnimations().length")
        self.assertEqual(moving, 0)
        slides = "() => getComputedStyle(document.getElementById('sidebar')).transition"
        self.assertIn("none", page.evaluate(slides))


class KeyTests(ChatCase):
    """
    A gateway that wants a key.
    """

    expected = ("status of 401",)

    def locked(self, options: str = "") -> Page:
        """
        A page on a gateway that wants a key.
        """
        keys = self.folder / "keys"
        keys.write_text(f"me: {KEY}\n")
        keys.chmod(0o600)
        self.general = f"api_keys = file:{keys}\n{options}"
        self.start(a="")
        page = self.context().new_page()
        page.goto(self.url)
        return page

    def test_key(self) -> None:
        """
        It is asked for once; it can be forgotten.
        """
        page = self.locked()
        page.get_by_role("dialog").wait_for()
        self.assertEqual(self.axe(page), [])
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        self.ready(page)
        self.say(page, "hello")
        self.until_over(page)
        page.reload()
        self.ready(page)
        self.assertEqual(page.get_by_role("dialog").count(), 0)
        page.get_by_label("Settings of this conversation").click()
        page.get_by_role("button", name="Forget API key").click()
        page.get_by_role("button", name="Cancel").click()
        self.say(page, "again")
        page.get_by_role("dialog").wait_for()
        page.get_by_role("button", name="Not now").click()
        page.get_by_text("The gateway wants an API key.").wait_for()
        self.assertNotIn(KEY, page.url)

    def test_not_given(self) -> None:
        """
        The page stays, and asks when something is sent.
        """
        page = self.locked("models_need_key = no")
        page.get_by_role("button", name="Not now").click()
        expect(page.locator(".picker-name")).to_have_text("a")
        self.say(page, "hello")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        self.until_over(page)
        # The events come with it.
        self.ready(page)
