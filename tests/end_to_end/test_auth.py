"""
Access checks over real sockets: what is refused loads nothing and learns nothing.
"""

import json
import re
import tempfile
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher

from tests.rig import Answer, RigCase, events_of
from tests.rig_twistd import TwistdCase

CHAT = "/v1/chat/completions"
BODY = {"model": "a", "messages": [{"role": "user", "content": "a private prompt"}]}
PAGE = "https://chat.example.org"
EVIL = "https://evil.example"
# The Origin that Page Assist makes every page of its browser send.
REWRITTEN = "http://127.0.0.1"
# What a browser sends for its pages, and none of them can change.
FOREIGN = {"Sec_Fetch_Site": "cross-site"}


class AccessCase(RigCase):
    """
    A gateway, and its log.
    """

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    async def asked(self, body: Any = BODY, path: str = CHAT, **headers: str) -> Answer:
        return await self.ask(path, body, **headers)

    async def refused(self, raw: str) -> Answer:
        """
        Send bytes, get one refusal and the end, and nothing else happens.

        :param raw: $ is the port.
        """
        client = await self.connect()
        client.transport.write(raw.replace("$", str(self.port)).encode("latin-1"))
        answer = await client.answer()
        self.assertEqual(await client.closed(), b"")
        self.check_refused(answer)
        return answer

    def check_refused(self, answer: Answer) -> None:
        """
        It says what was wrong and nothing more, and no page can read it.
        """
        self.assertGreaterEqual(answer.status, 400)
        self.assertTrue(answer.error["message"])
        self.assertNotIn(b'"a"', answer.body)
        self.assertEqual([n for n in answer.headers if n.startswith("access-")], [])
        self.assertEqual(self.told(), [])

    def check_log(self, *secrets: str) -> None:
        """
        No prompt and no key is in it, no header's value, and no bug.
        """
        for secret in ("private", "Traceback", *secrets):
            self.assertNotIn(secret, self.log)

    @property
    def log(self) -> str:
        return "\n".join(eventAsText(event) for event in self.logged)


MISDIRECTED = "misdirected_request"


class HostTests(AccessCase):
    """
    The Host header.
    """

    async def test_foreign_names(self) -> None:
        """
        Refused by the head: without `100 Continue`, and without reading the body.
        """
        await self.start()
        for host, status in (
            ("evil.example:$", 403),
            ("0.0.0.0:$", 403),
            ("localhost.evil.example:$", 403),
            ("127.0.0.1:$@evil.example", 403),
            ("127.0.0.1.:$", 403),
            ("127.0.0.1", 421),
            ("localhost:1", 421),
            ("", 403),
        ):
            with self.subTest(host):
                answer = await self.refused(
                    f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\n"
                    "Content-Type: application/json\r\nExpect: 100-continue\r\n"
                    "Content-Length: 1000000\r\n\r\n"
                )
                self.assertEqual(answer.status, status)
        self.check_log("evil.example")

    async def test_our_names(self) -> None:
        """
        All three, in any case.
        """
        await self.start()
        for name in ("127.0.0.1", "LocalHost", "[::1]"):
            answer = await self.asked(Host=f"{name}:{self.port}")
            self.assertEqual(answer.status, 200)

    async def test_listed(self) -> None:
        """
        With our port, or with none, as a proxy in front sends it.
        """
        self.general = "hosts = box.lan"
        await self.start()
        for host in ("box.lan", f"box.lan:{self.port}"):
            self.assertEqual((await self.asked(Host=host)).status, 200)
        answer = await self.asked(Host="box.lan:1")
        self.assertEqual((answer.status, answer.error["code"]), (421, MISDIRECTED))

    async def test_unix_socket(self) -> None:
        """
        There a name has no port.
        """
        # The path of a socket may have a hundred characters, not many more.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/s"
        self.listen = (f"unix:{path}:mode=600",)
        await self.start()
        endpoint = UNIXClientEndpoint(reactor, path)
        self.patch(self, "endpoint", lambda: endpoint)
        self.assertEqual((await self.asked(Host="localhost")).status, 200)
        self.assertEqual((await self.asked(Host="evil.example")).status, 403)


class PageTests(AccessCase):
    """
    Requests of web pages.
    """

    async def test_foreign_pages(self) -> None:
        """
        Refused, whatever their Origin and the kind of request.
        """
        await self.start()
        data = json.dumps(BODY)
        text = {"Content_Type": "text/plain"}
        for body, headers in (
            (BODY, {"Origin": EVIL, **FOREIGN}),
            (BODY, {"Origin": REWRITTEN, **FOREIGN}),
            (BODY, {"Origin": f"http://127.0.0.1:{self.port}", **FOREIGN}),
            (BODY, {"Origin": REWRITTEN, "Sec_Fetch_Site": "same-site"}),
            (BODY, {"Origin": "null", **FOREIGN}),
            (BODY, {"Origin": "chrome-extension://abc", **FOREIGN}),
            (BODY, {"Origin": EVIL}),
            (BODY, {"Origin": "null"}),
            (BODY, {"Origin": REWRITTEN}),
            (BODY, {"Origin": PAGE}),
            (data.encode(), {"Origin": EVIL, **FOREIGN, **text}),
            # An <img>, a <script>, a link.
            (None, FOREIGN),
            (None, {"Upgrade": "websocket", "Origin": EVIL, **FOREIGN}),
        ):
            with self.subTest(headers):
                path = "/v1/models" if body is None else CHAT
                answer = await self.asked(body, path, **headers)
                self.check_refused(answer)
                self.assertEqual(
                    (answer.status, answer.error["code"]), (403, "origin_not_allowed")
                )
        self.check_log("evil.example", "chrome-extension")

    async def test_types_that_need_no_preflight(self) -> None:
        """
        A page that no header gives away still cannot change anything.
        """
        await self.start()
        data = json.dumps(BODY).encode()
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ):
            answer = await self.asked(data, Content_Type=kind)
            self.check_refused(answer)
            self.assertEqual(answer.status, 415)
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            answer = await self.asked(None, method=method)
            self.assertEqual(answer.status, 404)
        self.assertEqual(self.told(), [])

    async def test_admitted(self) -> None:
        """
        Programs, the gateway's own pages, extensions: in new browsers and in old ones.
        """
        await self.start()
        for headers in (
            {},
            {"Sec_Fetch_Site": "none", "Origin": REWRITTEN},
            {"Sec_Fetch_Site": "same-origin", "Origin": REWRITTEN},
            {"Sec_Fetch_Site": "same-origin"},
            {"Origin": f"http://localhost:{self.port}"},
            {"Origin": "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc"},
        ):
            answer = await self.asked(**headers)
            self.assertEqual(answer.status, 200)
            self.assertEqual([n for n in answer.headers if n.startswith("access-")], [])

    async def test_listed(self) -> None:
        """
        A page's preflight, its stream, and a refusal that it can read.
        """
        self.general = f"origins = {PAGE}"
        await self.start()
        client = await self.connect()
        client.send(
            CHAT,
            method="OPTIONS",
            Origin=PAGE,
            **FOREIGN,
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization,content-type",
        )
        answer = await client.answer(head_only=True)
        self.assertEqual(answer.status, 204)
        allowed = {
            name.removeprefix("access-control-allow-"): value
            for name, value in answer.headers.items()
            if name.startswith("access-control-allow-")
        }
        self.assertEqual(
            allowed,
            {
                "origin": PAGE,
                "methods": "GET, HEAD, POST",
                "headers": "authorization,content-type",
            },
        )
        self.assertEqual(self.told(), [])
        # On the same connection, as a browser does.
        body = {**BODY, "stream": True, "x_fake": {"tokens": 3}}
        client.send(CHAT, body, Origin=PAGE, **FOREIGN)
        await client.until(b"\r\n\r\n")
        self.assertEqual(client.heard.count(b"Access-Control-Allow-Origin"), 1)
        answer = await client.answer()
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        self.assertEqual(answer.headers["vary"], "Origin")
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")
        answer = await self.asked({"model": "none"}, Origin=PAGE, **FOREIGN)
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        # Listed is this one.
        answer = await self.asked(Origin=PAGE + ".evil.example", **FOREIGN)
        self.assertEqual(answer.status, 403)
        self.assertNotIn("access-control-allow-origin", answer.headers)

    async def test_null_if_it_is_listed(self) -> None:
        """
        A page opened from a file, and every page in a sandbox.
        """
        self.general = "origins = null"
        await self.start()
        answer = await self.asked(Origin="null", **FOREIGN)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["access-control-allow-origin"], "null")


class BadInputTests(AccessCase):
    """
    Known attacks on other servers.
    """

    async def test_each(self) -> None:
        """
        Refused once, with its status, and without effect.
        """
        await self.start()
        own, evil = "Host: 127.0.0.1:$", "Host: evil.example:$"
        models = "GET /v1/models HTTP/1.1"
        chat = [f"POST {CHAT} HTTP/1.1", own, "Content-Type: application/json"]
        chat += ["Content-Length: 14"]
        preflight = [f"OPTIONS {CHAT} HTTP/1.1", own, "Origin: http://evil.example"]
        preflight += ["Access-Control-Request-Method: POST"]
        preflight += ["Access-Control-Request-Private-Network: true"]
        requests: tuple[tuple[list[str], int], ...] = (
            ([models], 400),
            (["GET /v1/models HTTP/1.0"], 400),
            ([models, own, evil], 400),
            (["CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443"], 403),
            (["CONNECT evil.example:443 HTTP/1.1", own], 421),
            ([models, evil], 403),
            ([models, "Host: 0.0.0.0:$"], 403),
            (["GET http://evil.example/v1/models HTTP/1.1", own], 421),
            (["GET http://127.0.0.1:$/v1/models HTTP/1.1", evil], 403),
            ([*chat, "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"], 403),
            ([*chat, "Origin: null"], 403),
            ([*chat, "Origin: http://localhost.evil.example"], 403),
            ([*chat, "Origin: http://127.0.0.1:$", "Origin: null"], 403),
            (preflight, 403),
        )
        for lines, status in requests:
            with self.subTest(lines):
                body = '{"model": "a"}' if lines[: len(chat)] == chat else ""
                answer = await self.refused("\r\n".join([*lines, "", body]))
                self.assertEqual(answer.status, status)
        self.check_log("localhost.evil")


class KeyTests(AccessCase):
    """
    API keys.
    """

    async def begin(self, **options: str) -> None:
        keys = self.journal.with_suffix(".keys")
        keys.write_text("laptop: sk-private-1-of-16\nphone: sk-private-2-of-16\n")
        keys.chmod(0o600)
        lines = [f"{name} = {value}" for name, value in options.items()]
        self.general = "\n".join([f"api_keys = file:{keys}", *lines])
        await self.start()

    async def test_without(self) -> None:
        """
        401, before a body is read, and nothing is loaded.
        """
        await self.begin()
        for header in (
            "",
            "Authorization: Bearer temp\r\n",
            "Authorization: Bearer sk-private-3-of-16\r\n",
            "x-api-key: laptop\r\n",
        ):
            answer = await self.refused(
                f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:$\r\n{header}"
                "Content-Type: application/json\r\nExpect: 100-continue\r\n"
                "Content-Length: 1000000\r\n\r\n"
            )
            self.assertEqual(
                (answer.status, answer.error["code"]), (401, "invalid_api_key")
            )
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
        self.check_log()

    async def test_with(self) -> None:
        """
        In either header; the daemon never sees it.
        """
        await self.begin()
        for name, value in (
            ("Authorization", "Bearer sk-private-1-of-16"),
            ("X_Api_Key", "sk-private-2-of-16"),
        ):
            answer = await self.asked(**{name: value})
            self.assertEqual(answer.status, 200)
            self.assertNotIn("sk-private", json.dumps(answer.json["x_request"]))
        self.check_log()
        names = re.findall("key='(.*?)'", self.log)
        self.assertEqual(names, ["laptop", "phone"])

    async def test_without_need(self) -> None:
        """
        /health, and, unless configured otherwise, the list of models.
        """
        await self.begin()
        for path in ("/health", "/v1/models"):
            self.assertEqual((await self.ask(path)).status, 200)
        for path in ("/swapgate/state", "/swapgate/events"):
            answer = await self.ask(path)
            self.check_refused(answer)
            self.assertEqual(answer.status, 401)
        key = {"X_Api_Key": "sk-private-2-of-16"}
        self.assertEqual((await self.ask("/swapgate/state", **key)).status, 200)
        self.assertEqual((await self.ask("/v1/models.a")).status, 401)

    async def test_the_list_needs_one(self) -> None:
        """
        If configured so.
        """
        await self.begin(models_need_key="yes")
        self.assertEqual((await self.ask("/health")).status, 200)
        answer = await self.ask("/v1/models")
        self.check_refused(answer)
        self.assertEqual(answer.status, 401)
        answer = await self.ask("/v1/models", X_Api_Key="sk-private-1-of-16")
        self.assertEqual(answer.status, 200)


class ReloadTests(TwistdCase):
    """
    SIGHUP.
    """

    async def test_new_rules(self) -> None:
        """
        Hosts, origins and keys take effect, for open connections too;
        a key file that others may read is reported, and the old rules stay.
        """
        keys = self.journal.with_suffix(".keys")
        keys.write_text("laptop: sk-private-1-of-16\n")
        keys.chmod(0o600)
        await self.start(a="")
        plain = self.text(a="")
        client = await self.connect()
        client.send("/v1/nothing")
        self.assertEqual((await client.answer()).status, 404)
        rules = f"[swapgate]\nhosts = box.lan\norigins = {PAGE}\n"
        rules += f"api_keys = file:{keys}\n"
        self.config.write_text(plain.replace("[swapgate]\n", rules))
        self.gateway.signal("HUP")
        await self.gateway.until("is in effect")
        key = {"X_Api_Key": "sk-private-1-of-16"}
        client.send("/v1/nothing", Host="box.lan", Origin=PAGE, **FOREIGN, **key)
        answer = await client.answer()
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        client.send("/v1/nothing")
        self.assertEqual((await client.answer()).status, 401)
        keys.chmod(0o644)
        self.gateway.signal("HUP")
        await self.gateway.until("api_keys: .* is open to others")
        self.assertEqual((await self.ask("/v1/nothing")).status, 401)
        self.assertEqual((await self.ask("/v1/nothing", **key)).status, 404)
        self.assertNotIn("sk-private", self.gateway.log)
        await self.terminate()

    async def test_public_without_a_key(self) -> None:
        """
        It does not start.
        """
        text = self.text(a="").replace("tcp:0:interface=127.0.0.1", "tcp:0")
        self.spawn_gateway(text)
        await self.gateway.ended
        self.assertIn("'tcp:0' is open to other machines", self.gateway.log)
        self.assertNotIn("Traceback", self.gateway.log)
