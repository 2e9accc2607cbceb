"""
The chat and the picture in a real Firefox, where there is one.
"""

from twisted.trial.unittest import SkipTest

from tests.browser.firefox import ENTER, ESCAPE, RIGHT, Firefox
from tests.browser.rig import BrowserCase, wish
from tests.gate import firefox

TEXT = (
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\ndef f(): ...\n```\n\nSome *words*.\n"
)
SLOW = wish(
    text="one two three four five six seven " * 20, token_bytes=5, interval_s=0.1
)
SHOWN = "document.querySelector('.markdown')?.innerText"
OVER = "!!document.querySelector('section.answer[aria-busy=\"false\"]')"


class FirefoxTests(BrowserCase):
    """
    Their main ways; the details are tested in Chromium.
    """

    def setUp(self) -> None:
        super().setUp()
        path = firefox()
        if path is None:
            raise SkipTest("there is no Firefox here")
        self.firefox = Firefox(path, self.folder)
        self.addCleanup(self.firefox.close)

    def chat(self, path: str) -> None:
        self.firefox.open(self.url + path)
        self.firefox.until("document.activeElement.id === 'message'")

    def tearDown(self) -> None:
        self.assertEqual(self.firefox.complaints, [])

    def test_an_answer(self) -> None:
        """
        Of a sleeping model: its progress, then its text as nodes.
        """
        self.start(a=f"--load-time 2 {wish(text=TEXT, token_bytes=4, interval_s=0.01)}")
        self.chat("/?model=a")
        self.firefox.type("Hello" + ENTER)
        words = "document.querySelector('.wait-words')?.textContent"
        self.firefox.until(f"{words}?.startsWith('Loading a, 1 s')")
        self.firefox.until(OVER)
        for found in ("table td", "pre .keyword", "p em"):
            self.assertTrue(self.firefox.value(f"!!document.querySelector('{found}')"))
        stats = self.firefox.value("document.querySelector('.stats').innerText")
        self.assertIn("loaded 2.", stats)

    def test_reload_and_stop(self) -> None:
        """
        Nothing that was shown is lost, the answer goes on, and Esc stops the engine.
        """
        self.start(a=SLOW)
        self.chat("/")
        self.firefox.type("count" + ENTER)
        self.firefox.until(f"{SHOWN}?.length > 40")
        shown = self.firefox.value(SHOWN).strip()
        self.firefox.reload()
        self.firefox.until(f"{SHOWN}?.length > {len(shown) + 40}")
        self.assertTrue(self.firefox.value(SHOWN).startswith(shown))
        self.firefox.type(ESCAPE)
        self.firefox.until(OVER)
        while len(self.told("client_gone", "a")) < 2:
            self.firefox.value("1")

    def test_the_picture(self) -> None:
        """
        Live; a model is loaded, has its lane, tells why, and shows its log.
        """
        self.start(a="--log")
        self.firefox.open(f"{self.url}/status")
        self.firefox.until(
            "document.getElementById('connection').textContent === 'Live'"
        )
        button = "document.querySelector('[aria-label=\"%s\"]')"
        self.firefox.until(f"{button % 'Load a'}?.click() ?? true")
        card = "document.querySelector('.card').dataset.phase"
        self.firefox.until(f"{card} === 'ready'")
        self.firefox.until(
            "document.querySelector('.lane-names li')?.textContent === 'a'"
        )
        self.firefox.value(
            "document.querySelector('svg[role=application]').focus() ?? 1"
        )
        self.firefox.type(RIGHT)
        self.firefox.until(
            "document.querySelector('.lane-tip').textContent.includes('waited for a')"
        )
        self.firefox.value(f"{button % 'Log of a'}.click() ?? 1")
        self.firefox.until(
            "document.querySelector('pre.log').textContent.includes('listening')"
        )
