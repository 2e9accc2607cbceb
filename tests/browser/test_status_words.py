"""
What the picture says, by value: its pure modules, run in a real browser.
"""

from typing import Any

from playwright.sync_api import Page

from tests.browser.rig import BrowserCase

MODEL: dict[str, Any] = {
    "name": "a",
    "phase": "ready",
    "since": 1000.0,
    "memory_bytes": 8 * 10**9,
    "pin": False,
    "preload": False,
    "in_flight": 0,
    "answering_s": None,
    "waiting": 0,
    "load": {"estimate_s": None, "elapsed_s": None, "progress": None},
    "stuck": None,
    "retry_in_s": None,
    "idle_unload_in_s": None,
    "max_active": None,
}
FAILED = "failed; load it again once the cause below is mended"


class WordsTests(BrowserCase):
    """
    status_words.js.
    """

    page: Page

    def setUp(self) -> None:
        super().setUp()
        self.start(a="")
        self.page = self.blank()

    def call(self, name: str, *arguments: Any, module: str = "status_words") -> Any:
        return self.page.evaluate(
            "async ([module, name, given]) =>"
            " (await import(`/pages/${module}.js`))[name](...given)",
            [module, name, arguments],
        )

    def test_times(self) -> None:
        """
        Durations of what is over; ages of what goes on count evenly.
        """
        for seconds, over, going in (
            (0, "< 0.1 s", "0 s"),
            (0.44, "0.4 s", "0 s"),
            (9.9, "9.9 s", "9 s"),
            (59.6, "60 s", "59 s"),
            (119, "119 s", "119 s"),
            (150, "3 min", "3 min"),
            (7199, "120 min", "120 min"),
            (7200, "2 h", "2 h"),
        ):
            self.assertEqual(self.call("duration", seconds), over)
            self.assertEqual(self.call("age", seconds), going)

    def test_phases(self) -> None:
        """
        Two seconds after the state, at 1010.
        """
        loading = {"estimate_s": 11.2, "elapsed_s": 4.0, "progress": 0.36}
        slow = {**loading, "estimate_s": None}
        for facts, expected in (
            ({}, "ready for 10 s"),
            ({"phase": "draining"}, "finishing answers for 10 s"),
            ({"phase": "starting", "load": loading}, "loading, 6 s of about 11 s"),
            ({"phase": "starting", "load": slow}, "loading, 6 s"),
            ({"phase": "stopped"}, "sleeping"),
            (
                {"phase": "stopped", "load": loading | {"elapsed_s": None}},
                "sleeping, loads in about 11 s",
            ),
            ({"phase": "failed"}, FAILED),
            (
                {"phase": "failed", "retry_in_s": 5.0},
                "failed, can be tried again in 4 s",
            ),
            ({"phase": "failed", "retry_in_s": 1.0}, FAILED),
            (
                {"phase": "stopping", "stuck": "process 9"},
                "does not stop, 10 s so far: process 9 is left",
            ),
        ):
            self.assertEqual(
                self.call("phaseWords", {**MODEL, **facts}, 2, 1010), expected
            )

    def test_facts(self) -> None:
        """
        None that are as usual.
        """
        self.assertEqual(self.call("factWords", MODEL, 0, None), [])
        busy = {
            **MODEL,
            "in_flight": 2,
            "answering_s": 3.0,
            "waiting": 1,
            "idle_unload_in_s": 30.0,
            "max_active": 2,
            "preload": True,
        }
        self.assertEqual(
            self.call("factWords", busy, 2, "no room"),
            [
                "2 answers in flight, the first for 5 s",
                "1 request waiting",
                "unloads in 28 s if unused",
                "at most 2 at a time",
                "preloaded",
                "no room",
            ],
        )

    def test_no_room(self) -> None:
        """
        Beside what is pinned, in bytes or one at a time.
        """
        other = {**MODEL, "name": "b", "pin": True}
        for budget, expected in (
            (20 * 10**9, None),
            (10 * 10**9, "no room beside b, which is pinned"),
            (None, "no room beside b, which is pinned"),
        ):
            state = {"models": [MODEL, other], "budget": {"bytes": budget}}
            self.assertEqual(self.call("blockedWords", MODEL, state), expected)
            self.assertIsNone(self.call("blockedWords", other, state))

    def test_waits(self) -> None:
        for what, model, expected in (
            ("load", "a", "a is loading"),
            ("answer", "b", "an answer of b to end"),
            ("answer", "a", "as many answers as it may give at a time"),
            ("unload", "b", "b to make room"),
            ("stop", "b", "b, which does not stop"),
            ("turn", "b", "its turn, after b"),
            ("turn", None, "its turn"),
        ):
            entry = {"model": "a", "waits_for": {"what": what, "model": model}}
            self.assertEqual(self.call("waitWords", entry), expected)

    def test_why(self) -> None:
        """
        The cause, and who waited.
        """
        one = {"model": "b", "requests": 1, "longest_s": 0.01}
        more = {"model": "c", "requests": 3, "longest_s": 4.21}
        for cause, waiting, expected in (
            ("", [], ""),
            ("preloaded", [], "preloaded"),
            ("asked for", [], "a request asked for it"),
            ("unused", [], "it was idle for too long"),
            ("asked for", [one], "1 request waited for b"),
            (
                "b is waited for",
                [one, more],
                (
                    "b is waited for; 1 request waited for b; "
                    "3 requests waited for c, the first for 4.2 s"
                ),
            ),
        ):
            what = {"cause": cause, "waiting": waiting}
            self.assertEqual(self.call("whyWords", what), expected)

    def test_errors(self) -> None:
        """
        What to do, apart from the daemon's own words.
        """
        self.assertEqual(
            self.call("errorParts", "it ended; look\nline 1\nline 2\n"),
            {"summary": "it ended; look", "details": "line 1\nline 2"},
        )

    def test_spans(self) -> None:
        """
        Joined from what is told bit by bit; what is too old goes.
        """
        first = {
            "at": 5000.0,
            "phases": [
                self.span(1, "starting", 10, 20),
                self.span(2, "ready", 4000, None),
                self.span(3, "stopped", 4100, 4100),
            ],
            "waits": [self.wait(0, 4000, None)],
        }
        later = {
            "at": 5010.0,
            "phases": [self.span(2, "ready", 4000, 5005)],
            "waits": [self.wait(0, 4000, 5004), self.wait(1, 5006, None)],
        }
        found = self.page.evaluate(
            """async (told) => {
              const { Spans } = await import("/pages/status_history.js");
              const spans = new Spans();
              for (const each of told) spans.join(each);
              const shown = (from) => spans.byModel(from).get("a")
                ?.map(({ phase, began, ended }) => [phase, began, ended]) ?? [];
              const all = [shown(0), shown(5005.5)];
              spans.clear();
              return [...all, shown(0)];
            }""",
            [first, later],
        )
        whole, late, none = found
        self.assertEqual(
            sorted(whole),
            [["ready", 4000, 5005], ["waiting", 4000, 5004], ["waiting", 5006, None]],
        )
        self.assertEqual(late, [["waiting", 5006, None]])
        self.assertEqual(none, [])

    def span(
        self, number: int, phase: str, began: float, ended: float | None
    ) -> dict[str, Any]:
        return {
            "number": number,
            "model": "a",
            "phase": phase,
            "began": began,
            "ended": ended,
            "cause": "",
            "waiting": [],
        }

    def wait(self, number: int, began: float, ended: float | None) -> dict[str, Any]:
        return {
            "number": number,
            "model": "a",
            "began": began,
            "ended": ended,
            "requests": 1,
            "longest_s": 1.0,
        }
