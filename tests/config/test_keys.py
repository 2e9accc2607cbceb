"""
Keys: read from the environment and from the text of a file, and never repeated.
"""

from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue
from swapgate.config.keys import Key, api_keys, distinct, file_keys, key_reference

LONG = "-0123456789"
EXPANDER = Expander(
    folder="/etc",
    python="/bin/py",
    environ={
        "ONE": f"sk-secret-1{LONG}",
        "TWO": f"sk-secret-2{LONG}",
        "BAD": "sk secret",
        "SHORT": "sk-secret-15-ch",
    },
)


class KeysTests(SynchronousTestCase):
    """
    `api_keys`, `api_key`, and what the files hold.
    """

    def test_right(self) -> None:
        """
        Keys of the environment by their variables, files by their paths.
        """
        keys, files = api_keys(EXPANDER, "${ONE}, file:keys\nfile:/h/x\n${TWO}")
        self.assertEqual([key.name for key in keys], ["ONE", "TWO"])
        self.assertEqual(keys[0].digest, sha256(b"sk-secret-1-0123456789").digest())
        self.assertEqual(files, ("/etc/keys", "/h/x"))
        self.assertNotIn("secret", repr(keys))
        self.assertNotIn(repr(keys[0].digest), repr(keys))

    def test_reference(self) -> None:
        """
        A path or a key; a remote daemon's key may be short.
        """
        self.assertEqual(key_reference(EXPANDER, "file: k"), ("/etc/k", None))
        self.assertEqual(key_reference(EXPANDER, "${SHORT}"), (None, "sk-secret-15-ch"))

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
                error = str(self.assertRaises(BadValue, api_keys, EXPANDER, text))
                self.assertIn(expected, error)
                self.assertNotIn("secret", error)

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
        self.assertEqual(file_keys(text, "/k"), expected)

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
                error = self.assertRaises(BadValue, file_keys, text, "/k")
                self.assertEqual(str(error), expected)

    def test_distinct(self) -> None:
        """
        One name, one key.
        """
        keys = (Key.of("a", "sk-secret"), Key.of("b", "x"), Key.of("c", "sk-secret"))
        self.assertEqual(distinct(keys[:2]), keys[:2])
        error = self.assertRaises(BadValue, distinct, keys)
        self.assertEqual(str(error), "has one key twice, as a and c; give each its own")
