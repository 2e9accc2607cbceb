"""
docs/continuity.md says what holds.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import read_config
from swapgate.config.options import OPTIONS
from swapgate.continuity.places import Place, place_of
from tests.gate import ROOT

TEXT = (ROOT / "docs" / "continuity.md").read_text("utf-8")


class PageTests(SynchronousTestCase):
    """
    What can be read from the page.
    """

    def test_example(self) -> None:
        """
        The example's conversations are kept where it says.
        """
        [example] = re.findall(r"(?ms)^```ini\n(.*?)^```$", TEXT)
        config = read_config(
            f"[swapgate]\nmemory_budget = 20 GB\n{example}",
            path="/etc/swapgate.cfg",
            environ={"HOME": "/home/me"},
            python="/bin/py",
            platform="linux",
        )
        [spec] = config.models
        self.assertEqual(place_of(spec, "/"), Place("/home/me/llama-slots/phi4"))

    def test_options(self) -> None:
        """
        Each is named with its default.
        """
        for name in ("continuity", "snapshot_delay", "snapshot_timeout"):
            default = OPTIONS[name].default
            self.assertIn(f"| `{name}` | ", TEXT)
            self.assertIn(str(default), TEXT.split(f"| `{name}` | ")[1][:20])
        self.assertIn(f"`snapshot_max` | {OPTIONS['snapshot_max'].default}", TEXT)
