"""
Upstream connection: which reads take the fast path.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.upstream.connection import whole_chunks


class WholeChunksTests(SynchronousTestCase):
    """
    Reads of whole chunks, and others.
    """

    def test_whole(self) -> None:
        """
        Whole chunks are joined.
        """
        for data, body in (
            (b"5\r\nhello\r\n", b"hello"),
            (b"5\r\nhello\r\nB\r\n, \r\n\r\nworld\r\n", b"hello, \r\n\r\nworld"),
            (b"0005\r\nhello\r\n", b"hello"),
        ):
            self.assertEqual(whole_chunks(data), body)

    def test_not_whole(self) -> None:
        """
        All else goes through Twisted.
        """
        for data in (
            b"5\r\nhell",
            b"5\r\nhello",
            b"5\r\nhello\r",
            b"5\r\nhello\r\n5",
            b"5\r\nhello!\r\n",
            b"5;x=y\r\nhello\r\n",
            b"5\nhello\r\n",
            b"0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"000000005\r\nhello\r\n",
            b"\r\n",
        ):
            self.assertIsNone(whole_chunks(data), data)
