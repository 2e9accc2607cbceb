"""
Key files: what is read from them, and what is said of those that are wrong.
"""

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access
from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.ini import BadValue, ConfigError
from swapgate.config.keys import Key
from swapgate.config.model import ModelSpec
from swapgate.config.secrets import check_private, read_key, read_keys, read_private
from swapgate.config.values import Upstream
from tests.doubles import config_of

KEY = "sk-a-secret"
# So that it is one for a client.
LONG = "-0123456789abcdef"


def remote(service: RemoteSpec | None = None, **options: Any) -> ModelSpec:
    upstream = Upstream(scheme="https", host="big.example.net", port=443)
    return ModelSpec(
        name="r",
        memory_bytes=0,
        service=service or RemoteSpec(),
        upstream=upstream,
        **options,
    )


class KeyFileCase(SynchronousTestCase):
    """
    With key files in a folder of the test's own.
    """

    def key_file(self, content: str | bytes = KEY, mode: int = 0o600) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)


class KeyFileTests(KeyFileCase):
    """
    Keys that are kept in files.
    """

    def refusal(self, path: str) -> str:
        """
        Why there is no key in a file, without a word of what is in it.
        """
        error = str(self.assertRaises(BadValue, read_key, path))
        self.assertNotIn("sk-", error)
        return error

    def test_read(self) -> None:
        """
        The final newline that editors write is no part of it.
        """
        for mode in (0o600, 0o400, 0o700):
            self.assertEqual(read_key(self.key_file(f"{KEY}\n", mode)), KEY)

    def test_open_to_others(self) -> None:
        """
        Whoever else could read or change it, and how to put an end to that.
        """
        for mode in (0o640, 0o604, 0o620, 0o644, 0o666):
            path = self.key_file(mode=mode)
            said = f"{path} is open to others; run chmod 600 {path}"
            self.assertEqual(self.refusal(path), said)

    def test_of_another_user(self) -> None:
        """
        It is his to change; root's may be read, for root may change all the others.
        """
        for owner in (0, os.geteuid()):
            check_private("/k", os.stat_result((0o100600, 0, 0, 1, owner, *[0] * 5)))
        other = os.stat_result((0o100600, 0, 0, 1, os.geteuid() + 1, *[0] * 5))
        error = self.assertRaises(BadValue, check_private, "/k", other)
        self.assertEqual(
            str(error),
            "/k belongs to another user, who may change it; make it a file of your own",
        )
        error = self.assertRaises(BadValue, read_private, "/etc/passwd")
        self.assertIn("is open to others", str(error))

    def test_too_long(self) -> None:
        """
        Nothing is cut off: half of a key would open as well.
        """
        self.assertEqual(read_key(self.key_file("x" * 65535 + "\n")), "x" * 65535)
        path = self.key_file(f"{'x' * 65534}\n{KEY}")
        said = f"{path} is longer than 65536 bytes; shorten it"
        self.assertEqual(self.refusal(path), said)

    def test_no_key(self) -> None:
        """
        A header must hold it: one word, of characters that show.
        """
        for content in ("", "\n", "sk-secret 2", "sk-secret\nx", "sécret", b"secret\0"):
            self.assertIn("holds no key", self.refusal(self.key_file(content)))

    def test_no_file(self) -> None:
        """
        None there, or something that is none; nothing waits for it.
        """
        folder = Path(self.mktemp()).absolute()
        self.assertIn("(No such file or directory)", self.refusal(str(folder)))
        folder.mkdir()
        self.assertIn("is no file", self.refusal(str(folder)))
        pipe = folder / "pipe"
        os.mkfifo(pipe, 0o600)
        self.assertIn("is no file", self.refusal(str(pipe)))

    def test_keys_of_a_configuration(self) -> None:
        """
        Another key makes another model; one that cannot be had is a mistake.
        """
        path = self.key_file()
        config = config_of(remote(), remote(RemoteSpec(api_key_file=path)))
        first = read_keys(config)
        self.assertEqual(first, read_keys(config))
        self.assertEqual(first.models[0], config.models[0])
        self.assertNotIn("sk-", repr(first))
        Path(path).write_text("sk-another")
        self.assertNotEqual(first, read_keys(config))
        Path(path).chmod(0o644)
        error = str(self.assertRaises(ConfigError, read_keys, config))
        place = "/test.cfg: [model r] api_key: "
        self.assertEqual(
            error, f"{place}{path} is open to others; run chmod 600 {path}"
        )

    def test_keys_of_clients(self) -> None:
        """
        Those of all files and of the environment, each with a name of its own.
        """
        own = Key.of("ONE", f"sk-1{LONG}")
        paths = (
            self.key_file(f"laptop: sk-2{LONG}\n"),
            self.key_file(f"phone sk-3{LONG}"),
        )
        access = Access(keys=(own,), key_files=paths, models_need_key=True)
        found = read_keys(config_of(access=access)).access
        keys = (own, Key.of("laptop", f"sk-2{LONG}"), Key.of("phone", f"sk-3{LONG}"))
        self.assertEqual(found, Access(keys=keys, models_need_key=True))
        for content, said in (
            (f"phone: sk-4{LONG}", "has two keys named phone; rename one of them"),
            (
                f"other: sk-1{LONG}",
                "has one key twice, as ONE and other; give each its own",
            ),
            ("sk-a-secret", f"{paths[0]}:1 is no key with its name; write NAME: KEY"),
        ):
            Path(paths[0]).write_text(content)
            error = self.assertRaises(ConfigError, read_keys, config_of(access=access))
            self.assertEqual(str(error), f"/test.cfg: [swapgate] api_keys: {said}")
