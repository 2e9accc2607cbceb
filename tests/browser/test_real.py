"""
The chat before the real engine and a real, tiny model.
"""

from typing import Any

from playwright.sync_api import expect

from tests.browser.chat_rig import ChatCase
from tests.test_tap import ROOT

MODEL = """
[model {name}]
memory = 650 MB
service = child
command = ${{python}} -m swapgate.demo --persona {persona} --port ${{port}} \
--alias {name}
env = PYTHONPATH={root}
"""


class RealEngineTests(ChatCase):
    """
    Two manners of the demo's model, of which one fits at a time.
    """

    def text(self, **models: Any) -> str:
        """
        Of each model, its persona.
        """
        sections = (
            MODEL.format(name=name, persona=persona, root=ROOT)
            for name, persona in models.items()
        )
        return (
            "[swapgate]\nlisten = tcp:0:interface=127.0.0.1\n"
            f"state_dir = {self.folder / 'state'}\nmemory_budget = 1 GB\n"
            f"{''.join(sections)}"
        )

    def test_a_conversation(self) -> None:
        """
        A question to a sleeping model, another one, the other model's answer beside it.
        """
        self.start(gemma="general", phi="programming")
        page = self.chat("/?model=gemma")
        self.say(page, "What is the capital of France?")
        page.get_by_text("Loading gemma").wait_for()
        self.until_over(page)
        self.assertIn("Paris", self.said(page))
        self.say(page, "And of Italy?")
        self.until_over(page, 2)
        stats = self.answer(page).locator(".stats")
        expect(stats).to_contain_text("% known")
        expect(stats).to_contain_text("tokens/s")
        page.get_by_label("Answer again").last.click()
        page.get_by_role("menuitem", name="phi").click()
        self.until_over(page, 3)
        self.assertIn("Rome", self.said(page))
        expect(self.answer(page).locator(".stats")).to_contain_text("loaded ")

    def test_going_on(self) -> None:
        """
        After a stop, and after a reload, from what is there.
        """
        self.start(gemma="general")
        page = self.chat()
        self.say(page, "What is the capital of France?")
        words = "() => document.querySelector('.markdown')?.innerText.length > 5"
        page.wait_for_function(words)
        page.reload()
        page.wait_for_function(words)
        self.until(page, lambda: len(self.asked) == 2)
        begun = self.asked[-1]["messages"][-1]
        self.assertEqual(begun["role"], "assistant")
        self.until_over(page)
        self.assertTrue(self.said(page).startswith(begun["content"].strip()))
        self.assertIn("Paris", self.said(page))
