"""
What the patterns match, and what a word means.
"""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.server import json_grammar as grammar
from swapgate.server.json_grammar import (
    inside,
    past,
    quoted,
    unescaped,
    whole_value,
    word_fault,
)

# What strings are made of, and what ends or breaks them.
PARTS = (
    *(
        "a",
        "\u00e9",
        "\U0001f600",
        '"',
        "\n",
        "\\",
        "\\\\",
        r"\n",
        r"\"",
        r"\x",
        "u",
        "d8",
    ),
    *(r"\u", r"\u00e9", r"\ud83d", r"\ude00", r"\uDBFF\uDfff", r"\ud7ff", r"\ue000"),
    "plain " * 30,
)


class WholeTests(SynchronousTestCase):
    """
    What is read in C.
    """

    def test_values(self) -> None:
        """
        The value, and where it ends.
        """
        text = '{"a": [1, "b"]} , "c"'
        self.assertEqual(whole_value(text, 128), ({"a": [0.0, "b"]}, 15))
        self.assertEqual(whole_value('"a\\u00e9b" 1', 0), ("a\u00e9b", 10))

    def test_none(self) -> None:
        """
        What is cut off, too deep or at fault.
        """
        for text in (
            *('"a', "[1", "[1}]", '{"a":1', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}'),
            *(
                "[NaN]",
                "[-Infinity]",
                "[1e999]",
                "[" + "1" * 1001 + "]",
                "[01]",
                "[1,]",
            ),
            *('"\x1f"', '"\\x"', '"\\ud83d"', '["\\ude00"]', '{"\\ud83d":1}'),
            *('"\\ud83d\\\\\\ude00"', '"\\ud83d\\ud83d\\ude00"'),
            *('[[["a"]]]', '[{"a":[]}]', "[" * 5000 + "]" * 5000),
        ):
            self.assertIsNone(whole_value(text, 2), text[:40])

    def test_no_fault(self) -> None:
        """
        What only looks like one.
        """
        for text in (
            *('"\\ud83d\\ude00"', r'"\\ud83d"', '["[[[", "{{{"]', "[[],[],[]]"),
            *('[{"a":1},{"a":1}]', '{"a":{"a":1}}', "[" + "1" * 300 + "]"),
        ):
            found = whole_value(text, 2)
            self.assertEqual(found and found[1], len(text), text)

    @given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join))
    @example("\u00e9" + r"\uDBFF\uDfff" + "a")
    def test_inside(self, text: str) -> None:
        """
        C goes as far as the pattern, which is strict; in a long string, and up to a
        limit, too.
        """
        for whole in (text, "y" * 200 + text, text * 99):
            inner = whole.encode()
            for at, limit in ((0, len(inner)), (0, len(inner) // 2), (1, len(inner))):
                end = past(grammar.INSIDE, inner, at, limit)
                self.assertEqual(inside(inner, at, limit), end)


class WordTests(SynchronousTestCase):
    """
    Escapes, words and how they are shown.
    """

    def test_past(self) -> None:
        """
        Behind the match, which may be empty, and not past a limit.
        """
        self.assertEqual(past(grammar.SPACE, b"a \t\r\nb", 1), 5)
        self.assertEqual(past(grammar.SPACE, b"a \t\r\nb", 0), 0)
        self.assertEqual(past(grammar.SPACE, b"a \t\r\nb", 1, 3), 3)

    def test_unescaped(self) -> None:
        """
        What the inside of a string stands for.
        """
        self.assertEqual(unescaped("plain"), "plain")
        self.assertEqual(unescaped(r"\ud83d\ude00\n\u0041\/"), "\U0001f600\nA/")

    def test_quoted(self) -> None:
        """
        Escaped and shortened.
        """
        self.assertEqual(quoted("x" * 40), '"' + "x" * 40 + '"')
        self.assertEqual(quoted('"' * 41), '"' + '\\"' * 40 + '"...')
        self.assertEqual(quoted("\x1b\u65e5"), r'"\u001b\u65e5"')

    def test_words(self) -> None:
        """
        Each word is a value, or has its fault.
        """
        for word in ("true", "false", "null", "0", "-1.5e+3", "9" * 308):
            self.assertIsNone(word_fault(word))
        for word, fault in {
            "": "a value must come here",
            "tru": "a value must come here",
            "1e": "a value must come here",
            "NaN": "NaN is not JSON",
            "1" * 1001: "1000 characters at most",
            "-1e309": "must fit into a double",
        }.items():
            self.assertIn(fault, word_fault(word) or "")

    def test_half_escapes(self) -> None:
        """
        What may still become an escape, at every length, and what may not.
        """
        whole = rb"\uD83d\uDe00"
        for n in range(1, len(whole)):
            self.assertTrue(grammar.HALF_ESCAPE.fullmatch(whole[:n]), whole[:n])
        for text in (
            rb"\x",
            rb"\uq",
            rb"\u0041",
            rb"\ude00",
            rb"\ud83dx",
            rb"\ud83d\n",
            b"",
        ):
            self.assertIsNone(grammar.HALF_ESCAPE.fullmatch(text), text)
