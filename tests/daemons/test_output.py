"""
Output: pieces as a pipe brings them, and the lines that are kept.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.daemons.output import BYTES, LINE_LENGTH, LINES, Output


class OutputTests(SynchronousTestCase):
    """
    One daemon's.
    """

    def setUp(self) -> None:
        self.now_s = 5.0
        self.output = Output(lambda: self.now_s)

    def texts(self, after: int = 0) -> list[str]:
        return [line.text for line in self.output.after(after)]

    def test_pieces(self) -> None:
        """
        A line is one when its end has come, also in the middle of a character.
        """
        for piece in (b"load", b"ing\r\nit is gr\xc3", b"\xbc", b"n\n\nby"):
            self.output.add(piece)
        self.assertEqual(self.texts(), ["loading", "it is grün", ""])
        self.output.add(b"e\n")
        self.assertEqual(self.texts(3), ["bye"])
        [line] = self.output.after(3)
        self.assertEqual((line.number, line.at_s), (4, 5.0))

    def test_what_a_terminal_would_obey(self) -> None:
        self.output.add(b"\x1b[31mred\x07 \xff\ttab\n")
        self.assertEqual(self.texts(), [" [31mred  \N{REPLACEMENT CHARACTER} tab"])

    def test_lives(self) -> None:
        """
        One follows the other; what one began to write at its end is there.
        """
        self.output.say("started, process 7")
        self.output.add(b"out of mem")
        self.output.end_life("exited with status 1")
        self.output.say("started, process 8")
        self.output.end_life("exited with status 0")
        self.assertEqual(
            self.texts(),
            [
                "[swapgate] started, process 7",
                "out of mem",
                "[swapgate] exited with status 1",
                "[swapgate] started, process 8",
                "[swapgate] exited with status 0",
            ],
        )

    def test_bounds(self) -> None:
        """
        So many lines, so much of each, and of all; numbers go on.
        """
        for n in range(LINES + 7):
            self.output.add(b"%d\n" % n)
        kept = self.output.after(0)
        self.assertEqual((len(kept), kept[0].number, kept[0].text), (LINES, 8, "7"))
        self.output.add(b"x" * 5000 + b"\n")
        self.assertEqual(len(self.texts()[-1]), LINE_LENGTH)
        for _ in range(100):
            self.output.add(b"y" * 5000 + b"\n")
        self.assertLessEqual(sum(map(len, self.texts())), BYTES)
        self.assertGreater(len(self.texts()), BYTES // LINE_LENGTH - 1)

    def test_an_endless_line(self) -> None:
        """
        Is no more kept than many.
        """
        for _ in range(1000):
            self.output.add(b"." * 1000)
        self.assertLessEqual(sum(map(len, self.texts())), BYTES)

    def test_watched(self) -> None:
        """
        Once for what comes together; never when it is over.
        """
        told: list[int] = []
        unwatch = self.output.watch(lambda: told.append(len(self.output.after(0))))
        self.output.add(b"a")
        self.assertEqual(told, [])
        self.output.add(b"\nb\nc\n")
        self.output.say("d")
        self.assertEqual(told, [3, 4])
        unwatch()
        self.output.add(b"e\n")
        self.assertEqual(told, [3, 4])
