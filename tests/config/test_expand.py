"""
Expander: substitution, paths, commands, variables.
"""

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Command, Expander, substitute
from swapgate.config.ini import BadValue

EXPANDER = Expander(
    folder="/my etc",
    python="/bin/python3",
    environ={
        "HOME": "/home/me",
        "NAME": "two words",
        "PRICE": "5$ ${port} ~",
        "EMPTY": "",
        "dir": "not this one",
    },
)


class SubstitutionTests(SynchronousTestCase):
    """
    ${...} and $$.
    """

    def test_expand(self) -> None:
        """
        Our own names, the environment, dollars; what is put in is not read again.
        """
        for text, expected in {
            "plain ~": "plain ~",
            "${dir}/x ${python}": "/my etc/x /bin/python3",
            "${NAME}${EMPTY}.": "two words.",
            "$$ $${NAME} $$$$": "$ ${NAME} $$",
            "$$${NAME}": "$two words",
            "${PRICE}": "5$ ${port} ~",
        }.items():
            with self.subTest(text):
                self.assertEqual(EXPANDER.expand(text), expected)

    def test_mistakes(self) -> None:
        """
        A dollar that means nothing, and names that are not set.
        """
        alone = "a $ stands alone; write ${NAME}, or $$ for a dollar"
        unset = " is not set in the environment; set it, or write $$ for a dollar"
        for text, expected in {
            "5 $": alone,
            "$NAME": alone,
            "${NAME": alone,
            "$$$": alone,
            "${}": "${}" + unset,
            "${OTHER}": "${OTHER}" + unset,
            "${NAME:-x}": "${NAME:-x}" + unset,
            "${port}": "${port} is known to command only; write the number",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(BadValue, EXPANDER.expand, text)
                self.assertEqual(str(error), expected)

    @settings(max_examples=50, deadline=None)
    @given(st.text())
    def test_doubled_dollars(self, text: str) -> None:
        """
        Any text can be said by doubling its dollars.
        """
        doubled = text.replace("$", "$$")
        self.assertEqual(substitute(doubled, "never called with {}".format), text)


class PathTests(SynchronousTestCase):
    """
    Paths are seen from the config's folder.
    """

    def test_paths(self) -> None:
        """
        Relative, absolute, at home.
        """
        for text, expected in {
            "x.plist": "/my etc/x.plist",
            "./a//b": "/my etc/a/b",
            "../x": "/my etc/../x",
            "/abs": "/abs",
            "~": "/home/me",
            "~/a b": "/home/me/a b",
            "${dir}/x": "/my etc/x",
            "${NAME}": "/my etc/two words",
            "a~/$$": "/my etc/a~/$",
        }.items():
            with self.subTest(text):
                self.assertEqual(EXPANDER.path(text), expected)

    def test_mistakes(self) -> None:
        """
        Other people's homes, a home that is not known, a path of two lines.
        """
        homeless = Expander(folder="/", python="", environ={})
        for expander, text, expected in (
            (
                EXPANDER,
                "~you/x",
                "'~you/x' is another user's home; write the whole path",
            ),
            (EXPANDER, "a\nb", "'a\\nb' is not one path; write it in one line"),
            (
                homeless,
                "~/x",
                (
                    "${HOME} is not set in the environment; "
                    "set it, or write $$ for a dollar"
                ),
            ),
        ):
            with self.subTest(text):
                error = self.assertRaises(BadValue, expander.path, text)
                self.assertEqual(str(error), expected)


class CommandTests(SynchronousTestCase):
    """
    Commands are split first and substituted then.
    """

    def test_argv(self) -> None:
        """
        What is substituted stays one word; the port is put in at the launch.
        """
        command = EXPANDER.command(
            "${python} -m x 'a b' \"c\"\\ d\n --dir ${dir} --port=${port} "
            "~/m ~x a~ ${PRICE} $${port} # ${EMPTY}"
        )
        self.assertEqual(
            command.argv(8081),
            (
                *("/bin/python3", "-m", "x", "a b", "c d", "--dir", "/my etc"),
                *("--port=8081", "/home/me/m", "~x", "a~", "5$ ${port} ~"),
                *("${port}", "#", ""),
            ),
        )
        self.assertTrue(command.tells_port)

    def test_known_port(self) -> None:
        """
        A port that is known when the file is read is the one, whatever is launched.
        """
        command = evolve(EXPANDER, port=7).command("x ${port}")
        self.assertEqual(command, Command(words=("x", "7")))
        self.assertEqual(command.argv(8), ("x", "7"))
        self.assertFalse(command.tells_port)

    def test_program(self) -> None:
        """
        A program that is a path is seen from the config's folder, a name from PATH.
        """
        dollars = Expander(folder="/$${x}", python="", environ={})
        for expander, text, expected in (
            (EXPANDER, "llama", "llama"),
            (EXPANDER, "./llama x/y", "/my etc/llama"),
            (EXPANDER, "~/llama", "/home/me/llama"),
            (dollars, "bin/llama", "/$${x}/bin/llama"),
        ):
            with self.subTest(text):
                self.assertEqual(expander.command(text).argv(1)[0], expected)

    def test_mistakes(self) -> None:
        """
        Nothing to run, open quotes, unknown names.
        """
        nothing = "names no program; write a program and its arguments"
        for text, expected in {
            "\n": nothing,
            "''": nothing,
            "${EMPTY} x": nothing,
            "x 'y": "no closing quotation; close each quote, or escape it with \\",
            "x \\": "no escaped character; close each quote, or escape it with \\",
            "x ${NO}": (
                "${NO} is not set in the environment; set it, or write $$ for a dollar"
            ),
            "x $": "a $ stands alone; write ${NAME}, or $$ for a dollar",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(BadValue, EXPANDER.command, text)
                self.assertEqual(str(error), expected)


class VariablesTests(SynchronousTestCase):
    """
    What a child sees beyond the usual.
    """

    def test_variables(self) -> None:
        """
        Names are passed on where they are set; values are split, then substituted.
        """
        self.assertEqual(
            EXPANDER.variables(
                "NAME, UNSET, A=1\nB=2,C=${dir},\n D='0,1', E=~/e, F=, G=a=b $$"
            ),
            (
                ("NAME", "two words"),
                ("A", "1"),
                ("B", "2"),
                ("C", "/my etc"),
                ("D", "0,1"),
                ("E", "/home/me/e"),
                ("F", ""),
                ("G", "a=b $"),
            ),
        )

    def test_mistakes(self) -> None:
        """
        What is no name, or there twice.
        """
        right = "; write NAME or NAME=value, and quotes around a value with a comma"
        for text, expected in {
            "A=0,1": "'1' is no variable's name" + right,
            "B = 2": "'B ' is no variable's name" + right,
            "LC_*": "'LC_*' is no variable's name" + right,
            "=x": "'' is no variable's name" + right,
            "A, ,B": "'' is no variable's name" + right,
            "A=1, A": "A stands here twice; keep one of the two",
            "A='": "no closing quotation; close each quote, or escape it with \\",
            "A=${NO}": (
                "${NO} is not set in the environment; set it, or write $$ for a dollar"
            ),
            "A=${port}": "${port} is known to command only; write the number",
        }.items():
            with self.subTest(text):
                error = self.assertRaises(BadValue, EXPANDER.variables, text)
                self.assertEqual(str(error), expected)
