"""
Access: the options about it, and what they need where other machines reach a port.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access, exposed_endpoint, read_access
from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, Section

LOCAL = "tcp:11430:interface=127.0.0.1"
LONG = "-0123456789"
ENVIRON = {"ONE": f"sk-secret-1{LONG}", "BOX": "box"}
EXPANDER = Expander(folder="/etc", python="/bin/py", environ=ENVIRON)


def read(*, listen: str = LOCAL, **options: str) -> Access:
    section = Section(path="/c", name="swapgate", options=options)
    return read_access(section, [LOCAL, listen], EXPANDER)


class AccessTests(SynchronousTestCase):
    """
    What is refused says so in one line, without a key in it.
    """

    def wrong(self, *, listen: str = LOCAL, **options: str) -> str:
        error = str(self.assertRaises(ConfigError, read, listen=listen, **options))
        self.assertNotIn("secret", error)
        return error.removeprefix("/c: [swapgate] ")

    def test_options(self) -> None:
        """
        Each is read, with its variables substituted.
        """
        access = read(
            hosts="${BOX}.lan, 10.0.0.1:1", origins="http://${BOX}:3000", open="yes"
        )
        self.assertEqual(access.hosts, {"box.lan", "10.0.0.1:1"})
        self.assertEqual(access.origins, {"http://box:3000"})
        self.assertTrue(access.open)
        self.assertEqual(read(), Access())

    def test_keyed(self) -> None:
        """
        With a key of the environment, or with a file that holds some.
        """
        access = read(api_keys="${ONE}, file:keys")
        self.assertEqual([key.name for key in access.keys], ["ONE"])
        self.assertEqual(access.key_files, ("/etc/keys",))
        for text in ("${ONE}", "file:keys"):
            self.assertTrue(read(api_keys=text).keyed)
        self.assertFalse(read().keyed)
        self.assertNotIn("secret", repr(access))
        self.assertNotIn(repr(access.keys[0].digest), repr(access))
        self.assertIn("does not belong here itself", self.wrong(api_keys="sk-secret"))

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

    def test_exposed_endpoint(self) -> None:
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
                self.assertEqual(exposed_endpoint(in_use, [listen], access), opened)

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
