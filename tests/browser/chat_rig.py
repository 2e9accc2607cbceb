"""
What the tests of the chat share: a page on it, and what a user does there.
"""

import json
import re
from typing import Any

from playwright.sync_api import Locator, Page, Request

from tests.browser.rig import BrowserCase

# A pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAA"
    "BJRU5ErkJggg=="
)


class ChatCase(BrowserCase):
    """
    A page on the chat.
    """

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[dict[str, Any]] = []

    def chat(self, path: str = "/", **options: Any) -> Page:
        """
        Open it, and wait until it knows the models; what it asks is kept.
        """
        page = self.context(**options).new_page()
        page.context.on("request", self._note)
        page.goto(self.url + path)
        self.ready(page)
        return page

    def ready(self, page: Page) -> None:
        page.locator("#picker .dot[data-phase]:not([data-phase=''])").wait_for()
        page.wait_for_function("() => document.activeElement.id === 'message'")

    def _note(self, request: Request) -> None:
        if request.url.endswith("/v1/chat/completions"):
            self.asked.append(json.loads(request.post_data or ""))

    def say(self, page: Page, text: str) -> None:
        self.message(page).fill(text)
        self.message(page).press("Enter")

    def message(self, page: Page) -> Locator:
        return page.get_by_label("Message", exact=True)

    def answer(self, page: Page, at: int = -1) -> Locator:
        """
        An answer that is over.
        """
        found = page.locator("section.answer[aria-busy='false']")
        return found.last if at < 0 else found.nth(at)

    def said(self, page: Page, at: int = -1) -> str:
        return self.answer(page, at).locator(".markdown").inner_text()

    def until_over(self, page: Page, count: int = 1) -> None:
        """
        Wait until there are so many answers, and none is on its way.
        """
        page.wait_for_function(
            """(count) => {
              const all = [...document.querySelectorAll("section.answer")];
              return all.length === count
                && all.every((it) => it.getAttribute("aria-busy") === "false");
            }""",
            arg=count,
        )

    def pick(self, page: Page, model: str) -> None:
        page.locator("#picker").click()
        page.get_by_role("menuitemradio", name=re.compile(rf"^{model} ")).click()

    def saved(self, page: Page) -> list[dict[str, Any]]:
        """
        The turns as this browser keeps them.
        """
        turns: list[dict[str, Any]] = page.evaluate(
            """() => new Promise((resolve) => {
              const opening = indexedDB.open("swapgate-chat");
              opening.onsuccess = () => {
                const turns = opening.result.transaction("turns").objectStore("turns");
                const all = turns.getAll();
                all.onsuccess = () => {
                  opening.result.close();
                  resolve(all.result);
                };
              };
            })"""
        )
        return turns
