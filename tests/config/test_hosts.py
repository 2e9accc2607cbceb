"""
Host names and origins: read in the form that browsers send, or refused.
"""

from swapgate.config.hosts import hosts, origins
from tests.config.test_values import Mistaken


class HostsTests(Mistaken):
    """
    `hosts`.
    """

    def test_right(self) -> None:
        """
        Names and addresses as a browser writes them, which leaves usual ports out.
        """
        text = "BOX.LAN, box.lan:8443,10.0.0.1:1\na_b.example.\n[FE80:0::1]:2, x:443"
        expected = "box.lan box.lan:8443 10.0.0.1:1 a_b.example. [fe80::1]:2 x"
        self.assertEqual(hosts(text), {*expected.split()})

    def test_wrong(self) -> None:
        """
        No patterns, no URLs, nothing but one name each.
        """
        for text in (
            *("*", "*.lan", "http://box.lan", "box.lan/", "a@box.lan", "a b"),
            *("box:", "box:0", "box:123456", "::1", "bücher.example", "a,,b"),
        ):
            with self.subTest(text):
                expected = " is no host; write NAME or NAME:PORT"
                self.assertIn(expected, self.wrong(hosts, text))
        self.assertEqual(
            self.wrong(hosts, "[1::2::3]"),
            "'[1::2::3]' is no address; write one like [::1]",
        )

    def test_nowhere(self) -> None:
        """
        The addresses by which a page without a name would be let in.
        """
        for text in ("0.0.0.0", "0.0.0.0:11430", "[::]", "[0::0]:1"):
            self.assertIn("is no name of anything", self.wrong(hosts, text))


class OriginsTests(Mistaken):
    """
    `origins`.
    """

    def test_right(self) -> None:
        """
        In the form that a browser sends.
        """
        text = (
            "https://Chat.Example.org, http://box:3000\nhttps://a:443,http://a:80\n"
            "http://a:443,http://[0::1]:8,null,chrome-extension://abc"
        )
        expected = (
            "https://chat.example.org http://box:3000 https://a http://a "
            "http://a:443 http://[::1]:8 null chrome-extension://abc"
        )
        self.assertEqual(origins(text), {*expected.split()})

    def test_apps(self) -> None:
        """
        As an app sends it; where a part of it is made up each time, a * is for that.
        """
        text = "app://obsidian.md, TAURI://localhost, x-app://A:1, vscode-webview://*"
        self.assertEqual(
            origins(text + ",App://Obs*"),
            {
                *("app://obsidian.md", "tauri://localhost", "x-app://A:1"),
                *("vscode-webview://*", "app://Obs*"),
            },
        )

    def test_no_pattern_for_pages(self) -> None:
        """
        What a browser may have open is never more than one.
        """
        for scheme in (
            *("http", "https", "HTTPS", "ws", "wss", "ftp", "file", "filesystem"),
            *("null", "data", "blob", "about", "javascript", "view-source", "content"),
            *("chrome", "chrome-extension", "chrome-untrusted", "moz-extension"),
            *("safari-extension", "safari-web-extension", "ms-browser-extension"),
            *("extension", "edge", "brave", "isolated-app", "ipfs", "ipns", "web+x"),
        ):
            for text in (f"{scheme}://*", f"{scheme}://a*"):
                with self.subTest(text):
                    self.assertEqual(
                        self.wrong(origins, text),
                        f"{text!r} would be many pages of a browser; only an app's own "
                        "scheme may end in *, such as vscode-webview://*",
                    )

    def test_wrong(self) -> None:
        """
        One of each, and all of it.
        """
        for text in (
            *("chat.example.org", "https://", "https://a/", "https://a/b", "*://a"),
            *("https://*.a", "https://a@b", "https://a b", "Null", "a,,b"),
            *("app://*.md", "app://**", "app://*:1", "app://a/*", "app:*", "app*"),
        ):
            with self.subTest(text):
                expected = " is no origin; write one like https://chat.example.org"
                self.assertIn(expected, self.wrong(origins, text))
        self.assertEqual(
            self.wrong(origins, "*"),
            "'*' would be every page there is; write one like https://chat.example.org",
        )

    def test_what_proves_nothing(self) -> None:
        """
        An extension gives this Origin to every page of its browser.
        """
        for text in ("http://127.0.0.1", "http://127.0.0.1:80"):
            self.assertIn("proves nothing", self.wrong(origins, text))
        self.assertTrue(origins("http://127.0.0.1:3000"))
