"""
What a client's connection bears, and how it ends.
"""

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from swapgate.access import Access, Key
from swapgate.body import BadJSON
from swapgate.web.channel import MAX_BODY, Body, GatewayRequest, GatewaySite
from tests.doubles import ACCESS

NO_CONTENT = b"HTTP/1.1 204 No Content"


class Wire(StringTransport):
    """
    The client's side, and how it was closed.
    """

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


@implementer(ITCPTransport)
class TCPWire(Wire):
    """
    One that can be closed in one direction.
    """

    half_closed = False

    def getTcpNoDelay(self) -> bool:  # noqa: N802
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        """
        It is anyway.
        """

    def getTcpKeepAlive(self) -> bool:  # noqa: N802
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802
        """
        There is nothing to keep.
        """

    def loseWriteConnection(self) -> None:  # noqa: N802
        self.half_closed = True


class Hall(Resource):
    """
    Where the requests arrive.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GatewayRequest] = []

    def render(self, request: GatewayRequest) -> int:
        self.requests.append(request)
        return int(NOT_DONE_YET)


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
        for piece in (b'{"model": "a"', b" nonsense", b" and more"):
            body.add(piece)
        self.assertEqual((body.length, list(body.pieces())), (31, []))
        for _ in range(2):
            self.assertRaises(BadJSON, body.wish)


class Case(SynchronousTestCase):
    """
    One connection.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.hall = Hall()
        self.site = GatewaySite(
            self.hall, access=ACCESS, reactor=self.clock, most_channels=9
        )
        self.connect(TCPWire())

    def connect(self, wire: Any) -> None:
        self.wire = wire
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(wire)

    def disconnect(self, channel: Any) -> None:
        channel.connectionLost(Failure(ConnectionDone()))

    def say(self, *lines: bytes, body: bytes = b"") -> None:
        self.channel.dataReceived(b"\r\n".join([*lines, b"", body]))

    def error(self) -> tuple[int, str]:
        """
        Status and code of the one answer that was heard.
        """
        head, _, body = self.wire.value().partition(b"\r\n\r\n")
        self.assertIn(b"\r\nContent-Length: %d" % len(body), head)
        self.assertIn(b"\r\nConnection: close", head)
        return int(head.split()[1]), json.loads(body)["error"]["code"]


class RequestTests(Case):
    """
    What becomes a request.
    """

    def test_body_is_ours(self) -> None:
        """
        Twisted parses no form and opens no file, however large the body will be.
        """
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Content-Type: application/x-www-form-urlencoded",
            b"Content-Length: 7",
            body=b"a=b&c=d",
        )
        [request] = self.hall.requests
        self.assertEqual(request.args, {})
        assert request.content is not None
        self.assertEqual(request.content.read(), b"")
        self.assertEqual(b"".join(request.body.pieces()), b"")
        self.assertEqual(request.body.length, 7)

    def test_pipelined(self) -> None:
        """
        One after the other, and up to 16 KiB may wait.
        """
        for _ in range(2):
            self.say(b"GET / HTTP/1.1", b"Host: x")
        self.assertEqual(len(self.hall.requests), 1)
        self.hall.requests[0].finish()
        self.assertEqual(len(self.hall.requests), 2)
        self.channel.dataReceived(b"x" * 16 * 1024)
        self.assertFalse(self.wire.aborted)
        self.channel.dataReceived(b"x")
        self.assertTrue(self.wire.aborted)

    def test_a_full_transport_pauses_the_next_answer(self) -> None:
        """
        An answer that begins while the one before still waits to be sent, waits too.
        """
        self.channel.pauseProducing()
        self.say(b"GET / HTTP/1.1", b"Host: x")
        producer = StringTransport()
        self.hall.requests[0].registerProducer(producer, True)
        self.assertEqual(producer.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(producer.producerState, "producing")

    def test_log(self) -> None:
        """
        A line for each answer; no query, no control bytes.
        """
        self.say(b"GET /a?secret=1 HTTP/1.1", b"Host: x")
        [request] = self.hall.requests
        request.path = b"/\x1b\xff"
        request.setResponseCode(404)
        with capturedLogs() as logged:
            request.write(b"abc")
            request.finish()
        [line] = [event for event in logged if "method" in event]
        self.assertEqual(line["log_format"].format(**line), "GET /\x1b\\xff 404 3")


class RefusalTests(Case):
    """
    What does not.
    """

    def test_too_large(self) -> None:
        """
        Refused by its length alone; nobody is told to send it.
        """
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Expect: 100-continue",
            b"Content-Length: %d" % (MAX_BODY + 1),
        )
        self.assertEqual(self.error(), (413, "request_too_large"))
        self.assertEqual(self.hall.requests, [])

    def test_the_largest(self) -> None:
        """
        At the limit it may be sent.
        """
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Expect: 100-continue",
            b"Content-Length: %d" % MAX_BODY,
        )
        self.assertEqual(self.wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_too_large_in_chunks(self) -> None:
        """
        Refused when it is; what comes after that is neither read nor answered.
        """
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Transfer-Encoding: chunked")
        chunk = b"400000\r\n%s\r\n" % (b" " * 2**22)
        for _ in range(MAX_BODY // 2**22):
            self.channel.dataReceived(chunk)
        self.assertEqual(self.wire.value(), b"")
        # The end of the body in the same read: it must not become a request.
        self.channel.dataReceived(b"1\r\n \r\n1\r\n \r\n0\r\n\r\n")
        self.assertEqual(self.error(), (413, "request_too_large"))
        self.assertEqual(self.hall.requests, [])

    def test_not_http(self) -> None:
        """
        One answer in the OpenAI shape, whatever follows.
        """
        self.say(b"how do you do", b"GET / HTTP/1.1", b"Host: x")
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.assertEqual(self.error(), (400, "bad_request"))
        self.assertEqual(self.hall.requests, [])

    def test_two_faults_in_one_head(self) -> None:
        """
        Are refused once.
        """
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Content-Length: nonsense",
            b"Transfer-Encoding: nonsense",
            b"no colon",
        )
        self.assertEqual(self.error(), (400, "bad_request"))
        self.assertEqual(self.wire.value().count(b"HTTP/1.1"), 1)

    def test_linger(self) -> None:
        """
        Our side closes, and the other has 2 s: a reset could overtake the answer.
        """
        self.say(b"nonsense")
        self.assertTrue(self.wire.half_closed)
        self.assertFalse(self.wire.disconnecting)
        self.clock.advance(1.9)
        self.assertFalse(self.wire.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.aborted)

    def test_a_client_that_goes_in_time(self) -> None:
        """
        Leaves no timer behind.
        """
        self.say(b"nonsense")
        self.disconnect(self.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_cannot_be_half_closed(self) -> None:
        """
        Is closed.
        """
        self.connect(Wire())
        self.say(b"nonsense")
        self.assertEqual(self.error(), (400, "bad_request"))
        self.assertTrue(self.wire.disconnecting)


class GuardTests(Case):
    """
    Who is let in.
    """

    def test_refused_by_the_head(self) -> None:
        """
        Before the body is asked for, and with what the refusal must say.
        """
        self.site.access = Access(key_files=("/k",), hosts=frozenset({"x"}))
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Expect: 100-continue",
            b"Content-Length: %d" % (MAX_BODY + 1),
        )
        self.assertEqual(self.error(), (401, "invalid_api_key"))
        self.assertIn(b"\r\nWWW-Authenticate: Bearer\r\n", self.wire.value())
        self.channel.dataReceived(b"x" * 100)
        self.assertEqual(self.hall.requests, [])
        self.assertTrue(self.wire.half_closed)

    def test_without_a_phrase(self) -> None:
        """
        Twisted knows none for 421; the line is a proper one all the same.
        """
        self.say(b"GET http://x/ HTTP/1.1", b"Host: x")
        self.assertEqual(self.error(), (421, "misdirected_request"))
        self.assertTrue(self.wire.value().startswith(b"HTTP/1.1 421 \r\n"))

    def test_let_in(self) -> None:
        """
        The request knows by whose key, and its answer what it must say.
        """
        self.site.access = Access(
            hosts=frozenset({"x"}),
            origins=frozenset({"https://a"}),
            keys=(Key.of("laptop", "sk-1"),),
        )
        head = (b"Host: x", b"Origin: https://a", b"Authorization: Bearer sk-1")
        self.say(b"GET / HTTP/1.1", *head)
        [request] = self.hall.requests
        self.assertEqual(request.passed.key_name, "laptop")
        request.finish()
        self.assertIn(
            b"\r\nAccess-Control-Allow-Origin: https://a\r\n", self.wire.value()
        )
        # The next one on this connection has to show it again.
        self.wire.clear()
        self.say(b"GET / HTTP/1.1", *head[:2])
        self.assertEqual(self.error(), (401, "invalid_api_key"))

    def test_refused_later(self) -> None:
        """
        A listed page is told as well what is wrong with the rest.
        """
        self.site.access = Access(
            hosts=frozenset({"x"}), origins=frozenset({"https://a"})
        )
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Origin: https://a",
            b"Content-Length: %d" % (MAX_BODY + 1),
        )
        self.assertEqual(self.error(), (413, "request_too_large"))
        allowed = b"\r\nAccess-Control-Allow-Origin: https://a\r\n"
        self.assertEqual(self.wire.value().count(allowed), 1)

    def test_preflight(self) -> None:
        """
        Answered here, and the connection stays for what follows.
        """
        self.site.access = Access(
            hosts=frozenset({"x"}), origins=frozenset({"https://a"})
        )
        self.say(
            b"OPTIONS / HTTP/1.1",
            b"Host: x",
            b"Origin: https://a",
            b"Access-Control-Request-Method: POST",
        )
        head, _, body = self.wire.value().partition(b"\r\n\r\n")
        self.assertEqual((head.split(b"\r\n")[0], body), (NO_CONTENT, b""))
        self.assertIn(b"\r\nAccess-Control-Allow-Origin: https://a", head)
        self.assertIn(b"\r\nVary: Origin", head)
        self.assertEqual(self.hall.requests, [])
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Origin: https://a", b"a: b")
        self.assertEqual(len(self.hall.requests), 1)


class CloseTests(Case):
    """
    The end of the gateway.
    """

    def test_nobody_there(self) -> None:
        """
        It is closed at once.
        """
        self.disconnect(self.channel)
        self.successResultOf(self.site.close())

    def test_each_is_hung_up_on(self) -> None:
        """
        It is closed when the last connection is.
        """
        first = self.channel
        first_wire = self.wire
        self.connect(TCPWire())
        closed = self.site.close()
        self.assertTrue(first_wire.disconnecting)
        self.assertTrue(self.wire.disconnecting)
        self.disconnect(first)
        self.assertNoResult(closed)
        self.disconnect(self.channel)
        self.successResultOf(closed)

    def test_one_that_takes_nothing(self) -> None:
        """
        Is aborted after 2 s.
        """
        closed = self.site.close()
        self.clock.advance(1.9)
        self.assertFalse(self.wire.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.aborted)
        self.disconnect(self.channel)
        self.successResultOf(closed)

    def test_one_that_was_refused(self) -> None:
        """
        Its time is running already.
        """
        self.say(b"nonsense")
        self.clock.advance(1.5)
        self.site.close()
        self.clock.advance(0.6)
        self.assertTrue(self.wire.aborted)
