"""
What docs/security.md promises: examples that are right.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.endpoints import is_public
from swapgate.config.keys import file_keys
from swapgate.config.loader import Config
from tests.config.test_loader import MODEL, read
from tests.gate import ROOT

PAGE = ROOT / "docs" / "security.md"
TEXT = PAGE.read_text("utf-8")


def configurations() -> list[Config]:
    examples = re.findall(r"^```ini\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [read(example + MODEL) for example in examples]


class PageTests(SynchronousTestCase):
    """
    What can be read from the page.
    """

    def test_examples(self) -> None:
        """
        A listed page, another machine with a key, another name, and TLS.
        """
        page, other, named, tls = configurations()
        self.assertEqual(
            page.access.origins, {"https://chat.example.org", "http://localhost:3000"}
        )
        self.assertEqual(named.access.hosts, {"box.lan", "gate.example.org:8443"})
        for config in (other, tls):
            self.assertEqual(config.access.key_files, ("/etc/swapgate.keys",))
            self.assertTrue(is_public(config.listen[0]))

    def test_endpoints(self) -> None:
        """
        Those in the text are of the kind that it says.
        """
        endpoints = re.findall(r"`(?:listen = )?((?:unix|tls):/[^`]+)`", TEXT)
        self.assertEqual([is_public(endpoint) for endpoint in endpoints], [True, False])

    def test_keys(self) -> None:
        """
        The file is one that can be read.
        """
        lines = "\n".join(re.findall(r"^    (\w+: +sk-.*)$", TEXT, re.MULTILINE))
        names = [key.name for key in file_keys(lines, "/k")]
        self.assertEqual(names, ["laptop", "phone"])
