"""
What docs/clients.md promises: examples that are right.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import Config
from tests.browsers import BRAVE, CHROME, SAFARI, fields
from tests.config.test_loader import MODEL, read
from tests.gate import ROOT

TEXT = (ROOT / "docs" / "clients.md").read_text("utf-8")
NAMES = ("gemma-4-e4b", "qwen2.5-14b", "phi-4-14b")


def configurations() -> list[Config]:
    examples = re.findall(r"^```ini\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    models = "".join(MODEL.replace("[model a]", f"[model {name}]") for name in NAMES)
    return [read(example + models) for example in examples]


class PageTests(SynchronousTestCase):
    """
    What can be read from the page.
    """

    def test_examples(self) -> None:
        """
        Rules, apps, a container on macOS, and one on Linux.
        """
        rules, apps, mac, linux = configurations()
        browsers = (BRAVE, CHROME, SAFARI)
        chosen = [rules.routing.model_for(fields(each)) for each in browsers]
        self.assertEqual(chosen, [*NAMES])
        self.assertEqual(rules.routing.model_for({}), NAMES[0])
        self.assertEqual(
            apps.access.origins,
            {"app://obsidian.md", "tauri://localhost", "vscode-webview://*"},
        )
        for config in (mac, linux):
            self.assertEqual(config.access.hosts, {"host.docker.internal"})
        self.assertEqual(len(linux.listen), 2)

    def test_what_browsers_send(self) -> None:
        """
        The table has the brands and versions of the headers that the tests have.
        """
        for browser, name in ((BRAVE, "Brave"), (CHROME, "Google Chrome")):
            self.assertIn(f'`"{name}"`', TEXT)
            self.assertIn(f'"{name}";v=', browser["Sec-CH-UA"])
        self.assertIn(f"`{' '.join(SAFARI['User-Agent'].split()[-2:])}`", TEXT)
        self.assertIn(f"`{' '.join(CHROME['User-Agent'].split()[-2:])}`", TEXT)
