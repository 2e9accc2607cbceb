"""
What `swapgate.access` makes of the options about who is let in.
"""

from hashlib import sha256
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import (
    Access,
    Key,
    distinct,
    is_public,
    keys_in,
    laid_open,
    own_port,
    read_access,
    with_backlog,
)
from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue, ConfigError, Section

LOCAL = "tcp:11430:interface=127.0.0.1"
LONG = "-0123456789"
ENVIRON = {
    "ONE": f"sk-secret-1{LONG}",
    "TWO": f"sk-secret-2{LONG}",
    "BAD": "sk secret",
    "SHORT": "sk-secret-15-ch",
    "BOX": "box",
}
AROUND = Expander(folder="/etc", python="/bin/py", environ=ENVIRON)


def read(*, listen: str = LOCAL, **options: str) -> Access:
    section = Section(path="/c", name="swapgate", options=options)
    return read_access(section, [LOCAL, listen], AROUND)


class Case(SynchronousTestCase):
    """
    What is refused says so in one line, without a key in it.
    """

    def wrong(self, *, listen: str = LOCAL, **options: str) -> str:
        error = str(self.assertRaises(ConfigError, read, listen=listen, **options))
        self.assertNotIn("secret", error)
        return error.removeprefix("/c: [swapgate] ")


class HostsTests(Case):
    """
    `hosts`.
    """

    def test_right(self) -> None:
        """
        Names and addresses as a browser writes them, which leaves usual ports out.
        """
        text = "${BOX}.LAN, box.lan:8443,10.0.0.1:1\na_b.example.\n[FE80:0::1]:2, x:443"
        expected = "box.lan box.lan:8443 10.0.0.1:1 a_b.example. [fe80::1]:2 x"
        self.assertEqual(read(hosts=text).hosts, {*expected.split()})

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
                self.assertIn(expected, self.wrong(hosts=text))
        self.assertEqual(
            self.wrong(hosts="[1::2::3]"),
            "hosts: '[1::2::3]' is no address; write one like [::1]",
        )

    def test_nowhere(self) -> None:
        """
        What a page without a name would be let in by.
        """
        for text in ("0.0.0.0", "0.0.0.0:11430", "[::]", "[0::0]:1"):
            self.assertIn("is no name of anything", self.wrong(hosts=text))


class OriginsTests(Case):
    """
    `origins`.
    """

    def test_right(self) -> None:
        """
        As a browser says them.
        """
        text = (
            "https://Chat.Example.org, http://${BOX}:3000\nhttps://a:443,http://a:80\n"
            "http://a:443,http://[0::1]:8,null,chrome-extension://abc"
        )
        expected = (
            "https://chat.example.org http://box:3000 https://a http://a "
            "http://a:443 http://[::1]:8 null chrome-extension://abc"
        )
        self.assertEqual(read(origins=text).origins, {*expected.split()})

    def test_wrong(self) -> None:
        """
        One of each, and all of it.
        """
        for text in (
            *("chat.example.org", "https://", "https://a/", "https://a/b", "*://a"),
            *("https://*.a", "https://a@b", "https://a b", "Null", "a,,b"),
        ):
            with self.subTest(text):
                expected = " is no origin; write one like https://chat.example.org"
                self.assertIn(expected, self.wrong(origins=text))
        self.assertEqual(
            self.wrong(origins="*"),
            "origins: '*' would be every page there is; "
            "write one like https://chat.example.org",
        )

    def test_what_proves_nothing(self) -> None:
        """
        An extension gives this Origin to every page of its browser.
        """
        for text in ("http://127.0.0.1", "http://127.0.0.1:80"):
            self.assertIn("proves nothing", self.wrong(origins=text))
        self.assertTrue(read(origins="http://127.0.0.1:3000").origins)


class KeysTests(Case):
    """
    `api_keys`, and what the files hold.
    """

    def test_right(self) -> None:
        """
        Keys of the environment by their variables, files by their paths.
        """
        access = read(api_keys="${ONE}, file:keys\nfile:/h/x\n${TWO}")
        self.assertEqual([key.name for key in access.keys], ["ONE", "TWO"])
        self.assertEqual(
            access.keys[0].digest, sha256(b"sk-secret-1-0123456789").digest()
        )
        self.assertEqual(access.key_files, ("/etc/keys", "/h/x"))
        self.assertTrue(access.keyed)
        self.assertFalse(read().keyed)
        self.assertNotIn("secret", repr(access))
        self.assertNotIn(repr(access.keys[0].digest), repr(access))

    def test_wrong(self) -> None:
        """
        A key has no place here, and is not repeated.
        """
        for text, expected in {
            "sk-secret": "does not belong here itself",
            "x${ONE}": "does not belong here itself",
            "file:": "names no file",
            "${NONE}": "${NONE} is not set in the environment",
            "${BAD}": "${BAD} holds no key",
            "${SHORT}": "${SHORT} holds a key of fewer than 16 characters; make a long "
            "one with openssl rand -hex 24",
            "${ONE},${ONE}": "has two keys named ONE; rename one of them",
        }.items():
            with self.subTest(text):
                self.assertIn(expected, self.wrong(api_keys=text))

    def test_files(self) -> None:
        """
        A name and its key on each line, with a colon between them or without.
        """
        names = [
            ("laptop", "sk-secret-just16"),
            ("phone", f"sk-2{LONG * 2}"),
            ("nas.1", f"sk:3{LONG * 2}"),
        ]
        (_, laptop), (_, phone), (_, nas) = names
        text = f"# mine\n\nlaptop: {laptop}\n phone\t{phone} \nnas.1:{nas}\r\n"
        expected = tuple(Key.of(*pair) for pair in names)
        self.assertEqual(keys_in(text, "/k"), expected)

    def test_files_that_are_wrong(self) -> None:
        """
        The line is named, not what is in it.
        """
        good = f"a: sk-secret-1{LONG}"
        no_key = "/k:2 is no key with its name; write NAME: KEY"
        for text, expected in {
            "": "/k holds no key; write NAME: KEY, a line each",
            "# none\n\n": "/k holds no key; write NAME: KEY, a line each",
            f"{good}\nsk-secret": no_key,
            f"{good}\na b c": no_key,
            f"{good}\n: sk-secret": no_key,
            f"{good}\nmy key: sk-secret": no_key,
            f"{good}\n{'n' * 65}: sk-secret": no_key,
            f"{good}\nx: sécret": "/k:2 holds no key; it must be one word of plain "
            "ASCII",
            f"{good}\nx: sk-secret-15-ch": "/k:2 holds a key of fewer than 16 "
            "characters; make a long one with openssl rand -hex 24",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(BadValue, keys_in, text, "/k")
                self.assertEqual(str(error), expected)

    def test_distinct(self) -> None:
        """
        One name, one key.
        """
        keys = (Key.of("a", "sk-secret"), Key.of("b", "x"), Key.of("c", "sk-secret"))
        self.assertEqual(distinct(keys[:2]), keys[:2])
        error = self.assertRaises(BadValue, distinct, keys)
        self.assertEqual(str(error), "has one key twice, as a and c; give each its own")

    def test_models(self) -> None:
        """
        On loopback the list is free unless it is said otherwise, elsewhere the reverse.
        """
        keys = {"api_keys": "${ONE}"}
        self.assertFalse(read(**keys).models_need_key)
        self.assertTrue(read(**keys, models_need_key="yes").models_need_key)
        self.assertTrue(read(**keys, listen="tcp:1").models_need_key)
        public = read(**keys, listen="tcp:1", models_need_key="no")
        self.assertFalse(public.models_need_key)
        self.assertEqual(
            self.wrong(models_need_key="yes"),
            "models_need_key: needs api_keys; set them",
        )


class BacklogTests(SynchronousTestCase):
    """
    How many may wait to be accepted.
    """

    def test_backlog(self) -> None:
        """
        As many as the endpoint says, by name or in its place; else as many as we do.
        Twisted understands either.
        """
        for endpoint, backlog in {
            "tcp:0": 7,
            "tcp:0:backlog=7": 7,
            "tcp:0:127.0.0.1": 7,
            "tcp:0:interface=127.0.0.1": 7,
            "tcp:interface=127.0.0.1:port=0": 7,
            "tcp:0:127.0.0.1:5": 5,
            "tcp:0:interface=127.0.0.1:backlog=5": 5,
            "tcp6:0": 7,
            "tcp6:0:5": 5,
            "tcp6:0:interface=\\:\\:1": 7,
            "unix:/run/swapgate": 7,
            "unix:/run/swapgate:660": 7,
            "unix:/run/swapgate:660:5": 5,
            "unix:/run/swapgate:mode=660:backlog=5": 5,
        }.items():
            endpoint_of: Any = serverFromString(
                MemoryReactor(), with_backlog(endpoint, 7)
            )
            self.assertEqual(endpoint_of._backlog, backlog, endpoint)
        for endpoint, backlog in {
            "ssl:0:privateKey=k.pem": 7,
            "ssl:0:k.pem:c.pem:TLSv1_METHOD:127.0.0.1": 7,
            "ssl:0:k.pem:c.pem:TLSv1_METHOD:127.0.0.1:5": 5,
            "tls:/etc/certs:0": 7,
            "tls:/etc/certs:0:5": 5,
            "systemd:domain=INET:index=0": 5,
            "haproxy:tcp:0": 5,
        }.items():
            said = endpoint if backlog == 5 else f"{endpoint}:backlog=7"
            self.assertEqual(with_backlog(endpoint, 7), said)


class PublicTests(Case):
    """
    What is listened on.
    """

    def test_laid_open(self) -> None:
        """
        What is listened on takes effect at the next start, and until then a public
        endpoint needs what it would need there.
        """
        keys = {"api_keys": "${ONE}"}
        public, both = "tcp:1", ["unix:/run/x", LOCAL, "tcp:1"]
        for in_use, listen, options, opened in (
            (both, LOCAL, {}, public),
            (both, LOCAL, keys, public),
            (both, LOCAL, keys | {"models_need_key": "yes"}, None),
            (both, LOCAL, {"open": "yes"}, None),
            (both, public, keys | {"models_need_key": "no"}, None),
            (both, public, {"open": "yes"}, None),
            ([LOCAL, "unix:/run/x"], LOCAL, {}, None),
        ):
            with self.subTest(options=options, listen=listen):
                access = read(listen=listen, **options)
                self.assertEqual(laid_open(in_use, [listen], access), opened)

    def test_endpoints(self) -> None:
        """
        Whatever is not surely this machine's own is public.
        """
        for endpoint, public in {
            LOCAL: False,
            "tcp:80:127.0.0.1": False,
            "TCP:80:interface=localhost": False,
            "tcp:interface=127.9.9.9:port=80": False,
            "tcp6:80:interface=\\:\\:1": False,
            "tcp:80:interface=127.0.0.1:backlog=5": False,
            "ssl:443:privateKey=k.pem:certKey=c.pem:interface=127.0.0.1": False,
            "tls:/etc/certs:tcp\\:443\\:interface=127.0.0.1": True,
            "unix:/run/swapgate": False,
            "unix:address=/run/swapgate:mode=660": False,
            "tcp:80": True,
            "tcp:80:": True,
            "tcp:80:interface=": True,
            "tcp:80:0.0.0.0": True,
            "tcp:80:interface=0.0.0.0": True,
            "tcp:80:interface=127.0.0.1:interface=0.0.0.0": True,
            "tcp:80:interface=192.168.1.5": True,
            "tcp:80:interface=localhost.example": True,
            "tcp:80:backlog=127.0.0.1": True,
            "tcp6:80": True,
            "tcp6:80:interface=\\:\\:": True,
            "ssl:443": True,
            "ssl:443:127.0.0.1": True,
            "tls:/etc/certs:443": True,
            "systemd:domain=INET:index=0": True,
            "haproxy:unix:/run/x": True,
            "tcp:80:interface=127.0.0.1\\": False,
            "tcp:80:interface=127.0.0.1\\:interface=0.0.0.0": True,
        }.items():
            with self.subTest(endpoint):
                self.assertIs(is_public(endpoint), public)

    def test_own_port(self) -> None:
        """
        Where it is reached by loopback.
        """
        for endpoint, port in (
            ("tcp:81", 81),
            ("tcp:81:interface=127.0.0.1", 81),
            ("tcp:port=81:interface=localhost", 81),
            ("tcp:81:0.0.0.0", 81),
            ("TCP:81:127.0.0.1:50", 81),
            (r"tcp6:81:interface=\:\:", 81),
            (r"ssl:81:privateKey=k:interface=\:\:1", 81),
            ("tls:/certificates:81", 81),
            ("tcp:81:interface=192.168.1.5", None),
            ("tcp:81:interface=gate.lan", None),
            ("tcp:port=http", None),
            ("unix:/run/81", None),
            ("systemd:domain=INET:index=0", None),
        ):
            with self.subTest(endpoint=endpoint):
                self.assertEqual(own_port(endpoint), port)

    def test_needs_a_key(self) -> None:
        """
        Or the word that it is meant.
        """
        self.assertEqual(
            self.wrong(listen="tcp:1"),
            "listen: 'tcp:1' is open to other machines; add interface=127.0.0.1 to it, "
            "or set api_keys, or write open = yes if everybody shall get in",
        )
        self.assertIn("open to other", self.wrong(listen="tcp:1", open="no"))
        self.assertFalse(read(listen="tcp:1", open="yes").keyed)
        self.assertTrue(read(listen="tcp:1", api_keys="file:/k").keyed)
        self.assertIn("neither yes nor no", self.wrong(open="true"))
