"""
What `swapgate.words` promises: substitution, paths, commands, variables.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Command, Expander, substitute
from swapgate.config.ini import BadValue

AROUND = Expander(
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

    def test_settle(self) -> None:
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
                self.assertEqual(AROUND.settle(text), expected)

    def test_settled(self) -> None:
        """
        A reading sees what was substituted.
        """
        self.assertEqual(AROUND.settled(len)("${NAME}"), len("two words"))

    def test_mistakes(self) -> None:
        """
        A dollar that means nothing, and names that nobody knows.
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
                error = self.assertRaises(BadValue, AROUND.settle, text)
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
                self.assertEqual(AROUND.path(text), expected)

    def test_mistakes(self) -> None:
        """
        Other people's homes, a home that is not known, a path of two lines.
        """
        nobody = Expander(folder="/", python="", environ={})
        for around, text, expected in (
            (AROUND, "~you/x", "'~you/x' is another user's home; write the whole path"),
            (AROUND, "a\nb", "'a\\nb' is not one path; write it in one line"),
            (
                nobody,
                "~/x",
                (
                    "${HOME} is not set in the environment; "
                    "set it, or write $$ for a dollar"
                ),
            ),
        ):
            with self.subTest(text):
                error = self.assertRaises(BadValue, around.path, text)
                self.assertEqual(str(error), expected)


class CommandTests(SynchronousTestCase):
    """
    Commands are split first and substituted then.
    """

    def test_argv(self) -> None:
        """
        What is substituted stays one word; the port is put in at the launch.
        """
        command = AROUND.command(
            "${python} -m x 'a b' \"c\"\\ d\n --dir ${dir} --port=${port} "
            "~/m ~x a~ ${PRICE} $${port} # ${EMPTY}",
            None,
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
        command = AROUND.command("x ${port}", 7)
        self.assertEqual(command, Command(words=("x", "7")))
        self.assertEqual(command.argv(8), ("x", "7"))
        self.assertFalse(command.tells_port)

    def test_program(self) -> None:
        """
        A program that is a path is seen from the config's folder, a name from PATH.
        """
        dollars = Expander(folder="/$${x}", python="", environ={})
        for around, text, expected in (
            (AROUND, "llama", "llama"),
            (AROUND, "./llama x/y", "/my etc/llama"),
            (AROUND, "~/llama", "/home/me/llama"),
            (dollars, "bin/llama", "/$${x}/bin/llama"),
        ):
            with self.subTest(text):
                self.assertEqual(around.command(text, None).argv(1)[0], expected)

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
                error = self.assertRaises(BadValue, AROUND.command, text, None)
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
            AROUND.variables(
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
                error = self.assertRaises(BadValue, AROUND.variables, text)
                self.assertEqual(str(error), expected)
