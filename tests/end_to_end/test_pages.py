"""
The gateway's own pages over real sockets: what a browser gets, and a hostile page not.
"""

import gzip
import re
from pathlib import Path
from typing import Any

from tests.rig import Answer, RigCase

TOO_LARGE = "model_too_large"
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"
# What a browser sends where a link on another site is followed.
LINK = {
    "Accept": ACCEPT,
    "Sec_Fetch_Site": "cross-site",
    "Sec_Fetch_Mode": "navigate",
    "Sec_Fetch_Dest": "document",
}


class PageCase(RigCase):
    """
    A gateway; nothing here starts one of its daemons.
    """

    async def get(self, path: str, **headers: Any) -> Answer:
        answer = await self.ask(path, **headers)
        self.assertEqual(self.told(), [])
        return answer

    def check_page(self, answer: Answer) -> None:
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual([n for n in answer.headers if n.startswith("access-")], [])


class ServedTests(PageCase):
    """
    Files of the package.
    """

    async def test_both_pages(self) -> None:
        """
        They may load what is ours and nothing else, and no frame may hold them.
        """
        await self.start()
        for path in ("/", "/?model=a", "/status", "/status/"):
            answer = await self.get(path, Accept=ACCEPT)
            self.check_page(answer)
            self.assertTrue(answer.body.startswith(b"<!doctype html>"))
            policy = answer.headers["content-security-policy"].split("; ")
            self.assertIn("default-src 'none'", policy)
            self.assertIn("script-src 'self'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", answer.headers["content-security-policy"])
            for name, value in {
                "x-content-type-options": "nosniff",
                "referrer-policy": "no-referrer",
                "cross-origin-opener-policy": "same-origin",
                "cross-origin-resource-policy": "same-origin",
                "cache-control": "no-cache",
            }.items():
                self.assertEqual(answer.headers[name], value)

    async def test_programs(self) -> None:
        """
        Ollama's clients look whether it runs; to a cache that is another answer.
        """
        await self.start()
        for headers in ({}, {"Accept": "*/*"}):
            answer = await self.get("/", **headers)
            self.assertEqual((answer.status, answer.body), (200, b"Ollama is running"))
            self.assertEqual(answer.headers["vary"], "Accept")
        page = await self.get("/", Accept=ACCEPT)
        self.assertEqual(page.headers["vary"], "Accept, Accept-Encoding")

    async def test_files(self) -> None:
        """
        What a page refers to is there for good, and also by its mere name.
        """
        await self.start()
        page = await self.get("/status", Accept=ACCEPT)
        found = re.findall(rb'(?:src|href)="(/pages/\w+/([\w.-]+))"', page.body)
        self.assertTrue(found)
        for path, name in found:
            lasting = await self.get(path.decode())
            named = await self.get(f"/pages/{name.decode()}")
            self.assertEqual((lasting.status, named.status), (200, 200))
            self.assertEqual(lasting.body, named.body)
            self.assertIn("immutable", lasting.headers["cache-control"])
            self.assertEqual(named.headers["cache-control"], "no-cache")
        for path in ("/pages/", "/pages", "/pages/none.js", "/pages/0/style.css"):
            self.assertEqual((await self.get(path)).status, 404)

    async def test_compressed(self) -> None:
        """
        For who takes that; each form has its ETag.
        """
        await self.start()
        plain = await self.get("/status")
        small = await self.get("/status", Accept_Encoding="gzip, br")
        self.assertEqual(small.headers["content-encoding"], "gzip")
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(gzip.decompress(small.body), plain.body)
        self.assertEqual(plain.headers["vary"], "Accept-Encoding")
        self.assertNotEqual(plain.headers["etag"], small.headers["etag"])

    async def test_known_already(self) -> None:
        """
        Of what has not changed only the head is sent.
        """
        await self.start()
        client = await self.connect()
        client.send("/status")
        whole = await client.answer()
        for _ in range(2):
            client.send("/status", If_None_Match=whole.headers["etag"])
            again = await client.answer(head_only=True)
            self.assertEqual((again.status, again.body), (304, b""))
            self.assertEqual(again.headers["etag"], whole.headers["etag"])
            self.assertIn("content-security-policy", again.headers)
        client.send("/status", If_None_Match='"other"')
        self.assertEqual((await client.answer()).body, whole.body)

    async def test_methods(self) -> None:
        """
        They are read, and nothing else.
        """
        await self.start()
        whole = await self.get("/status")
        head = await self.get("/status", method="HEAD")
        self.assertEqual(head.status, 200)
        self.assertEqual(head.headers["content-length"], str(len(whole.body)))
        for path in ("/", "/status", "/pages/style.css"):
            refused = await self.get(path, body={})
            self.assertEqual(refused.status, 405)
            self.assertEqual(refused.headers["allow"], "GET, HEAD")

    async def test_no_key(self) -> None:
        """
        They hold nothing; what they show needs one.
        """
        keys = Path(self.mktemp()).absolute()
        keys.write_text("laptop: a-key-of-16-chars-or-more\n")
        keys.chmod(0o600)
        self.general = f"api_keys = file:{keys}\nmodels_need_key = yes"
        await self.start()
        for path in ("/", "/status", "/pages/style.css"):
            self.assertEqual((await self.get(path, Accept=ACCEPT)).status, 200)
        for path in ("/v1/models", "/swapgate/state", "/swapgate/history"):
            self.assertEqual((await self.get(path)).status, 401)


class PictureTests(RigCase):
    """
    What the picture of the gateway is drawn from.
    """

    async def act(self, verb: str) -> Any:
        answer = await self.ask(f"/swapgate/models/a/{verb}", b"")
        self.assertEqual(answer.status, 200)
        return answer.json

    async def test_pinned(self) -> None:
        """
        It stays, what does not fit beside it is refused, until it is not any more.
        """
        await self.start(a="", b="")
        await self.chat("a")
        self.assertTrue((await self.act("pin"))["pin"])
        refused = await self.chat("b")
        self.assertEqual((refused.status, refused.error["code"]), (409, TOO_LARGE))
        self.assertEqual(refused.headers["x-should-retry"], "false")
        self.assertEqual(len(self.told("started")), 1)
        self.assertFalse((await self.act("unpin"))["pin"])
        self.assertEqual((await self.chat("b")).status, 200)

    async def test_a_log(self) -> None:
        """
        What the engine said at its start, then what it says; its end as well.
        """
        await self.start(a="--log")
        await self.chat("a")
        reader = await self.connect()
        reader.send("/swapgate/models/a/log")
        await reader.until(b"main: listening")
        await self.chat("a")
        await reader.until(b"main: finished", count=2)
        await self.act("unload")
        await reader.until(b"[swapgate] exited with status 0")
        self.assertIn(b"[swapgate] started, process", reader.heard)
        self.assertNotIn(b"private", reader.heard)

    async def test_history_and_rates(self) -> None:
        """
        A swap is there with its reason, tokens are counted.
        """
        await self.start(a="", b="")
        events = await self.connect()
        events.send("/swapgate/events")
        stream = await self.begin_stream("a", tokens=100, interval_s=0.02)
        await events.until(b"event: tokens")
        await stream.until(b"[DONE]")
        await self.chat("b")
        found = (await self.ask("/swapgate/history")).json
        self.assertIn(
            ("a", "draining", "b is waited for"),
            [(s["model"], s["phase"], s["cause"]) for s in found["phases"]],
        )
        self.assertEqual([w["model"] for w in found["waits"]], ["a", "b"])
        [rate, *_] = re.findall(rb'"tokens_per_s": {"a": ([\d.]+)}', events.heard)
        self.assertGreater(float(rate), 1)


class LinkTests(PageCase):
    """
    What a page on another site may do with them: open one in a window.
    """

    async def test_followed(self) -> None:
        await self.start()
        for path in ("/", "/?model=a", "/status"):
            self.check_page(await self.get(path, **LINK))
        same_site = await self.get("/", **LINK | {"Sec_Fetch_Site": "same-site"})
        self.check_page(same_site)

    async def test_nothing_else(self) -> None:
        """
        No frame, no form, nothing that it could read or that would act.
        """
        await self.start()
        for path, headers in (
            ("/", {"Sec_Fetch_Dest": "iframe"}),
            ("/", {"Sec_Fetch_Dest": "object"}),
            ("/", {"Sec_Fetch_Dest": "image", "Sec_Fetch_Mode": "no-cors"}),
            ("/", {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "cors"}),
            ("/", {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "no-cors"}),
            ("/pages/style.css", {"Sec_Fetch_Dest": "style"}),
            ("/", {"method": "POST", "Content_Length": "0"}),
            ("/", {"method": "OPTIONS"}),
            ("/v1/models", {}),
            ("/swapgate/state", {}),
            ("/swapgate/history", {}),
            ("/swapgate/events", {}),
            ("/swapgate/models/a/log", {}),
            ("/api/tags", {}),
            ("/pages/none.js", {}),
            ("/", {"Host": "evil.example"}),
        ):
            with self.subTest((path, headers)):
                answer = await self.get(path, **LINK | headers)
                self.assertEqual(answer.status, 403)
                self.assertNotIn(b"<", answer.body)
                sharing = [n for n in answer.headers if n.startswith("access-")]
                self.assertEqual(sharing, [])

    async def test_a_listed_page(self) -> None:
        """
        Nor does a listed origin change what a link gets.
        """
        self.general = "origins = https://chat.example.org"
        await self.start()
        self.check_page(await self.get("/", **LINK))
