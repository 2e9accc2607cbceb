"""
What is kept of a request.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.body import BadJSON
from swapgate.web.request import Body


class BodyTests(SynchronousTestCase):
    """
    A body while it comes.
    """

    def test_bytes_as_they_came(self) -> None:
        """
        However small the pieces are that it comes in, few are kept.
        """
        body = Body()
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
        body = Body()
        for piece in (b'{"model": "a"', b" nonsense", b" and more" * 500, b"more"):
            body.add(piece)
        self.assertEqual((body.length, list(body.pieces())), (4526, []))
        for _ in range(2):
            self.assertRaises(BadJSON, body.wish)

    def test_a_fault_at_the_end(self) -> None:
        """
        What is too little to be read by the way is read in the end.
        """
        body = Body()
        body.add(b'{"model": "a"')
        body.add(b" nonsense")
        for _ in range(2):
            self.assertRaises(BadJSON, body.wish)
