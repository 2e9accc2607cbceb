"""
Patterns: what may be searched for in a header, and how long that takes.
"""

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from swapgate.config.ini import BadValue
from swapgate.config.patterns import (
    LENGTH,
    SEARCHED,
    header_name,
    is_found,
    searched_pattern,
)
from tests.config.test_values import Mistaken


class HeaderTests(Mistaken):
    """
    `header`.
    """

    def test_header(self) -> None:
        """
        A token, as it is written.
        """
        for text in ("User-Agent", "sec-ch-ua", "X_1.2!"):
            self.assertEqual(header_name(text), text)
        for text in ("User Agent", "User-Agent:", "a, b", "ü", 'a"', "(a)", "a\nb"):
            self.assertEqual(
                self.wrong(header_name, text),
                f"{text!r} is no header's name; write one like User-Agent",
            )


class PatternTests(Mistaken):
    """
    `match`.
    """

    def test_right(self) -> None:
        """
        Searched for anywhere, letter by letter unless it says otherwise.
        """
        for text, value in (
            ('"Brave"', '"Chromium";v="1", "Brave";v="1"'),
            (r"Version/[0-9.]+ Safari/", "Mozilla/5.0 Version/17.5 Safari/605"),
            ("(?i)safari", "SAFARI"),
            ("^(?:Zed|Cursor)/", "Zed/1"),
            (r"llama\.vim$", "x llama.vim"),
            (r"a\*\+\{\(\?\[b", "a*+{(?[b"),
            (r"[]*+{(?|]x[^]*+]x[\]*+]x", "+x(x]x"),
            ("a(b)?c", "ac"),
            ("colou?r|gray|grey", "gray"),
            ("a{2}b", "aab"),
            ("", "anything"),
        ):
            with self.subTest(text):
                self.assertTrue(is_found(searched_pattern(text), value))
        for text, value in (("safari", "Safari"), ("^a", "ba"), ("a$", "ab")):
            self.assertFalse(is_found(searched_pattern(text), value))

    def test_wrong(self) -> None:
        """
        What is none, and what is more than is needed.
        """
        for text in ("[", "(a", "a)", "*a", "a**", "\\", "a{9999999999}", "(?z)a"):
            with self.subTest(text):
                said = self.wrong(searched_pattern, text)
                self.assertIn(f"{text!r} is no regular expression (", said)
        for text in (
            *("(?=a)", "(?!a)", "(?<=a)b", "(?P<n>a)", "(?s).", "(?:(?=a))", "(?#x)a"),
            *(r"(a)\1", r"(?i)(a)x\1"),
        ):
            with self.subTest(text):
                said = self.wrong(searched_pattern, text)
                self.assertIn("has more than groups; write (...) or (?:...)", said)
        self.assertEqual(
            self.wrong(searched_pattern, "a" * (LENGTH + 1)),
            "has 129 characters; write 128 at most, and a further section for what "
            "else it shall match",
        )

    def test_one_line(self) -> None:
        """
        No value of a header has two.
        """
        for text in ("a\nb", "\\\n", "[a\n]"):
            self.assertEqual(
                self.wrong(searched_pattern, text),
                "has two lines; write a section for each pattern",
            )

    def test_what_could_take_too_long(self) -> None:
        """
        Repeated groups, two repetitions, or many choices.
        """
        for text in (
            *("(a+)+$", "(a|a)*", "(?:ab)+", "(a){9}", "(a?){9}b", "([)])*"),
            *(".*.*", "a+b*", "a{1,9}b+", ".*?a+", "a?b*c?d?", "a|b|c.*d|e", "a++"),
            *("a?" * 11, "|".join("abcdefghijkl")),
        ):
            with self.subTest(text):
                said = self.wrong(searched_pattern, text)
                self.assertIn(f"{text!r} could take too long; repeat no group", said)
        for text in ("a?b*c?", "a|b|c.*", "a?" * 10, "|".join("abcdefghijk"), "(a)?b+"):
            searched_pattern(text)

    def test_only_the_beginning_is_searched(self) -> None:
        """
        A value may be as long as a head may be.
        """
        pattern = searched_pattern("b$")
        self.assertTrue(is_found(pattern, "a" * (SEARCHED - 1) + "b"))
        self.assertFalse(is_found(pattern, "a" * SEARCHED + "b"))

    def test_how_long_it_takes(self) -> None:
        """
        The worst that is known takes 0.1 s on one core of 2020; twenty times that is
        for a busy machine. One step further each would take seconds, or years.
        """
        for start, letter in ((".*a?a?", "a"), ("(?i).*(?:a|a)(?:a|a)", r"\w")):
            rest = (LENGTH - len(start) - 1) // len(letter)
            pattern = searched_pattern(start + letter * rest + "!")
            began = time.process_time()
            self.assertFalse(is_found(pattern, "a" * 16384))
            self.assertLess(time.process_time() - began, 2)
        pattern = searched_pattern("(?:a|a)" * 10 + "a" * 57 + "!")
        began = time.process_time()
        self.assertFalse(is_found(pattern, "a" * 16384))
        self.assertLess(time.process_time() - began, 2)

    @settings(deadline=None)
    @given(st.text("a(?:|)*+{2}[]^\\1.$i", max_size=24))
    def test_any(self, text: str) -> None:
        """
        A pattern, or a mistake; and never one group that is repeated.
        """
        try:
            pattern = searched_pattern(text)
        except BadValue:
            return
        self.assertEqual(pattern, re.compile(text))
        began = time.process_time()
        is_found(pattern, "a" * SEARCHED)
        self.assertLess(time.process_time() - began, 2)
