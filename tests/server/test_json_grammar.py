"""
What the patterns match, and what a word means.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.server import json_grammar as grammar
from swapgate.server.json_grammar import (
    inside,
    past,
    quoted,
    unescaped,
    whole_values,
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


class ItemRunTests(SynchronousTestCase):
    """
    How far a run of small items goes.
    """

    def test_items(self) -> None:
        """
        After the last comma before something larger, cut off or at fault.
        """
        for levels, run in enumerate(
            ('1, "a" ,null, ', '1,[] ,[1 , "a"],{},{"a":1}, ')
        ):
            for rest in ("", "12", "[[1]],", '{"a":1,"b":2},', '"a', "1e999,", "01,"):
                match = grammar.ITEM_RUN[levels].match(run + rest)
                self.assertEqual(match and match[0], run)
        self.assertIsNone(grammar.ITEM_RUN[0].match("[],"))

    def test_no_run(self) -> None:
        """
        What is no JSON is in no run.
        """
        for text in ("[1,],", "[,],", '{"a"},', '{"a":1,},', "NaN,", "+1,", '"\n",'):
            self.assertIsNone(grammar.ITEM_RUN[1].match(text))


class WholeTests(SynchronousTestCase):
    """
    What is read in C.
    """

    def test_values(self) -> None:
        """
        One, or as many as are here whole; without the last comma.
        """
        text = '{"a": [1, "b"]} , "c",true,2 ,[3'
        first = {"a": [0.0, "b"]}
        for many, values, end in (
            (False, [first], 15),
            (True, [first, "c", True, 0.0], 28),
        ):
            found = whole_values(text, 0, 128, many=many)
            self.assertEqual(found, (values, end))
        # A number may go on, a string does not.
        self.assertEqual(whole_values("[],1", 0, 1, many=True), ([[]], 2))
        self.assertEqual(whole_values('[],"" ', 0, 1, many=True), ([[], ""], 5))

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
            self.assertIsNone(whole_values(text, 0, 2, many=False), text[:40])
            self.assertIsNone(whole_values(text, 0, 2, many=True), text[:40])
        self.assertIsNone(whole_values("[],[[[]]]", 0, 2, many=True))

    def test_no_fault(self) -> None:
        """
        What only looks like one.
        """
        for text in (
            *('"\\ud83d\\ude00"', r'"\\ud83d"', '["[[[", "{{{"]', "[[],[],[]]"),
            *('[{"a":1},{"a":1}]', '{"a":{"a":1}}', "[" + "1" * 300 + "]"),
        ):
            found = whole_values(text, 0, 2, many=False)
            self.assertEqual(found and found[1], len(text), text)

    @given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join))
    def test_inside(self, text: str) -> None:
        """
        C goes as far as the pattern, which is strict; in a long string, too.
        """
        for inner in (text, "y" * 200 + text, text * 99):
            end = past(grammar.INSIDE, inner, 0)
            for at in (0, 1):
                self.assertEqual(inside("x" * at + inner, at), at + end)


class WordTests(SynchronousTestCase):
    """
    Escapes, words and how they are shown.
    """

    def test_past(self) -> None:
        """
        Behind the match, or where one was when nothing matches.
        """
        self.assertEqual(past(grammar.SPACE, "a \t\r\nb", 1), 5)
        self.assertEqual(past(grammar.KEY, "ab", 1), 1)

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
        whole = r"\uD83d\uDe00"
        for n in range(1, len(whole)):
            self.assertTrue(grammar.HALF_ESCAPE.fullmatch(whole[:n]), whole[:n])
        for text in (r"\x", r"\uq", r"\u0041", r"\ude00", r"\ud83dx", r"\ud83d\n", ""):
            self.assertIsNone(grammar.HALF_ESCAPE.fullmatch(text), text)
