"""
Conformance to HTTP/1.1: the cases of h1spec, against one connection.
"""

from typing import Final

from tests.channel_rig import ChannelCase, TCPWire
from tests.server.test_any_bytes import AnsweringResource

GET: Final = b"GET / HTTP/1.1\r\n"
HOST: Final = b"Host: x\r\n"
# Prefixes of a good request: each is waited for, in silence.
BEGUN: Final = (
    b"G",
    b"GET ",
    b"GET /hello",
    b"GET /hello ",
    b"GET /hello HTTP",
    b"GET /hello HTTP/1.1",
    b"GET /hello HTTP/1.1\r",
    b"GET /hello HTTP/1.1\r\n",
    b"GET /hello HTTP/1.1\r\nHos",
    b"GET /hello HTTP/1.1\r\nHost:",
    b"GET /hello HTTP/1.1\r\nHost: ",
    b"GET /hello HTTP/1.1\r\nHost: x",
    b"GET /hello HTTP/1.1\r\nHost: x\r",
    b"GET /hello HTTP/1.1\r\nHost: x\r\n",
    b"GET /hello HTTP/1.1\r\nHost: x\r\n\r",
)
GOOD: Final = (
    GET + HOST + b"\r\n",
    GET + HOST + b"Expect: 100-continue\r\n\r\n",
    GET + b"hoSt:\tx\r\nempty:\r\n\r\n",
    GET + HOST + b"X-Empty: \r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
)
BAD: Final = (
    (400, b"GET / \r\n\r\n"),
    (400, GET + HOST + b"X-Invalid[]: a\r\n\r\n"),
    (400, GET + b"Content-Length: 5\r\n\r\n"),
    (400, GET + HOST + b"Host: y\r\n\r\n"),
    (400, GET + HOST + b"Content-Length: -123456789123456789123456789\r\n\r\n"),
    (400, GET + HOST + b"Content-Length: -1234\r\n\r\n"),
    (400, GET + HOST + b"Content-Length: abc\r\n\r\n"),
    (400, GET + HOST + b"X-Bad: a\x07\r\n\r\n"),
    (505, b"GET / HTTP/9.9\r\n" + HOST + b"\r\n"),
    (400, b"Extra line" + GET + HOST + b"\r\n"),
    (400, GET + HOST + b"\rX-A: a\r\n\r\n"),
    (
        400,
        GET + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    ),
)


class ConformanceTests(ChannelCase):
    """
    Each on a connection of its own, whole and byte by byte.
    """

    def heard(self, sent: bytes, at_a_time: int) -> bytes:
        self.site.resource = self.resource = AnsweringResource()
        self.connect(TCPWire())
        for start in range(0, len(sent), at_a_time):
            self.channel.dataReceived(sent[start : start + at_a_time])
        value: bytes = self.wire.value()
        return value

    def test_begun(self) -> None:
        for sent in BEGUN:
            for at_a_time in (1, len(sent)):
                with self.subTest(sent=sent, at_a_time=at_a_time):
                    self.assertEqual(self.heard(sent, at_a_time), b"")
                    self.assertFalse(self.wire.disconnecting)

    def test_good(self) -> None:
        for sent in GOOD:
            for at_a_time in (1, len(sent)):
                with self.subTest(sent=sent, at_a_time=at_a_time):
                    heard = self.heard(sent, at_a_time)
                    self.assertEqual(heard.count(b"HTTP/1.1 "), 1)
                    self.assertTrue(heard.startswith(b"HTTP/1.1 200 "), heard)

    def test_bad(self) -> None:
        for status, sent in BAD:
            for at_a_time in (1, len(sent)):
                with self.subTest(sent=sent, at_a_time=at_a_time):
                    self.heard(sent, at_a_time)
                    self.assertEqual(self.error()[0], status)
                    self.assertEqual(self.resource.requests, [])
