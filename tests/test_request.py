"""
What is kept of a request.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.body import BadJSON
from swapgate.web.request import Body, Memory


class BodyTests(SynchronousTestCase):
    """
    A body while it comes.
    """

    def test_bytes_as_they_came(self) -> None:
        """
        However small the pieces are that it comes in, few are kept.
        """
        body = Body(Memory())
        text = b'{"model": "a", "x": "%s"}' % (b"y" * 300_000)
        for start in range(0, len(text), 1000):
            body.add(text[start : start + 1000])
        self.assertEqual(body.wish().model, "a")
        self.assertEqual(b"".join(body.pieces()), text)
        self.assertEqual(body.length, len(text))
        self.assertLess(len(body.pieces()), 6)

    def test_a_fault(self) -> None:
        """
        What cannot be read is counted, and kept no longer.
        """
        body = Body(Memory())
        for piece in (b'{"model": "a"', b" nonsense", b" and more" * 500, b"more"):
            body.add(piece)
        self.assertEqual((body.length, list(body.pieces())), (4526, []))
        for _ in range(2):
            self.assertRaises(BadJSON, body.wish)

    def test_a_fault_at_the_end(self) -> None:
        """
        What is too little to be read by the way is read in the end.
        """
        body = Body(Memory())
        body.add(b'{"model": "a"')
        body.add(b" nonsense")
        for _ in range(2):
            self.assertRaises(BadJSON, body.wish)

    def test_what_it_takes(self) -> None:
        """
        Its bytes, something for its request, and the keys of what is open, until it is
        dropped; what comes later is not kept.
        """
        memory = Memory()
        body, other = Body(memory), Body(memory)
        self.assertEqual(memory.taken, 0)
        body.add(b'{"model": "a", "x": {')
        least = memory.taken
        self.assertGreater(least, 21)
        keys = b",".join(b'"%d": 0' % n for n in range(10_000))
        body.add(keys)
        # The interpreter needs more than 100 bytes for a key.
        self.assertGreater(memory.taken - least, len(keys) + 100 * 10_000)
        body.add(b"}}")
        body.wish()
        other.add(b"{}")
        self.assertLess(memory.taken - 2 * least, len(keys) + 1000)
        other.drop()
        for _ in range(2):
            body.drop()
            self.assertEqual((memory.taken, list(body.pieces())), (0, []))
            body.add(b"more")

    def test_a_fault_takes_little(self) -> None:
        """
        What cannot be read is not kept, and does not count.
        """
        memory = Memory()
        body = Body(memory)
        body.add(b"nonsense" * 10_000)
        self.assertLess(memory.taken, 20_000)
