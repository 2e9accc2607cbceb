"""
gateway.js, the pages' way to the gateway: the key, and events that come back.
"""

from typing import Any

from playwright.sync_api import Route

from tests.browser.rig import BrowserCase

KEY = "correct-horse-battery"
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
  window.listening = events("/swapgate/events", {
    signal: window.over.signal,
    onEvent: (data, name) => window.heard.push(`${name} of ${data.models.length}`),
    onConnected: (connected) => {
      if (window.heard.at(-1) !== connected) window.heard.push(connected);
    },
  });
}"""
READ = """async (pieces) => {
  const { readEvents } = await import("/pages/sse.js");
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new Uint8Array(piece));
      controller.close();
    },
  });
  const found = [];
  for await (const event of readEvents(body)) found.push(event);
  return found;
}"""


class KeyTests(BrowserCase):
    """
    A gateway with keys.
    """

    # Chromium tells of every refusal.
    expected = ("status of 401",)

    def setUp(self) -> None:
        super().setUp()
        keys = self.folder / "keys"
        keys.write_text(f"me: {KEY}\n")
        keys.chmod(0o600)
        self.general = f"api_keys = file:{keys}"
        self.start()
        self.page = self.blank()

    def answer(self, key: str, button: str = "Continue") -> None:
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name=button).click()

    def test_asked_once(self) -> None:
        """
        One question for two requests; the key stays in this browser, and goes out in a
        header alone.
        """
        sent: list[tuple[str, str]] = []
        self.page.on(
            "request",
            lambda it: sent.append((it.url, it.headers.get("authorization", ""))),
        )
        self.page.evaluate(ASK)
        self.page.get_by_role("dialog").wait_for()
        self.assertEqual(self.page.get_by_role("dialog").count(), 1)
        self.answer(KEY)
        self.assertEqual(self.page.evaluate("() => window.asked"), [1, 1])
        self.page.reload()
        self.page.evaluate(ASK)
        self.assertEqual(self.page.evaluate("() => window.asked"), [1, 1])
        self.assertEqual(self.page.get_by_role("dialog").count(), 0)
        self.assertFalse([url for url, _ in sent if KEY in url])
        self.assertEqual(sent[-1][1], f"Bearer {KEY}")

    def test_a_wrong_one(self) -> None:
        """
        It is said to be wrong, and asked for again.
        """
        self.page.evaluate(ASK)
        self.answer("wrong")
        self.page.get_by_text("knows no such key").wait_for()
        self.answer(KEY)
        self.assertEqual(self.page.evaluate("() => window.asked"), [1, 1])

    def test_not_given(self) -> None:
        """
        The request fails in words; one that no user began does not ask again.
        """
        self.page.evaluate(ASK)
        self.answer("", "Not now")
        code = self.page.evaluate("() => window.asked")
        self.assertEqual(code, "invalid_api_key")
        self.page.evaluate(LISTEN)
        self.page.wait_for_function("() => window.heard.at(-1) === false")
        self.assertEqual(self.page.get_by_role("dialog").count(), 0)
        # A key that another request brings is used at once.
        self.page.evaluate(ASK)
        self.answer(KEY)
        self.page.wait_for_function("() => window.heard.includes('state of 2')")
        self.page.evaluate("() => window.over.abort()")


class EventTests(BrowserCase):
    """
    Streams of events.
    """

    expected = ("ERR_FAILED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION")

    def test_they_come_back(self) -> None:
        """
        After a refusal, and when the gateway was away.
        """
        self.start()
        page = self.blank()
        refused: list[Any] = []

        def refuse(route: Route) -> None:
            refused.append(route.request)
            if len(refused) == 1:
                route.abort()
            else:
                route.continue_()

        page.route("**/swapgate/events", refuse)
        page.evaluate(LISTEN)
        page.wait_for_function("() => window.heard.includes('state of 2')")
        self.assertEqual(page.evaluate("() => window.heard[0]"), False)
        self.restart()
        page.wait_for_function(
            "() => window.heard.filter((each) => each === 'state of 2').length > 1"
            " && window.heard.at(-1) === 'state of 2'"
        )
        page.evaluate("() => window.over.abort()")
        page.evaluate("() => window.listening")

    def test_reading(self) -> None:
        """
        Pieces that end anywhere, in a character too; every form of a line.
        """
        self.start()
        page = self.blank()
        text = (
            ": a comment\r\n\r\nevent: state\r\ndata: 1\ndata:2\n\n"
            "data: é\n\nid: 7\nretry\n\ndata: half"
        ).encode()
        expected = [
            {"comment": "a comment"},
            {"event": "state", "data": "1\n2"},
            {"event": "message", "data": "é"},
        ]
        for size in (1, 2, 3, len(text)):
            pieces = [list(text[at : at + size]) for at in range(0, len(text), size)]
            self.assertEqual(page.evaluate(READ, pieces), expected)
