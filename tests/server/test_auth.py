"""
Authorization: what `swapgate.server.auth` decides, request by request.
"""

from collections.abc import Container, Sequence
from typing import Any

from attrs import asdict, evolve, frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access
from swapgate.config.keys import Key
from swapgate.errors import APIError
from swapgate.server.auth import Grant, Listener, admit
from swapgate.server.request_parser import RequestHead

LISTENER = Listener(address="127.0.0.1", port=11430)
TLS = Listener(address="192.168.1.5", port=443, secure=True)
HOST = "127.0.0.1:11430"
PAGE = "https://chat.example.org"
NOTHING = Access()
LISTED = Access(origins=frozenset({PAGE, "null"}))
KEYS = (Key.of("laptop", "sk-one"), Key.of("phone", "sk-two"))


@frozen(kw_only=True)
class RequestOrigin:
    """
    What a request's head says of its origin: each header's values, in order.
    """

    method: str = "GET"
    target: str = "/"
    host: Sequence[str] = ()
    origin: Sequence[str] = ()
    sec_fetch_site: Sequence[str] = ()
    sec_fetch_mode: Sequence[str] = ()
    sec_fetch_dest: Sequence[str] = ()
    authorization: Sequence[str] = ()
    x_api_key: Sequence[str] = ()
    access_control_request_method: Sequence[str] = ()
    access_control_request_headers: Sequence[str] = ()
    access_control_request_private_network: Sequence[str] = ()

    @property
    def head(self) -> RequestHead:
        headers = [
            (name.replace("_", "-").title().encode(), value.encode())
            for name, values in asdict(self).items()
            if not isinstance(values, str)
            for value in values
        ]
        line = self.method.encode(), self.target.encode()
        return RequestHead(*line, b"HTTP/1.1", headers)


POST = RequestOrigin(method="POST", target="/v1/chat/completions", host=[HOST])


class Case(SynchronousTestCase):
    """
    One request is granted or refused.
    """

    pages: Container[str] = ()

    def admits(
        self,
        request: RequestOrigin,
        access: Access = NOTHING,
        listener: Listener = LISTENER,
    ) -> Grant:
        return admit(access, listener, request.head, self.pages)

    def refuses(
        self,
        request: RequestOrigin,
        access: Access = NOTHING,
        listener: Listener = LISTENER,
    ) -> APIError:
        refusal = self.assertRaises(
            APIError, admit, access, listener, request.head, self.pages
        )
        assert isinstance(refusal, APIError)
        return refusal


class HostTests(Case):
    """
    What it was sent to.
    """

    def status(
        self, host: str, access: Access = NOTHING, listener: Listener = LISTENER
    ) -> int:
        """
        0 for a host that is let in.
        """
        try:
            admit(access, listener, RequestOrigin(host=[host]).head)
        except APIError as refusal:
            return refusal.status
        return 0

    def test_table(self) -> None:
        """
        Our names, with our port, and no other way of writing them.
        """
        for host, expected in {
            "127.0.0.1:11430": 0,
            "localhost:11430": 0,
            "LocalHost:11430": 0,
            "[::1]:11430": 0,
            # Our address, on another port: another server.
            "127.0.0.1": 421,
            "localhost": 421,
            "[::1]": 421,
            "127.0.0.1:80": 421,
            "127.0.0.1:": 421,
            "localhost:011430": 421,
            "[::1]:1": 421,
            # A page gets here without a name, or with one that leads here.
            "0.0.0.0:11430": 403,
            "[::]:11430": 403,
            "evil.example:11430": 403,
            "localhost.evil.example:11430": 403,
            "localhost.:11430": 403,
            "127.0.0.1.nip.io:11430": 403,
            # Tricks.
            "127.1:11430": 403,
            "2130706433:11430": 403,
            "0x7f000001:11430": 403,
            "127.0.0.2:11430": 403,
            "[0:0:0:0:0:0:0:1]:11430": 403,
            "[::ffff:127.0.0.1]:11430": 403,
            "::1:11430": 403,
            "user@127.0.0.1:11430": 403,
            "127.0.0.1:11430@evil.example": 403,
            "evil.example@127.0.0.1:11430": 403,
            "127.0.0.1:11430#evil.example": 403,
            "127.0.0.1:11430/": 403,
            "127.0.0.1:11430:11430": 403,
            "127.0.0.1:11430, evil.example": 403,
            "127.0.0.1:11430 ": 403,
            " 127.0.0.1:11430": 403,
            "127.0.0.1:\uff111430": 403,
            "": 403,
            ":11430": 403,
        }.items():
            with self.subTest(host):
                self.assertEqual(self.status(host), expected)

    def test_address_that_was_reached(self) -> None:
        """
        It is a name of ours, as a browser writes it; no other is.
        """
        for address, host in {
            "192.168.1.5": "192.168.1.5:1",
            "::ffff:192.168.1.5": "192.168.1.5:1",
            "fe80::1%eth0": "[fe80::1]:1",
            "2001:db8:0::5": "[2001:db8::5]:1",
            "::1": "127.0.0.1:1",
        }.items():
            listener = Listener(address=address, port=1)
            with self.subTest(address):
                self.assertEqual(self.status(host, listener=listener), 0)
                self.assertEqual(self.status("192.168.1.6:1", listener=listener), 403)
                self.assertEqual(self.status("localhost:1", listener=listener), 0)

    def test_usual_ports(self) -> None:
        """
        A browser leaves out 80, and 443 where there is TLS.
        """
        plain = Listener(address="127.0.0.1", port=80)
        for host, listener, expected in (
            ("localhost", plain, 0),
            ("localhost:80", plain, 0),
            ("localhost:443", plain, 421),
            ("192.168.1.5", TLS, 0),
            ("192.168.1.5:443", TLS, 0),
            ("192.168.1.5:80", TLS, 421),
            ("localhost", evolve(plain, secure=True), 421),
            ("localhost", evolve(TLS, secure=False), 421),
        ):
            with self.subTest((host, listener)):
                self.assertEqual(self.status(host, listener=listener), expected)

    def test_listed(self) -> None:
        """
        Alone a name is good for our port and for a proxy's, with a port for that.
        """
        hosts = {"box.lan", "proxy.example:8443", "dot.example.", "[fe80::2]"}
        access = Access(hosts=frozenset(hosts))
        for host, expected in {
            "box.lan": 0,
            "Box.LAN:11430": 0,
            "box.lan:8443": 421,
            "box.lan.": 403,
            "proxy.example:8443": 0,
            "proxy.example": 421,
            "proxy.example:11430": 421,
            "proxy.example:8443:11430": 403,
            "dot.example.": 0,
            "dot.example": 403,
            "[fe80::2]": 0,
            "[fe80::2]:11430": 0,
            "a.box.lan": 403,
            HOST: 0,
        }.items():
            with self.subTest(host):
                self.assertEqual(self.status(host, access), expected)

    def test_from_a_container(self) -> None:
        """
        What Docker calls the machine that it runs on.
        """
        host = "host.docker.internal:11430"
        self.assertEqual(self.status(host), 403)
        access = Access(hosts=frozenset({"host.docker.internal"}))
        self.assertEqual(self.status(host, access), 0)

    def test_unix_socket(self) -> None:
        """
        It has no port to be said.
        """
        listener = Listener(address=None, port=None)
        access = Access(hosts=frozenset({"box.lan"}))
        for host, expected in {
            "localhost": 0,
            "127.0.0.1": 0,
            "box.lan": 0,
            "localhost:80": 421,
            "evil.example": 403,
        }.items():
            with self.subTest(host):
                self.assertEqual(self.status(host, access, listener), expected)
        message = self.refuses(RequestOrigin(host=["x"]), listener=listener).message
        self.assertIn("send localhost,", message)

    def test_not_one(self) -> None:
        """
        None, or more than one, even if each were right.
        """
        for hosts in ([], [HOST, HOST], [HOST, "evil.example"]):
            refusal = self.refuses(RequestOrigin(host=hosts))
            self.assertEqual((refusal.status, refusal.code), (400, "bad_host"))

    def test_what_is_said(self) -> None:
        """
        What was wrong, escaped, and what would be right; none of the user's names.
        """
        access = Access(hosts=frozenset({"secret.lan"}))
        refusal = self.refuses(RequestOrigin(host=["\x1b.example:1"]), access)
        self.assertEqual(refusal.code, "host_not_allowed")
        self.assertEqual(
            refusal.message,
            'the Host is "\\u001b.example:1", which is no name of this gateway; '
            f"send {HOST}, or list the other under hosts",
        )
        refusal = self.refuses(RequestOrigin(host=["localhost"]), access)
        self.assertEqual(refusal.code, "misdirected_request")
        self.assertIn('"localhost", which names another port; send', refusal.message)

    def test_no_proxy(self) -> None:
        """
        A target with an authority of its own is refused, whichever that is.
        """
        for method, target in (
            ("GET", "http://evil.example/v1/models"),
            ("GET", f"http://{HOST}/v1/models"),
            ("GET", f"http://user@{HOST}/v1/models"),
            ("CONNECT", "evil.example:443"),
            ("CONNECT", "/"),
            ("GET", ""),
        ):
            request = RequestOrigin(method=method, target=target, host=[HOST])
            refusal = self.refuses(request)
            self.assertEqual(
                (refusal.status, refusal.code), (421, "misdirected_request")
            )
        self.admits(RequestOrigin(method="OPTIONS", target="*", host=[HOST]))


PAGES = frozenset({"/", "/status", "/pages/chat.js"})
# How a browser says that a link on another site is followed.
LINK = RequestOrigin(
    target="/",
    host=[HOST],
    sec_fetch_site=["cross-site"],
    sec_fetch_mode=["navigate"],
    sec_fetch_dest=["document"],
)


class OwnPageTests(Case):
    """
    The gateway's own pages: a link opens them, and they need no key.
    """

    pages = PAGES

    def test_links(self) -> None:
        """
        From another site, from another server of this machine, by an extension that
        rewrites Origin; by what follows no link, but looks.
        """
        for link in (
            LINK,
            evolve(LINK, method="HEAD"),
            evolve(LINK, target="/?model=phi-4"),
            evolve(LINK, target="/status"),
            evolve(LINK, target="/status/"),
            evolve(LINK, target="/pages/chat.js"),
            evolve(LINK, sec_fetch_site=["same-site"]),
            evolve(LINK, origin=["http://127.0.0.1"]),
        ):
            with self.subTest(link):
                self.assertEqual(self.admits(link), Grant())

    def test_nothing_else(self) -> None:
        """
        No other request of a page, and no other path.
        """
        for request in (
            evolve(LINK, method="POST"),
            evolve(LINK, method="OPTIONS"),
            evolve(LINK, method="PUT"),
            *(
                evolve(LINK, sec_fetch_dest=[each])
                for each in (
                    *("iframe", "frame", "embed", "object", "fencedframe", "empty"),
                    *("image", "script", "style", "worker", "", "Document"),
                )
            ),
            *(
                evolve(LINK, sec_fetch_mode=[each])
                for each in ("cors", "no-cors", "same-origin", "websocket", "")
            ),
            evolve(LINK, sec_fetch_dest=[]),
            evolve(LINK, sec_fetch_mode=[]),
            evolve(LINK, sec_fetch_dest=["document", "document"]),
            evolve(LINK, sec_fetch_mode=["navigate", "cors"]),
            evolve(LINK, sec_fetch_site=["cross-site", "cross-site"]),
            evolve(LINK, sec_fetch_site=["anything"]),
            *(
                evolve(LINK, target=each)
                for each in (
                    *("/v1/models", "/health", "/api/tags", "/swapgate/state"),
                    *("/swapgate/events", "/pages", "/pages/other.js", "/status/x"),
                    *("/pages/../v1/models", "//", "/%2e", "/pages/chat.js%00", "*"),
                )
            ),
        ):
            with self.subTest(request):
                refusal = self.refuses(request)
                self.assertEqual(
                    (refusal.status, refusal.code), (403, "origin_not_allowed")
                )

    def test_the_host_counts(self) -> None:
        """
        By another name a page would be of another origin, with its own scripts.
        """
        for host in ("evil.example:11430", "0.0.0.0:11430"):
            self.assertEqual(self.refuses(evolve(LINK, host=[host])).status, 403)

    def test_no_sharing(self) -> None:
        """
        What may be opened may not be read by the page that opens it.
        """
        granted = self.admits(LINK, LISTED)
        self.assertEqual(granted.headers, (("Vary", "Origin"),))

    def test_no_key(self) -> None:
        """
        The files need none, whatever else does.
        """
        access = Access(keys=KEYS, models_need_key=True)
        for path in ("/", "/status", "/pages/chat.js"):
            request = RequestOrigin(target=path, host=[HOST])
            self.assertEqual(self.admits(request, access), Grant())
            keyed = evolve(request, authorization=["Bearer sk-two"])
            granted = self.admits(keyed, access)
            self.assertEqual(granted.key_name, "phone")
            posted = evolve(request, method="POST")
            self.assertEqual(self.refuses(posted, access).status, 401)
        for path in ("/pages/other.js", "/swapgate/state", "/swapgate/events"):
            request = RequestOrigin(target=path, host=[HOST])
            self.assertEqual(self.refuses(request, access).status, 401)


class OriginTests(Case):
    """
    Whose page it comes from.
    """

    def test_a_browsers_word(self) -> None:
        """
        Decides, whatever the Origin says: extensions write that over.
        """
        origins: list[list[str]] = [
            [],
            ["http://127.0.0.1"],
            ["null"],
            ["https://evil.example"],
        ]
        for origin in origins:
            for site in (["none"], ["same-origin"]):
                self.admits(evolve(POST, origin=origin, sec_fetch_site=site))
        for origin in (*origins, [f"http://{HOST}"], ["chrome-extension://abc"]):
            for site in (
                ["cross-site"],
                ["same-site"],
                ["None"],
                [""],
                ["none", "none"],
                ["none", "cross-site"],
                ["none, cross-site"],
            ):
                request = evolve(POST, origin=origin, sec_fetch_site=site)
                with self.subTest(request):
                    refusal = self.refuses(request)
                    self.assertEqual(refusal.status, 403)
                    self.assertEqual(refusal.code, "origin_not_allowed")
                    self.assertEqual(refusal.headers, ())

    def test_no_word_of_a_browser(self) -> None:
        """
        No page, our own page or an extension is granted; any other is refused.
        """
        for origin, fine in {
            f"http://{HOST}": True,
            "http://localhost:11430": True,
            "http://[::1]:11430": True,
            "chrome-extension://jfgfiigpkhlkbnfnbobbkinehhfdhndo": True,
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc": True,
            "safari-web-extension://2C127FA4-62C7-7E4F-90E5-472B45EECFDC": True,
            "null": False,
            "": False,
            "http://127.0.0.1": False,
            f"https://{HOST}": False,
            "http://localhost:3000": False,
            "http://localhost.evil.example": False,
            "http://127.0.0.1:11430.evil.example": False,
            "http://127.0.0.1:11430@evil.example": False,
            "https://evil.example": False,
            "chrome-extension://": False,
            "chrome-extension://a/b": False,
            "chrome-extensions://abc": False,
            "x-chrome-extension://abc": False,
            "chrome-extension://abc\nhttps://evil.example": False,
            "file://": False,
            HOST: False,
        }.items():
            request = evolve(POST, origin=[origin])
            with self.subTest(origin):
                if fine:
                    self.assertEqual(self.admits(request), Grant())
                else:
                    self.assertEqual(self.refuses(request).status, 403)
        self.assertEqual(self.admits(POST), Grant())
        twice = evolve(POST, origin=[f"http://{HOST}"] * 2)
        self.assertEqual(self.refuses(twice).status, 403)

    def test_own_page_on_usual_ports(self) -> None:
        """
        With TLS ours is https; another scheme is another server.
        """
        request = RequestOrigin(host=["192.168.1.5"])
        self.admits(evolve(request, origin=["https://192.168.1.5"]), listener=TLS)
        self.refuses(evolve(request, origin=["http://192.168.1.5"]), listener=TLS)

    def test_own_page_behind_a_proxy(self) -> None:
        """
        Only the proxy knows whether there is TLS.
        """
        access = Access(hosts=frozenset({"box.lan"}))
        for origin in ("https://box.lan", "http://box.lan:11430"):
            self.admits(evolve(POST, origin=[origin]), access)
        self.refuses(evolve(POST, origin=["ftp://box.lan"]), access)

    def test_what_is_said(self) -> None:
        """
        Which page it was, as far as known, and what to do about it.
        """
        request = evolve(POST, sec_fetch_site=["cross-site"])
        self.assertEqual(
            self.refuses(request).message,
            "a page on another site may not ask here; list its origin under origins, "
            "if you trust it",
        )
        request = evolve(request, origin=["https://\x1b.example"])
        said = 'a page of "https://\\u001b.example" may not ask here'
        self.assertIn(said, self.refuses(request).message)

    def test_host_goes_first(self) -> None:
        """
        To a page with our address under its name all is same-origin.
        """
        host = "evil.example:11430"
        request = RequestOrigin(host=[host], origin=[f"http://{host}"])
        self.refuses(evolve(request, sec_fetch_site=["same-origin"]))
        self.refuses(request, Access(origins=frozenset({f"http://{host}"})))


class SharingTests(Case):
    """
    What a browser is told.
    """

    def headers(self, *, access: Access = LISTED, **request: Any) -> dict[str, str]:
        headers = self.admits(evolve(POST, **request), access).headers
        self.assertEqual(len(headers), len(dict(headers)))
        return dict(headers)

    def test_listed(self) -> None:
        """
        It is named, alone, whatever the browser says of the site; null if it is.
        """
        for origin in (PAGE, "null"):
            for site in ([], ["cross-site"], ["same-site"], ["none"]):
                found = self.headers(origin=[origin], sec_fetch_site=site)
                self.assertEqual(found["Access-Control-Allow-Origin"], origin)
                self.assertEqual(found["Vary"], "Origin")
                self.assertNotIn("Access-Control-Allow-Credentials", found)
                self.assertNotIn("Access-Control-Allow-Private-Network", found)

    def test_as_a_whole(self) -> None:
        """
        An origin is listed letter by letter.
        """
        for origin in (
            PAGE + "/",
            PAGE + ":443",
            PAGE + ".evil.example",
            PAGE.upper(),
            PAGE.replace("https", "http"),
            f"{PAGE}, {PAGE}",
            f"{PAGE} {PAGE}",
            "https://a." + PAGE.removeprefix("https://"),
        ):
            for site in ([], ["cross-site"]):
                request = evolve(POST, origin=[origin], sec_fetch_site=site)
                self.assertEqual(self.refuses(request, LISTED).status, 403)
        self.assertEqual(
            self.refuses(evolve(POST, origin=[PAGE] * 2), LISTED).status, 403
        )

    def test_apps(self) -> None:
        """
        A * stands for what an app makes up; no page passes by it.
        """
        names = {"app://obsidian.md", "tauri://localhost", "vscode-webview://*"}
        access = Access(origins=frozenset(names))
        known = "vscode-webview://1ab2c3d4e5"
        for origin in ("app://obsidian.md", "tauri://localhost", known, f"{known}:8"):
            for site in ([], ["cross-site"]):
                found = self.headers(
                    origin=[origin], sec_fetch_site=site, access=access
                )
                self.assertEqual(found["Access-Control-Allow-Origin"], origin)
        for origin in (
            *("vscode-webview://", "vscode-webview://a/b", "vscode-webview://a b"),
            *(f"{known}, https://evil.example", f"https://evil.example, {known}"),
            *("vscode-webview-x://a", "x-vscode-webview://a", "vscode-webview:a"),
            *("https://vscode-webview://a", "http://vscode-webview", "app://evil"),
            *("app://obsidian.md.evil", "app://obsidian.md/", "APP://obsidian.md"),
            *("null", "file://", "http://tauri.localhost", f"{known}\n", "*"),
        ):
            for site in ([], ["cross-site"]):
                request = evolve(POST, origin=[origin], sec_fetch_site=site)
                with self.subTest(origin):
                    self.assertEqual(self.refuses(request, access).status, 403)

    def test_not_listed(self) -> None:
        """
        Others that are granted get only Vary, and only where any origin is listed.
        """
        for origin in ([], ["chrome-extension://abc"]):
            self.assertEqual(self.headers(origin=origin), {"Vary": "Origin"})
            self.assertEqual(self.headers(origin=origin, access=NOTHING), {})

    def test_preflight(self) -> None:
        """
        A listed page may send what it asks for, and need not ask again soon.
        """
        request = evolve(
            POST,
            method="OPTIONS",
            origin=[PAGE],
            sec_fetch_site=["cross-site"],
            access_control_request_method=["POST"],
            access_control_request_headers=[
                "authorization,content-type,x-stainless-os"
            ],
        )
        # A preflight has no key.
        access = evolve(LISTED, keys=KEYS)
        found = self.admits(request, access)
        self.assertIs(found.preflight, True)
        self.assertEqual(
            dict(found.headers),
            {
                "Access-Control-Allow-Origin": PAGE,
                "Access-Control-Expose-Headers": (
                    "Retry-After, X-Request-Id, X-Should-Retry"
                ),
                "Vary": "Origin",
                "Access-Control-Allow-Methods": "GET, HEAD, POST",
                "Access-Control-Max-Age": "600",
                "Access-Control-Allow-Headers": (
                    "authorization,content-type,x-stainless-os"
                ),
            },
        )

    def test_wanted_headers(self) -> None:
        """
        Names are allowed; what are none is not repeated.
        """
        request: dict[str, Any] = {
            "method": "OPTIONS",
            "origin": [PAGE],
            "access_control_request_method": ["GET"],
        }
        for wanted, allowed in (
            ([], None),
            ([""], None),
            (["x-a"], "x-a"),
            (["x-a, x-b ,x-c"], "x-a, x-b ,x-c"),
            (["x-a", "x-b"], "x-a,x-b"),
            (["x-a,"], None),
            (["x-a\r\nSet-Cookie: b"], None),
            (["x-ä"], None),
            (["x-a x-b"], None),
        ):
            found = self.headers(**request, access_control_request_headers=wanted)
            self.assertEqual(found.get("Access-Control-Allow-Headers"), allowed)

    def test_private_network(self) -> None:
        """
        Granted where a listed page's preflight asks for it.
        """
        name = "Access-Control-Allow-Private-Network"
        request: dict[str, Any] = {
            "origin": [PAGE],
            "access_control_request_method": ["GET"],
            "access_control_request_private_network": ["true"],
        }
        self.assertEqual(self.headers(**request, method="OPTIONS")[name], "true")
        self.assertNotIn(name, self.headers(**request))
        request["access_control_request_private_network"] = ["true", "true"]
        self.assertNotIn(name, self.headers(**request, method="OPTIONS"))
        evil = evolve(POST, method="OPTIONS", **{**request, "origin": ["https://evil"]})
        self.assertEqual(self.refuses(evil, LISTED).headers, ())

    def test_no_preflight(self) -> None:
        """
        An OPTIONS that asks for nothing, and one of an extension that is not listed.
        """
        request = evolve(POST, method="OPTIONS")
        asks = evolve(request, access_control_request_method=["POST"])
        for other in (
            evolve(request, origin=[PAGE]),
            evolve(asks, origin=["chrome-extension://abc"]),
            evolve(asks, origin=[PAGE], method="POST"),
        ):
            self.assertIs(self.admits(other, LISTED).preflight, False)


class KeyTests(Case):
    """
    What needs a key, and which are right.
    """

    access = Access(keys=KEYS)

    def name(self, **request: Any) -> str | None:
        return self.admits(evolve(POST, **request), self.access).key_name

    def test_right(self) -> None:
        """
        Any of them, sent in either way; the log gets its name.
        """
        for header, name in (
            ({"authorization": ["Bearer sk-one"]}, "laptop"),
            ({"authorization": ["bearer   sk-two "]}, "phone"),
            ({"x_api_key": ["sk-two"]}, "phone"),
            ({"authorization": ["Bearer temp"], "x_api_key": ["sk-one"]}, "laptop"),
            ({"authorization": ["Bearer sk-one"], "x_api_key": ["temp"]}, "laptop"),
        ):
            self.assertEqual(self.name(**header), name)

    def test_wrong(self) -> None:
        """
        401 in the OpenAI shape, and not a letter of what was sent.
        """
        headers: tuple[dict[str, Any], ...] = (
            {"authorization": ["Bearer sk-on"]},
            {"authorization": ["Bearer sk-one2"]},
            {"authorization": ["Bearer SK-ONE"]},
            {"authorization": ["Bearer"]},
            {"authorization": ["Bearer "]},
            {"authorization": ["Bearer temp", "Bearer sk-one"]},
            {"x_api_key": ["temp", "sk-one"]},
            {"x_api_key": ["Bearer sk-one"]},
            {"x_api_key": ["sk-one, sk-two"]},
            {"x_api_key": ["sk-onÿ"]},
            {"x_api_key": [""]},
        )
        for header in headers:
            with self.subTest(header):
                refusal = self.refuses(evolve(POST, **header), self.access)
                self.assertEqual(refusal.status, 401)
                self.assertEqual(refusal.code, "invalid_api_key")
                self.assertEqual(
                    refusal.message,
                    "the key is none of this gateway's; "
                    "send one as Authorization: Bearer KEY, or as x-api-key: KEY",
                )
                self.assertEqual(refusal.headers, (("WWW-Authenticate", "Bearer"),))

    def test_missing(self) -> None:
        """
        Another scheme of authentication does not count.
        """
        for sent in ([], ["sk-one"], ["Basic sk-one"]):
            request = evolve(POST, authorization=sent)
            refusal = self.refuses(request, self.access)
            self.assertEqual(refusal.status, 401)
            self.assertIn("there is no key; send", refusal.message)

    def test_what_is_free(self) -> None:
        """
        /health, and the list of models, which one client asks for without its key.
        """
        for method, target, free, hidden in (
            ("GET", "/health", True, True),
            ("GET", "/v1/health", True, True),
            ("HEAD", "/health?x", True, True),
            ("GET", "/v1/models", True, False),
            ("HEAD", "/models?x=y", True, False),
            ("POST", "/health", False, False),
            ("DELETE", "/v1/models", False, False),
            ("OPTIONS", "/health", False, False),
            ("GET", "/", True, True),
            ("GET", "/api/version", True, True),
            ("GET", "/api/tags", True, False),
            ("GET", "/api/ps", False, False),
            ("POST", "/api/show", False, False),
            # In whichever form a path is read.
            ("GET", "/health/", True, True),
            ("GET", "/v1/v1/health?x", True, True),
            ("GET", "/v1/models/", True, False),
            ("GET", "/v1/v1/models", True, False),
            ("GET", "/v1/model%73", True, False),
            ("GET", "/v1/models/x", True, False),
            ("HEAD", "/models/org%2Fmodel%20b", True, False),
            ("POST", "/v1/models/x", False, False),
            ("GET", "/v1/models/%ff", False, False),
            ("GET", "/v1/models/../x", True, False),
            ("GET", "/v1/models.x", False, False),
            ("GET", "//health", False, False),
            ("GET", "/swapgate/stats", False, False),
            ("OPTIONS", "*", False, False),
        ):
            request = RequestOrigin(method=method, target=target, host=[HOST])
            for access, fine in (
                (self.access, free),
                (evolve(self.access, models_need_key=True), hidden),
            ):
                with self.subTest((method, target)):
                    if fine:
                        self.assertEqual(self.admits(request, access), Grant())
                    else:
                        self.assertEqual(self.refuses(request, access).status, 401)

    def test_free_with_a_key(self) -> None:
        """
        A right one has its name there too, a wrong one does no harm.
        """
        request = {"method": "GET", "target": "/v1/models"}
        self.assertEqual(self.name(**request, x_api_key=["sk-one"]), "laptop")
        self.assertIsNone(self.name(**request, x_api_key=["temp"]))

    def test_no_keys(self) -> None:
        """
        Whatever a client sends as its key is ignored.
        """
        request = evolve(POST, authorization=["Bearer temp"], x_api_key=["x"])
        self.assertEqual(self.admits(request), Grant())

    def test_not_read_yet(self) -> None:
        """
        Where no key is configured, though a file of keys is, any key is refused.
        """
        access = Access(key_files=("/keys",))
        request = evolve(POST, authorization=["Bearer sk-one"])
        self.assertEqual(self.refuses(request, access).status, 401)

    def test_a_key_is_no_origin(self) -> None:
        """
        It opens nothing to a page that is not listed.
        """
        request = evolve(POST, origin=["https://evil"], x_api_key=["sk-one"])
        self.assertEqual(self.refuses(request, self.access).status, 403)

    def test_a_listed_page_can_read_why(self) -> None:
        """
        The refusal is shared with it like any answer.
        """
        access = evolve(LISTED, keys=KEYS)
        request = evolve(POST, origin=[PAGE], sec_fetch_site=["cross-site"])
        headers = dict(self.refuses(request, access).headers)
        self.assertEqual(headers["Access-Control-Allow-Origin"], PAGE)
        self.assertEqual(headers["WWW-Authenticate"], "Bearer")


WORDS = st.sampled_from(
    [
        *("", HOST, "localhost", "evil.example", f"http://{HOST}", "null", "http://"),
        *("cross-site", "none", "same-origin", "Bearer sk-one", "sk-one", "*", PAGE),
        *(
            "GET",
            "POST",
            "OPTIONS",
            "/health",
            "/v1/models",
            "x, y",
            "[",
            "::1",
            "true",
        ),
    ]
)
VALUES = st.lists(WORDS | st.text(st.characters(max_codepoint=255)), max_size=2)
FIELDS = (
    *("host", "origin", "sec_fetch_site", "authorization", "x_api_key"),
    "access_control_request_method",
    "access_control_request_headers",
    "access_control_request_private_network",
)


class AnyRequestTests(SynchronousTestCase):
    """
    What holds whatever is sent.
    """

    @given(
        st.fixed_dictionaries({"method": WORDS, "target": WORDS}),
        st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)),
        st.booleans(),
    )
    def test_any(self, line: dict[str, str], headers: Any, keyed: bool) -> None:
        """
        A grant or an error; what is granted has named us and is not cross-site, and no
        header has anything but visible characters in it.
        """
        request = RequestOrigin(**line, **headers)
        access = evolve(LISTED, keys=KEYS if keyed else ())
        try:
            found = admit(access, LISTENER, request.head).headers
        except APIError as refusal:
            self.assertIn(refusal.status, (400, 401, 403, 421))
            found = refusal.headers
        else:
            self.assertIn([host.lower() for host in request.host], ([HOST],))
            if list(request.sec_fetch_site) == ["cross-site"]:
                self.assertIn(list(request.origin), ([PAGE], ["null"]))
        for name, value in found:
            self.assertTrue((name + value).isprintable())
            if name == "Access-Control-Allow-Origin":
                self.assertIn([value], ([PAGE], ["null"]))
                self.assertEqual(list(request.origin), [value])
