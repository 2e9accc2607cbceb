"""
Request parser: which heads and bodies are accepted, and what is said of the others.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.errors import APIError
from swapgate.server.request_parser import (
    HEADERS,
    TARGET_LENGTH,
    Event,
    RequestParser,
)

GET = "GET / HTTP/1.1"
POST = "POST /v1/chat/completions HTTP/1.1"
HOST = "Host: x"


def fed(data: bytes, at_a_time: int) -> list[Event]:
    """
    What comes of this data; the pieces of a body are joined.
    """
    parser = RequestParser()
    events: list[Event] = []
    for start in range(0, len(data), at_a_time):
        for event in parser.feed(data[start : start + at_a_time]):
            if isinstance(event, bytes) and events and isinstance(events[-1], bytes):
                events[-1] += event
            else:
                events.append(event)
    return events


def fate(*lines: str) -> int:
    """
    The status with which this head is refused; 0 where it is not.
    """
    events = fed("\r\n".join((*lines, "", "")).encode("latin-1"), 2**16)
    return events[0].status if isinstance(events[0], APIError) else 0


class HeadTests(SynchronousTestCase):
    """
    One request's head.
    """

    def test_accepted(self) -> None:
        """
        What is merely unusual stays.
        """
        for lines in (
            (GET, HOST),
            ("GET / HTTP/1.0",),
            (GET, "hOsT:x"),
            (GET, "Host:\tx \t", "X-A:", "X-B: a\tb", "X-C: caf\xe9 \xff"),
            (GET, HOST, "Accept: a", "Accept: b", "!#$%&'*+.^_`|~-9: v"),
            ("PROPFIND /%zz?a=[b] HTTP/1.1", HOST),
            (POST, HOST, "content-LENGTH: 007"),
            (POST, HOST, "transfer-encoding: CHUNKED"),
            (POST, HOST, "Content-Length: " + "9" * 15),
            (GET, *[f"X-{n}: y" for n in range(HEADERS - 1)], HOST),
            (f"GET /{'x' * (TARGET_LENGTH - 1)} HTTP/1.1", HOST),
        ):
            with self.subTest(lines=lines):
                self.assertEqual(fate(*lines), 0)

    def test_refused(self) -> None:
        """
        What one server reads like this and another like that.
        """
        for status, lines in (
            (505, ("GET /",)),
            (400, (" GET / HTTP/1.1", HOST)),
            (400, ("GET /\xe9 HTTP/1.1", HOST)),
            (400, ("MEOW / HTTP/1.1", HOST)),
            (400, ("get / HTTP/1.1", HOST)),
            (400, ("GET / HTTP/1.1 ", HOST)),
            (400, ("GET\t/ HTTP/1.1", HOST)),
            (400, ("G(T / HTTP/1.1", HOST)),
            (400, ("GET /\x00 HTTP/1.1", HOST)),
            (400, ("GET /\x7f HTTP/1.1", HOST)),
            (400, ("GET / http/1.1", HOST)),
            (400, ("GET / HTTP/1.1\nHost: x",)),
            (400, ("GET / HTTP/1.1\rHost: x",)),
            (400, ("GET / HTTP/11", HOST)),
            (505, ("GET / HTTP/9.9", HOST)),
            (505, ("GET / HTTP/0.9", HOST)),
            (505, ("PRI * HTTP/2.0", "", "SM")),
            (414, (f"GET /{'x' * TARGET_LENGTH} HTTP/1.1", HOST)),
            (431, (GET, HOST, *[f"X-{n}: y" for n in range(HEADERS)])),
            (431, (GET, HOST, "X: " + "x" * 9000, "Y: " + "y" * 9000)),
            (400, (GET,)),
            (400, (GET, HOST, HOST)),
            (400, (POST, HOST, *["Content-Type: application/json"] * 2)),
            (400, (POST, HOST, "content-type: a", "Content-Type: application/json")),
            (400, (POST, HOST, "Content-Encoding: identity", "content-encoding: gzip")),
            (400, (GET, HOST, " folded")),
            (400, (GET, " folded", HOST)),
            (400, (GET, HOST, "X-A:", "\tfolded")),
            (400, (GET, HOST, "no colon")),
            (400, (GET, HOST, ": nameless")),
            (400, (GET, "Host : x")),
            (400, (GET, HOST, "X-\xe9: y")),
            (400, (GET, HOST, "X-A: a\x00b")),
            (400, (GET, HOST, "X-A: a\x1bb")),
            (400, (GET, HOST, "X-A: a\x7fb")),
            (400, (GET, HOST, "X-A: a\rb")),
            (400, (GET, HOST, "X-A: a\nContent-Length: 5")),
            (400, (POST, HOST, "Content-Length:")),
            (400, (POST, HOST, "Content-Length: +2")),
            (400, (POST, HOST, "Content-Length: -2")),
            (400, (POST, HOST, "Content-Length: 0x2")),
            (400, (POST, HOST, "Content-Length: 2, 2")),
            (400, (POST, HOST, "Content-Length: 2_0")),
            (400, (POST, HOST, "Content-Length: \xb2")),
            (400, (POST, HOST, "Content-Length: 2", "Content-Length: 2")),
            (413, (POST, HOST, "Content-Length: " + "9" * 5000)),
            (400, (POST, HOST, "Transfer-Encoding:")),
            (400, (POST, HOST, "Transfer-Encoding: identity")),
            (400, (POST, HOST, "Transfer-Encoding: gzip, chunked")),
            (400, (POST, HOST, "Transfer-Encoding: chunked, chunked")),
            (400, (POST, HOST, "Transfer-Encoding: xchunked")),
            (400, (POST, HOST, "Transfer-Encoding: \x0bchunked")),
            (400, (POST, HOST, *["Transfer-Encoding: chunked"] * 2)),
            (400, (POST, HOST, "Content-Length: 0", "Transfer-Encoding: chunked")),
            (400, (POST, HOST, "Transfer-Encoding: chunked", "Content-Length: 0")),
            (400, ("POST / HTTP/1.0", HOST, "Transfer-Encoding: chunked")),
        ):
            with self.subTest(lines=lines):
                self.assertEqual(fate(*lines), status, lines)
