"""
INI parser: sections, options, and the lines they stand on.
"""

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.ini import BadValue, ConfigError, Section, nearest, read_sections

SAMPLE = """\
# a comment

[one]
plain = 1
listed =
    a = b

    # inside a value
    c
  indented = 2
after=3

[two words]
  deep = x
    y
"""


class SectionsTests(SynchronousTestCase):
    """
    Text in, sections with places out.
    """

    def test_values_and_lines(self) -> None:
        """
        Every header and option knows its line, through comments and long values.
        """
        one, two = read_sections(SAMPLE, "/c")
        self.assertEqual((one.name, one.line), ("one", 3))
        self.assertEqual(
            one.options,
            {"plain": "1", "listed": "\na = b\n\nc\nindented = 2", "after": "3"},
        )
        self.assertEqual(one.lines, {"plain": 4, "listed": 5, "after": 11})
        self.assertEqual((two.name, two.line), ("two words", 13))
        self.assertEqual(two.options, {"deep": "x\ny"})
        self.assertEqual(two.lines, {"deep": 14})

    def test_mark_and_line_ends_of_windows(self) -> None:
        """
        A byte order mark and CRLF change nothing.
        """
        expected = read_sections(SAMPLE, "/c")
        windows = "\ufeff" + SAMPLE.replace("\n", "\r\n")
        self.assertEqual(read_sections(windows, "/c"), expected)

    def test_values_are_kept_as_they_are(self) -> None:
        """
        No interpolation, no inline comments, no change of case; only = divides.
        """
        text = "[s]\nKey = %(x)s ${y} # z ; w = 1\na:b = tcp:1\n"
        (section,) = read_sections(text, "/c")
        self.assertEqual(
            section.options, {"Key": "%(x)s ${y} # z ; w = 1", "a:b": "tcp:1"}
        )

    def test_nothing(self) -> None:
        """
        A text without sections has none.
        """
        self.assertEqual(read_sections("\n# nothing here\n", "/c"), ())

    def test_mistakes(self) -> None:
        """
        What is no INI file is told in one line, with its place.
        """
        for text, expected in (
            (
                "[s]\na = 1\n[t]\n[s]\n",
                "/c:4: [s] stands here for the second time; make one section of both",
            ),
            (
                "[s]\na = 1\n\na = 2\n",
                (
                    "/c:4: [s] a: stands in this section for the second time; "
                    "keep one of the two"
                ),
            ),
            (
                "\na = 1\n[s]\n",
                (
                    "/c:2: 'a = 1' stands before any section; "
                    "begin with [swapgate] or [model NAME]"
                ),
            ),
            (
                "[s]\na = 1\nlisten: x\nb\n",
                (
                    "/c:3: 'listen: x' is no section, option or comment; "
                    "write [section], option = value or # comment"
                ),
            ),
            (
                "[s] # why\n",
                (
                    "/c:1: '[s] # why' stands before any section; "
                    "begin with [swapgate] or [model NAME]"
                ),
            ),
            (
                "[s]\n[t] x\n",
                (
                    "/c:2: '[t] x' is no section, option or comment; "
                    "write [section], option = value or # comment"
                ),
            ),
            (
                "[s]\n[]\n",
                (
                    "/c:2: '[]' is no section, option or comment; "
                    "write [section], option = value or # comment"
                ),
            ),
            (
                "[s]\n= 1\n",
                (
                    "/c:2: '= 1' is no section, option or comment; "
                    "write [section], option = value or # comment"
                ),
            ),
            (
                "[s]\na = 1\x00\n",
                "/c:2: holds the control character '\\x00'; take it out",
            ),
            (
                "[s]\ra = 1\n",
                "/c:1: holds the control character '\\r'; take it out",
            ),
        ):
            with self.subTest(text):
                error = self.assertRaises(ConfigError, read_sections, text, "/c")
                self.assertEqual(str(error), expected)

    @settings(max_examples=200, deadline=None)
    @example("[a]\n = 1\n  b = 2\n c = 3\n")
    @example("[a]\n  b = 2\n c = 3\n   d\n\n   e = 4\n")
    @given(
        st.lists(
            st.builds(
                str.__add__,
                st.sampled_from(["", " ", "   ", "\t"]),
                st.sampled_from(["[a]", "[b c]", "x = 1", "y=", "z", "# x = 1", ""]),
            ),
            max_size=10,
        ).map("\n".join)
    )
    def test_places_agree_with_the_parser(self, text: str) -> None:
        """
        Whatever the layout, each place found is where its section or option stands.
        """
        try:
            sections = read_sections(text, "/c")
        except ConfigError:
            assume(False)
        lines = [line.strip() for line in text.split("\n")]
        for section in sections:
            assert section.line is not None
            self.assertEqual(lines[section.line - 1], f"[{section.name}]")
            self.assertEqual(section.lines.keys(), section.options.keys())
            for option, line in section.lines.items():
                self.assertTrue(lines[line - 1].startswith(option))
                self.assertGreater(line, section.line)


class SectionTests(SynchronousTestCase):
    """
    One section's options, read or refused.
    """

    section = Section(
        path="/c",
        name="s",
        line=1,
        options={"a": "\n7", "empty": "", "noted": "7 # x", "long": "7\nb = 8"},
        lines={"a": 2, "empty": 3, "noted": 4, "long": 5},
    )

    def test_read(self) -> None:
        """
        What the reading makes of the text, whose ends are stripped.
        """
        self.assertEqual(self.section.read("a", str), "7")

    def test_bad_values(self) -> None:
        """
        What a reading refuses has its place, and a hint where the cause is plain.
        """

        def refuse(_: str) -> None:
            raise BadValue("is wrong; write better")

        for option, expected in (
            ("a", "/c:2: [s] a: is wrong; write better"),
            ("empty", "/c:3: [s] empty: is empty; give it a value or leave it out"),
            (
                "noted",
                (
                    "/c:4: [s] noted: is wrong; write better "
                    "(a comment needs a line of its own)"
                ),
            ),
            (
                "long",
                (
                    "/c:5: [s] long: is wrong; write better "
                    "(an indented line continues the option above it)"
                ),
            ),
        ):
            with self.subTest(option):
                error = self.assertRaises(
                    ConfigError, self.section.read, option, refuse
                )
                self.assertEqual(str(error), expected)

    def test_one_line(self) -> None:
        """
        Nothing that is quoted breaks the line of an error.
        """
        error = ConfigError("bad\n\u2028\x1b[1m", path="/c", line=3, section="a\rb")
        self.assertEqual(str(error), "/c:3: [a\\rb] bad\\n\\u2028\\x1b[1m")


class NearestTests(SynchronousTestCase):
    """
    A suggestion only where there is one to make.
    """

    def test_suggestion(self) -> None:
        """
        Case does not matter, and far words are not offered.
        """
        self.assertEqual(nearest("Listen", ["listen"]), "did you mean listen? ")
        self.assertEqual(nearest("port", ["listen"]), "")
