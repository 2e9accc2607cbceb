"""
Types of values: which of them substitute variables, and how.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config import value_types as of
from swapgate.config.expand import Command, Expander

EXPANDER = Expander(
    folder="/etc", python="/bin/py", environ={"A": "1 s", "WORD": "none", "HOME": "/h"}
)


class ValueTypeTests(SynchronousTestCase):
    """
    A value's text, read.
    """

    def test_substituted(self) -> None:
        """
        Variables come first; a name is taken as it is, dollars and all.
        """
        for value_type, text, expected in (
            (of.DURATION, "${A}", 1.0),
            (of.words("reasoning", "none"), "${WORD}", None),
            (of.PATH, "~/x", "/h/x"),
            (of.COMMAND, "x ${port}", Command(words=("x", "${port}"))),
            (of.VARIABLES, "B=${A}", (("B", "1 s"),)),
            (of.NAMES, "a$, ${b}", ("a$", "${b}")),
            (of.KEY, "file:k", ("/etc/k", None)),
        ):
            with self.subTest(text):
                self.assertEqual(value_type.reading(EXPANDER, text), expected)

    def test_units(self) -> None:
        """
        Seconds and bytes are said in the names of fields; words list themselves.
        """
        self.assertEqual(
            (of.DURATION.unit, of.SIZE.unit, of.COUNT.unit), ("s", "bytes", "")
        )
        self.assertEqual(of.words("a", "b", "c").said, "a, b or c")
