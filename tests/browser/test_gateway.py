"""
gateway.js, the pages' way to the gateway: the key, and streams of events that come back.
"""

from playwright.sync_api import Page

from tests.browser.rig import BrowserCase

KEY = "correct-horse-battery"
REFUSED = "status of 401"
# Two requests at once, as pages have them.
ASK = """async () => {
  const { request } = await import("/pages/gateway.js");
  const ask = async () => (await (await request("/swapgate/state")).json()).version;
  window.asked = Promise.all([ask(), ask()]).catch((error) => error.code);
}"""
LISTEN = """async () => {
  const { events } = await import("/pages/gateway.js");
  window.heard = [];
  window.over = new AbortController();
  events("/swapgate/events", {
    signal: window.over.signal,
    onEvent: (data, name) => window.heard.push([name, data.models.length]),
    onConnected: (connected) => window.heard.push([connected]),
  });
}"""


class KeyTests(BrowserCase):
    """
    A gateway with keys.
    """

    expected = (REFUSED,)

    def setUp(self) -> None:
        super().setUp()
        keys = self.folder / "keys"
        keys.write_text(f"me {KEY}\n")
        keys.chmod(0o600)
        self.general = f"api_keys = {keys}"
        self.start()
        # Nothing but the module under test runs on it.
        self.page = self.open("/pages/icon.svg")

    def answer(self, key: str) -> None:
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name="Continue").click()


del Page
