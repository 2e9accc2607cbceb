"""
Response head: which are accepted.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.upstream.response_head import BadUpstreamResponse, keeps_open, read_head

OK = b"HTTP/1.1 200 OK\r\n"


class HeadTests(SynchronousTestCase):
    """
    Whole ones, parts of one, and what is none.
    """

    def test_whole(self) -> None:
        """
        Status and length, whatever follows.
        """
        for status, head in (
            (200, OK + b"\r\n"),
            (200, OK + b"Content-Length: 2\r\nX:\r\nY: \xe9\t\r\n\r\n"),
            (200, OK + b"transfer-ENCODING:chunked \r\n\r\n"),
            (100, b"HTTP/1.1 100\r\n\r\n"),
            (503, b"HTTP/1.0 503 \r\n\r\n"),
            (200, OK + b"X: y\r\n" * 100 + b"\r\n"),
        ):
            for body in (b"", b"{}", b"\n\x00\r\n\r\n"):
                with self.subTest(head=head):
                    self.assertEqual(read_head(head + body), (status, len(head)))

    def test_what_follows_on_its_connection(self) -> None:
        """
        HTTP/1.1 goes on unless it says otherwise, HTTP/1.0 ends unless it does.
        """
        old = b"HTTP/1.0 200 OK\r\n"
        for keeps, head in (
            (True, OK),
            (True, OK + b"Connection: keep-alive, x\r\n"),
            (True, OK + b"X-Connection: close\r\n"),
            (False, OK + b"Connection: close\r\n"),
            (False, OK + b"CONNECTION:x , Close\r\n"),
            (False, OK + b"Connection: x\r\nConnection: close\r\n"),
            (False, old),
            (False, old + b"Connection: close\r\n"),
            (True, old + b"Connection: Keep-Alive\r\n"),
        ):
            with self.subTest(head=head):
                self.assertIs(keeps_open(head + b"\r\n"), keeps)

    def test_not_whole(self) -> None:
        """
        It may become one.
        """
        head = OK + b"Content-Length: 2\r\n\r\n"
        for end in range(len(head)):
            self.assertIsNone(read_head(head[:end]), head[:end])

    def test_nonsense(self) -> None:
        """
        What one client reads like this and another like that, or what has no end.
        """
        no_http, no_line = "it is not HTTP", "a line of its head does not end in CR LF"
        no_head, twice = "its head is not HTTP", "it says twice how long it is"
        no_length = "its Content-Length is not a number that can be meant"
        too_long = "its head is longer than 65536 bytes"
        length, chunked = b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"
        for data, why in (
            (b"hello", no_http),
            (b"HTTP/2 200\r\n", no_http),
            (b"\r\nHTTP/1.1 200 OK", no_http),
            (b"HTTP/1.1 200 OK\n\n{}", no_line),
            (OK + b"X: y\nZ: z\r\n", no_line),
            (OK + b"X: " + b"y" * 65536, too_long),
            (OK + b"X: " + b"y" * 65536 + b"\r\n\r\n", too_long),
            (OK + b"X: y\nZ: z\r\n\r\n", no_head),
            (b"HTTP/1.1 20 OK\r\n\r\n", no_head),
            (b"HTTP/1.1 999 OK\r\n\r\n", no_head),
            (b"HTTP/1.1 200 \x1b[2J\r\n\r\n", no_head),
            (OK + b"X: a\rb\r\n\r\n", no_head),
            (OK + b"X: a\x00b\r\n\r\n", no_head),
            (OK + b"X : y\r\n\r\n", no_head),
            (OK + b"X: y\r\n folded\r\n\r\n", no_head),
            (OK + b"nonsense\r\n\r\n", no_head),
            (OK + b"X: y\r\n" * 101 + b"\r\n", "it has more than 100 headers"),
            (OK + length + chunked + b"\r\n", twice),
            (OK + length * 2 + b"\r\n", twice),
            (OK + chunked * 2 + b"\r\n", twice),
            (OK + b"Content-Length: +2\r\n\r\n", no_length),
            (OK + b"Content-Length: 2, 2\r\n\r\n", no_length),
            (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", no_length),
            (
                OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
                "its Transfer-Encoding is not chunked",
            ),
        ):
            with self.subTest(data=data):
                bad_response = self.assertRaises(BadUpstreamResponse, read_head, data)
                self.assertEqual(str(bad_response), why)
