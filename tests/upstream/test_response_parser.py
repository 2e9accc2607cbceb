"""
Response parser: which responses are read, and how; which are refused, and why.
"""

from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from swapgate.upstream.response_parser import BadUpstreamResponse, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 2\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


class Reading(NamedTuple):
    """
    What was read of a response.
    """

    status: int
    body: bytes = b""
    is_complete: bool = True
    keeps_open: bool = True
    ends_by_close: bool = False
    why: str = ""


def read(*pieces: bytes) -> Reading:
    """
    What becomes of these pieces.
    """
    parser = ResponseParser()
    why = ""
    for piece in pieces:
        try:
            parser.feed(piece)
        except BadUpstreamResponse as bad_response:
            why = str(bad_response)
            break
    return Reading(
        parser.status,
        b"".join(parser.pieces),
        parser.is_complete,
        parser.keeps_open,
        parser.ends_by_close,
        why,
    )


def split(data: bytes) -> list[tuple[bytes, ...]]:
    """
    The data in one piece, in two in every way, and byte by byte.
    """
    halves = [(data[:at], data[at:]) for at in range(1, len(data))]
    return [(data,), *halves, tuple(bytes([byte]) for byte in data)]


class ReadingTests(SynchronousTestCase):
    """
    Good responses, in whatever pieces they come.
    """

    def test_good(self) -> None:
        """
        Status, body, where it ends, and what may follow.
        """
        old = b"HTTP/1.0 200 OK\r\n"
        two, chunks = b"Content-Length: 2\r\n", b"2\r\nok\r\n"
        whole = Reading(200, b"ok")
        for data, expected in (
            (LENGTH + b"ok", whole),
            (OK + b"content-LENGTH:  0002 \r\n\r\nok", whole),
            (OK + b"Content-Length: 0\r\n\r\n", Reading(200)),
            (LENGTH + b"o", Reading(200, b"o", is_complete=False)),
            (CHUNKED + chunks + b"0\r\n\r\n", whole),
            (CHUNKED + b"1\r\no\r\n01;x=y\r\nk\r\n0;z\r\n\r\n", whole),
            (CHUNKED + chunks + b"0\r\nX: y\r\nZ: z\r\n\r\n", whole),
            (CHUNKED + chunks, Reading(200, b"ok", is_complete=False)),
            (CHUNKED + chunks + b"0\r\n", Reading(200, b"ok", is_complete=False)),
            (OK + b"transfer-ENCODING:CHUNKED\r\n\r\n0\r\n\r\n", Reading(200)),
            (b"HTTP/1.1 204 No\r\n\r\n", Reading(204)),
            (b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", Reading(304)),
            (INTERIM + LENGTH + b"ok", whole),
            (INTERIM + b"HTTP/1.1 103 x\r\nA: b\r\n\r\n" + LENGTH + b"ok", whole),
            (
                b"HTTP/1.1 503\r\nX:\r\nY: \xe9\t\r\n" + two + b"\r\nok",
                Reading(503, b"ok"),
            ),
            (b"HTTP/1.1 503 \t\xe9\r\n" + two + b"\r\nok", Reading(503, b"ok")),
            (OK + b"X: y\r\n" * 99 + two + b"\r\nok", whole),
            (
                OK + b"\r\nok",
                Reading(
                    200,
                    b"ok",
                    is_complete=False,
                    keeps_open=False,
                    ends_by_close=True,
                ),
            ),
            *(
                (
                    head + two + b"\r\nok",
                    Reading(200, b"ok", keeps_open=keeps_open),
                )
                for keeps_open, head in (
                    (True, OK + b"Connection: keep-alive, x\r\n"),
                    (True, OK + b"X-Connection: close\r\n"),
                    (True, OK + b"Connection: closed\r\n"),
                    (False, OK + b"Connection: close\r\n"),
                    (False, OK + b"CONNECTION:x , Close\r\n"),
                    (False, OK + b"Connection: x\r\nConnection: close\r\n"),
                    (False, OK + b"Connection: close\r\nConnection: keep-alive\r\n"),
                    (False, old),
                    (False, old + b"Connection: close\r\n"),
                    (True, old + b"Connection: Keep-Alive\r\n"),
                )
            ),
        ):
            for pieces in split(data):
                self.assertEqual(read(*pieces), expected, pieces)

    def test_headers(self) -> None:
        """
        In their order, interim ones and trailers left out; those of the next response
        are its own.
        """
        parser = ResponseParser()
        head = b"X: 1\r\nSet-Cookie: a\r\nx:2 \r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(2):
            parser.begin()
            interim = b"HTTP/1.1 103 x\r\nA: b\r\n\r\n"
            parser.feed(interim + OK + head + b"0\r\nY: z\r\n\r\n")
            self.assertEqual(
                [(name, value.strip()) for name, value in parser.headers],
                [
                    (b"x", b"1"),
                    (b"set-cookie", b"a"),
                    (b"x", b"2"),
                    (b"transfer-encoding", b"chunked"),
                ],
            )
            self.assertTrue(parser.is_complete and parser.keeps_open)

    def test_more_than_the_response(self) -> None:
        """
        It is dropped, and its connection not used again.
        """
        for data in (
            LENGTH + b"ok",
            CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
            OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        ):
            for more in (b"x", b"HTTP/1.1", LENGTH + b"no", CHUNKED + b"1\r\nx\r\n"):
                self.assertEqual(
                    read(data + more), Reading(200, b"ok", keeps_open=False)
                )
        none = b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok"
        self.assertEqual(read(none), Reading(204, keeps_open=False))

    def test_no_length(self) -> None:
        """
        None is known of a body that only its chunks or the close end.
        """
        for head, length in ((LENGTH, 2), (CHUNKED, None), (OK + b"\r\n", None)):
            parser = ResponseParser()
            parser.feed(head)
            self.assertEqual(parser.length, length)

    def test_interim(self) -> None:
        """
        Sixteen may come before each response, and no more.
        """
        parser = ResponseParser()
        for _ in range(2):
            parser.begin()
            for _ in range(2):
                parser.feed(INTERIM * 8)
            parser.feed(LENGTH + b"ok")
            self.assertTrue(parser.is_complete)
        for data in ((INTERIM * 17,), (INTERIM,) * 17):
            self.assertEqual(read(*data).why, "it sent 17 heads, and no answer")


class LastTests(SynchronousTestCase):
    """
    What says that no other response follows, and what only seems to.
    """

    def test_a_trailer(self) -> None:
        chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        for data, keeps_open in (
            (chunks + b"\r\n", True),
            (chunks + b"Connection: close\r\n\r\n", False),
        ):
            for pieces in split(data):
                self.assertEqual(read(*pieces).keeps_open, keeps_open)

    def test_an_interim_response(self) -> None:
        """
        The final one follows, whatever that says of the connection.
        """
        final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        for interim in (
            b"HTTP/1.0 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n",
        ):
            for pieces in split(interim + final):
                reading = read(*pieces)
                self.assertEqual((reading.status, reading.body), (200, b"hi"))
                self.assertTrue(reading.keeps_open)


class RefusalTests(SynchronousTestCase):
    """
    What one client reads like this and another like that, or what has no end.
    """

    def check(self, data: bytes, why: str, *, at_once: bool = False) -> None:
        """
        It is refused in whatever pieces it comes, with these words in whole lines.
        """
        pieces = [(data,)] if at_once else split(data)
        for each in pieces:
            shown = read(*each).why
            self.assertIn(why, shown, each[:1000])

    def test_heads(self) -> None:
        """
        Those that llhttp refuses, and those that it does not.
        """
        line = "its status line is not HTTP"
        twice, coding = "it is not HTTP: ", "it does not say plainly how long it is"
        length, chunked = b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"
        for data, why in (
            (b"HTTP/1.2 200 OK", line),
            (b"HTTP/1.1 20 OK", line),
            (b"HTTP/1.1 2000 OK", line),
            (b"HTTP/1.1 099 OK", line),
            (b"HTTP/1.1 000 OK", line),
            (b"HTTP/1.1 600 OK", line),
            (b"HTTP/1.1 999 OK", line),
            (b"HTTP/1.1 1000 OK", line),
            (b"HTTP/1.1  200 OK", line),
            (b"HTTP/1.1\t200 OK", line),
            (b"HTTP/1.1 200\tOK", line),
            (b"HTTP/1.1 200-OK", line),
            (b"HTTP/1.1 +200 OK", line),
            (b"HTTP/1.1 200 \x1b[2J", line),
            (b"HTTP/1.1 200 a\x00b", line),
            (b"HTTP/1.1 200 a\x7fb", line),
            (b"HTTP/1.1 200 a\rb", line),
            (b"HTTP/1.1 200 OK\r", line),
            (b"HTTP/1.1 101 Switching", "it switches to another protocol"),
            (OK + b"X: a\rb", "it is not HTTP: "),
            (OK + b"X: a\r", "it is not HTTP: "),
            (OK + b"X: a\x00b", "it is not HTTP: "),
            (OK + b"X: a\x01b", "it is not HTTP: "),
            (OK + b"X: a\x7fb", "it is not HTTP: "),
            (OK + b"X : y", "it is not HTTP: "),
            (OK + b" X: y", "it is not HTTP: "),
            (OK + b": y", "it is not HTTP: "),
            (OK + b"X\xe9: y", "it is not HTTP: "),
            (OK + b"X(: y", "it is not HTTP: "),
            (OK + b"X: y\r\n folded", "it is not HTTP: "),
            (OK + b"X:\r\n\tfolded", "it is not HTTP: "),
            (OK + b"nonsense", "it is not HTTP: "),
            (OK + length + chunked[:-2], twice),
            (OK + chunked + length[:-2], twice),
            (OK + length + length[:-2], twice),
            (OK + length + b"CONTENT-LENGTH: 3", twice),
            (OK + chunked + chunked[:-2], coding),
            (OK + chunked + b"transfer-encoding: x", coding),
            (OK + b"Transfer-Encoding: gzip", coding),
            (OK + b"Transfer-Encoding: xchunked", coding),
            (OK + b"Transfer-Encoding: gzip, chunked", coding),
            (OK + b"Transfer-Encoding: chunked, gzip", coding),
            (OK + b"Transfer-Encoding: chunked, chunked", coding),
            (OK + b"Transfer-Encoding: chunked;q=1", coding),
            # llhttp takes it for none.
            (OK + b"Transfer-Encoding: chunked \t", coding),
            (OK + b"Transfer-Encoding:\x0bchunked", "it is not HTTP: "),
            # It is empty, which newer versions refuse themselves.
            (OK + b"Transfer-Encoding: ", "it "),
            *(
                (OK + b"Content-Length: " + value, "it is not HTTP: ")
                for value in (b"+2", b"-2", b"2, 2", b"1,1", b"2 2", b"", b" ")
            ),
            *(
                (OK + b"Content-Length: " + value, "it is not HTTP: ")
                for value in (b"0x2", b"1e1", b"2_0", b"2;", b"9" * 30)
            ),
            (OK + b"Content-Length: 9999999999999999", coding),
            (OK + b"Content-Length: 18446744073709551615", coding),
        ):
            self.check(data + b"\r\n\r\n", why)
            self.check(INTERIM + data + b"\r\n\r\n", why, at_once=True)

    def test_what_can_become_no_head(self) -> None:
        """
        It is not waited for.
        """
        for data in (
            b"hello",
            b"\r\nHTTP/1.1 200 OK",
            b"\nHTTP/1.1 200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/2 200\r\n",
            b"HTTP/0.9 200 OK",
            b"RTSP/1.0 200 OK",
            b"ICE/1.0 200 OK",
            b"ICY 200 OK",
            b"http/1.1 200 OK",
        ):
            self.check(data, "it is not HTTP")
            self.check(INTERIM + data, "it is not HTTP", at_once=True)
            self.check(data + b"\r\n\r\n", "is not HTTP")
        for data in (b"HTTP/1.1 200 OK\n\n{}", OK + b"X: y\nZ: z\r\n", OK + b"\n"):
            self.check(data, "a line of its head does not end in CR LF")
            # Where all of it is here, llhttp says which line.
            self.check(data + b"\r\n\r\n", "", at_once=True)
            self.assertEqual(read(data + b"\r\n\r\n").status, 0)

    def test_bodies(self) -> None:
        """
        Chunks that another reader would end elsewhere.
        """
        for chunk in (
            b"2\nok\r\n",
            b"2\r\nok\n0\r\n\r\n",
            b"2\r\nokk\r\n",
            b"2;\nok\r\n",
            b"2;\x00\r\nok\r\n",
            b"2;x=\x01\r\nok\r\n",
            b"2 \r\nok\r\n",
            b"2 ;x\r\nok\r\n",
            b"2\t\r\nok\r\n",
            b" 2\r\nok\r\n",
            b"+2\r\nok\r\n",
            b"-2\r\nok\r\n",
            b"0x2\r\nok\r\n",
            b"2_0\r\nok\r\n",
            b"\r\nok\r\n",
            b"10000000000000002\r\nok",
            b"g\r\nok",
            b"2\rok",
            b"0\n\r\n",
            b"0\r\nX: y\n\r\n",
            b"0\r\n X: y\r\n\r\n",
            b"0\r\nX: a\x00b\r\n\r\n",
            b"0\r\nContent-Length: 5\r\n\r\n",
            b"0\r\n\n",
        ):
            self.check(CHUNKED + b"1\r\nx\r\n" + chunk, "it is not HTTP: ")

    def test_what_was_read_before(self) -> None:
        """
        Stands: only the rest is refused.
        """
        reading = read(CHUNKED + b"2\r\nok\r\nno size\r\n")
        self.assertEqual((reading.status, reading.body), (200, b"ok"))
        self.assertFalse(reading.is_complete)

    def test_too_much(self) -> None:
        """
        Heads, and what is no content between it.
        """
        too_long = "its head is longer than 65536 bytes"
        padding = b"X: " + b"y" * (65536 - 3 - 4 - len(OK))
        self.assertEqual(read(OK + padding + b"\r\n\r\n").why, "")
        self.assertEqual(read(OK + padding + b"y\r\n\r\n").why, too_long)
        self.assertEqual(read(OK, padding, b"yyyyy").why, too_long)
        many = b"X: y\r\n" * 101
        self.assertEqual(read(OK + many + b"\r\n").why, "it has more than 100 headers")
        for endless in (b"1;", b"0" * 9, b"1\r\nx\r\n0\r\nX: y", b"0\r\n"):
            piece = b"X: y\r\n" if endless == b"0\r\n" else b"0" * 8
            why = read(CHUNKED, endless, *([piece] * 20000)).why
            self.assertEqual(why, "its chunks have endless heads or trailers", endless)
        many_chunks = [b"1;" + b"x" * 1000 + b"\r\no\r\n"] * 200
        self.assertEqual(read(CHUNKED, *many_chunks).why, "")
