"""
What the patterns match, and what a word means.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.server import json_grammar as grammar
from swapgate.server.json_grammar import past, quoted, unescaped, word_fault


class RunTests(SynchronousTestCase):
    """
    How far a run goes, and how it ended.
    """

    def check(self, run: str, rest: str, *, members: bool, comma: bool) -> None:
        patterns = grammar.MEMBER_RUN if members else grammar.ITEM_RUN
        match = patterns[-1].match(run + rest)
        self.assertIsNotNone(match)
        assert match is not None
        self.assertEqual(match[0], run)
        self.assertEqual(match["comma"] != "", comma)

    def test_items(self) -> None:
        """
        Up to the closer, or after the last comma before something larger.
        """
        self.check('1, "a" ,[[1]], {"a":1},null', "]", members=False, comma=False)
        for rest in ("", "12", "[[[1]]],", '{"a":1,"b":2},', '"a', "1e999,", "01,"):
            self.check("[1,[]],true , ", rest, members=False, comma=True)

    def test_members(self) -> None:
        """
        The same for members.
        """
        self.check('"a":1,"b" : [{"c":2}] ', "}", members=True, comma=False)
        for rest in ("", '"b"', '"b":1', '"b":[[[1]]],', '"b":1]', '"\\ud800":1,'):
            self.check('"a":1, ', rest, members=True, comma=True)

    def test_levels(self) -> None:
        """
        Each pattern takes as many levels as its index says.
        """
        for levels, (items, members) in enumerate(
            zip(grammar.ITEM_RUN, grammar.MEMBER_RUN, strict=True)
        ):
            for opens, closes in (("[", "]"), ('{"a":', "}")):
                fits = opens * levels + "1" + closes * levels
                deeper = opens + fits + closes
                self.assertTrue(items.match(fits + ","))
                self.assertFalse(items.match(deeper + ","))
                self.assertTrue(members.match(f'"k":{fits},'))
                self.assertFalse(members.match(f'"k":{deeper},'))

    def test_no_run(self) -> None:
        """
        What is no JSON is in no run.
        """
        for text in ("[1,],", "[,],", '{"a"},', '{"a":1,},', "NaN,", "+1,", '"\n",'):
            self.assertIsNone(grammar.ITEM_RUN[-1].match(text))


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
