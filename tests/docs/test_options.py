"""
docs/options.md says what the table of options says.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.options import OPTIONS
from tests.docs.options_page import PAGE, page


class PageTests(SynchronousTestCase):
    """
    The page as it is in the repository.
    """

    maxDiff = None

    def test_up_to_date(self) -> None:
        """
        It is what `python -m tests.docs.options_page` makes.
        """
        self.assertEqual(PAGE.read_text("utf-8"), page())

    def test_every_option(self) -> None:
        """
        Each has one row.
        """
        text = page()
        for name in OPTIONS:
            self.assertEqual(text.count(f"\n| `{name}` |"), 1, name)
