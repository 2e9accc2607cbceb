"""
Channel: what becomes a request, and what is refused.
"""

import re
from collections.abc import Sequence

from attrs import define
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, ISSLTransport, ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from swapgate.config.limits import Limits
from swapgate.server.access_log import AccessLogEntry
from swapgate.server.auth import Listener
from swapgate.server.channel import listener_of
from tests.channel_rig import ChannelCase, TCPWire, Wire

MAX_BODY = Limits().max_body_bytes


@define(slots=False)
class Reached:
    """
    A connection that came in here.
    """

    host: IAddress

    def getHost(self) -> IAddress:
        return self.host


class ListenerTests(SynchronousTestCase):
    """
    Where a connection came in.
    """

    def test_addresses(self) -> None:
        """
        The one that was reached, of either kind; a UNIX socket has none.
        """
        for host, listener in (
            (IPv4Address("TCP", "127.0.0.1", 1), Listener(address="127.0.0.1", port=1)),
            (IPv6Address("TCP", "::1", 2), Listener(address="::1", port=2)),
            (UNIXAddress(b"/run/x"), Listener(address=None, port=None)),
        ):
            self.assertEqual(listener_of(Reached(host)), listener)

    def test_tls(self) -> None:
        """
        It makes another scheme.
        """
        wire = Reached(IPv4Address("TCP", "127.0.0.1", 443))
        directlyProvides(wire, ISSLTransport)
        self.assertTrue(listener_of(wire).secure)


class RequestTests(ChannelCase):
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
        [request] = self.resource.requests
        self.assertIsNone(request.args)
        self.assertIsNone(request.content)
        self.assertEqual(b"".join(request.body.pieces()), b"a=b&c=d")
        self.assertEqual(request.body.length, 7)

    def test_pipelined(self) -> None:
        """
        One after the other, and up to 16 KiB may wait.
        """
        for _ in range(2):
            self.say(b"GET / HTTP/1.1", b"Host: x")
        self.assertEqual(len(self.resource.requests), 1)
        self.resource.requests[0].finish()
        self.assertEqual(len(self.resource.requests), 2)
        self.channel.dataReceived(b"x" * 16 * 1024)
        self.assertFalse(self.wire.aborted)
        self.channel.dataReceived(b"x")
        self.assertTrue(self.wire.aborted)

    def test_pipelined_at_once(self) -> None:
        """
        What comes in the same read has its turn as well, and its faults are told then.
        """
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"
        chunks = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        for first in (get, post, chunks + b"0\r\n\r\n"):
            with self.subTest(first=first):
                self.connect(TCPWire())
                self.resource.requests.clear()
                self.channel.dataReceived(first + get + b"nonsense")
                self.assertEqual(len(self.resource.requests), 1)
                self.resource.requests[0].finish()
                self.assertEqual(len(self.resource.requests), 2)
                self.assertNotIn(b"HTTP/1.1 400 ", self.wire.value())
                self.resource.requests[1].finish()
                self.assertEqual(self.wire.value().count(b"HTTP/1.1 200 "), 2)
                self.assertEqual(self.wire.value().count(b"HTTP/1.1 400 "), 1)

    def test_much_at_once_behind_a_held_request(self) -> None:
        """
        As much in the same read as in others: none of it is parsed before its turn.
        """
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        self.channel.dataReceived(get * 1000)
        self.assertTrue(self.wire.aborted)
        self.connect(TCPWire())
        self.resource.at_once = True
        self.channel.dataReceived(get * 1000)
        while self.clock.getDelayedCalls() and len(self.resource.requests) < 1001:
            self.clock.advance(0)
        self.assertEqual(self.wire.value().count(b"HTTP/1.1 200 "), 1000)

    def test_the_last_one_by_a_trailer(self) -> None:
        """
        `Connection: close` behind a body closes as well, and what follows is no fault.
        """
        self.resource.at_once = True
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Transfer-Encoding: chunked",
            body=b"0\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        self.assertEqual(self.wire.value().count(b"HTTP/1.1 "), 1)
        self.assertIn(b"\r\nConnection: close\r\n", self.wire.value())
        self.assertTrue(self.wire.disconnecting)

    def test_no_continue_for_an_old_client(self) -> None:
        """
        It would take it for the answer.
        """
        self.say(
            b"POST / HTTP/1.0",
            b"Host: x",
            b"Expect: 100-continue",
            b"Content-Length: 1",
        )
        self.assertEqual(self.wire.value(), b"")

    def test_a_bare_line_feed(self) -> None:
        """
        It ends no line of a head, and nothing is waited for after it.
        """
        for sent in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\n",
            b"GET / HTTP/1.1\r\nHost: x\n\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n",
        ):
            with self.subTest(sent=sent):
                self.connect(TCPWire())
                for start in range(len(sent)):
                    self.assertEqual(self.wire.value(), b"")
                    self.channel.dataReceived(sent[start : start + 1])
                    if self.wire.value():
                        break
                self.assertIn(b"\n", sent[max(0, start - 1) : start + 1])
                self.assertEqual(self.error(), (400, "bad_request"))
        # In a body it is a byte like any other, and behind one an empty line (2.2).
        self.connect(TCPWire())
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 2", body=b"\n\n")
        self.channel.dataReceived(b"\n")
        self.resource.requests[0].finish()
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.assertEqual(len(self.resource.requests), 2)

    def test_pipelined_in_turns(self) -> None:
        """
        What is answered at once is so a few times, and then others have their turn.
        """
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        self.resource.at_once = True
        self.channel.dataReceived(get * 10)
        self.assertEqual(len(self.resource.requests), 4)
        self.assertEqual(self.wire.producerState, "paused")
        others: list[int] = []
        self.clock.callLater(0, lambda: others.append(len(self.resource.requests)))
        self.clock.advance(0)
        self.assertEqual(others, [8])
        self.assertEqual(len(self.resource.requests), 10)
        self.assertEqual(self.wire.producerState, "producing")
        self.assertEqual(self.wire.value().count(b"HTTP/1.1 200 "), 10)
        # One after the other they need no turns.
        for _ in range(10):
            self.channel.dataReceived(get)
        self.assertEqual(len(self.resource.requests), 20)

    def test_a_turn_that_never_comes(self) -> None:
        """
        The client takes nothing meanwhile, or goes.
        """
        self.resource.at_once = True
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        self.channel.dataReceived(get * 10)
        self.channel.pauseProducing()
        self.clock.advance(0)
        self.assertEqual(len(self.resource.requests), 4)
        self.channel.resumeProducing()
        self.assertEqual(len(self.resource.requests), 8)
        self.disconnect(self.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_full_transport_pauses_the_next_answer(self) -> None:
        """
        An answer that begins while what was written before waits to be sent, waits too.
        """
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.channel.pauseProducing()
        producer = StringTransport()
        self.resource.requests[0].registerProducer(producer, True)
        self.assertEqual(producer.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(producer.producerState, "producing")

    def test_pipelined_behind_an_answer_that_nobody_takes(self) -> None:
        """
        The next one has its turn when the transport has room again.
        """
        self.say(b"GET /1 HTTP/1.1", b"Host: x", b"", b"GET /2 HTTP/1.1", b"Host: x")
        self.channel.pauseProducing()
        self.resource.requests[0].finish()
        self.assertEqual(len(self.resource.requests), 1)
        self.assertEqual(self.wire.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(len(self.resource.requests), 2)
        self.assertEqual(self.wire.producerState, "producing")

    def test_connection(self) -> None:
        """
        It stays open unless a Connection header says otherwise, in any spelling.
        """
        for version, connection, closes in (
            (b"1.1", b"keep-alive", False),
            (b"1.1", b"close", True),
            (b"1.1", b"Close, TE", True),
            (b"1.0", b"keep-alive", True),
        ):
            with self.subTest(version=version, connection=connection):
                self.connect(TCPWire())
                self.say(
                    b"GET / HTTP/" + version,
                    b"Host: x",
                    b"Connection: " + connection,
                )
                self.resource.requests[-1].finish()
                self.assertEqual(self.wire.disconnecting, closes)
                said = b"\r\nConnection: close\r\n" in self.wire.value()
                self.assertEqual(said, closes)

    def lines(self, events: Sequence[LogEvent]) -> list[str]:
        return [formatEvent(event) for event in events if "method" in event]

    def test_log(self) -> None:
        """
        A line for each answer: no query, no control bytes, and what else is known.
        """
        self.say(b"GET /a?secret=1 HTTP/1.1", b"Host: x", b"X-Secret: 1")
        [request] = self.resource.requests
        request.uri = b"/\x1b\xff\n?secret"
        request.setResponseCode(404)
        request.log_entry = AccessLogEntry(key="mine", error="not_found")
        with capturedLogs() as logged:
            request.write(b"abc")
            request.finish()
        self.assertEqual(
            self.lines(logged),
            ["GET /\\x1b\\xff\\x0a 404 3 key='mine' error='not_found'"],
        )

    def test_log_of_one_that_went(self) -> None:
        """
        It is one line, too, whether its answer had begun or not.
        """
        for begun, line in (
            (b"", "GET / 499 0 error='client_gone'"),
            (b"abc", "GET / 200 3 error='client_gone'"),
        ):
            self.connect(TCPWire())
            self.say(b"GET / HTTP/1.1", b"Host: x")
            if begun:
                self.resource.requests[-1].write(begun)
            with capturedLogs() as logged:
                self.disconnect(self.channel)
            self.assertEqual(self.lines(logged), [line])

    def test_log_of_a_refusal(self) -> None:
        """
        What is known of it.
        """
        for said, line in (
            (b"nonsense\r\n", "- - 400 error='bad_request'"),
            (b"GET /a?b HTTP/1.1\r\n\r\n", "GET /a 400 error='bad_request'"),
        ):
            self.connect(TCPWire())
            with capturedLogs() as logged:
                self.channel.dataReceived(said)
                self.disconnect(self.channel)
            [logged_line] = self.lines(logged)
            self.assertEqual(re.sub(" [0-9]+ error", " error", logged_line), line)


class RefusalTests(ChannelCase):
    """
    What does not.
    """

    def test_too_large(self) -> None:
        """
        Refused by its length alone, without a 100 Continue.
        """
        self.say(
            b"POST / HTTP/1.1",
            b"Host: x",
            b"Expect: 100-continue",
            b"Content-Length: %d" % (MAX_BODY + 1),
        )
        self.assertEqual(self.error(), (413, "request_too_large"))
        self.assertEqual(self.resource.requests, [])

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
        self.assertEqual(self.resource.requests, [])

    def test_too_long(self) -> None:
        """
        A line without an end is no reason to wait for it.
        """
        for begin, status, code in (
            (b"GET /", 414, "target_too_long"),
            (b"GET / HTTP/1.1\r\nX: ", 431, "headers_too_large"),
        ):
            self.connect(TCPWire())
            self.channel.dataReceived(begin)
            for _ in range(5):
                self.channel.dataReceived(b"x" * 4096)
            self.assertEqual(self.error(), (status, code))

    def test_no_half_of_a_tls_connection(self) -> None:
        """
        It is closed as a whole: else the answer would not get out.
        """
        directlyProvides(self.wire, ISSLTransport, ITCPTransport)
        self.say(b"nonsense")
        self.assertFalse(self.wire.half_closed)
        self.assertTrue(self.wire.disconnecting)

    def test_trailers(self) -> None:
        """
        After the last chunk: what one server takes for a line, and another for two, is
        no request, and nothing behind it is either.
        """
        for trailers, accepted in (
            (b"", True),
            (b"A: b\r\nC:\t\xff\r\n", True),
            (b"A: b\n\nGET /smuggled HTTP/1.1\r\n", False),
            (b"A: b\r\n\nGET /smuggled HTTP/1.1\r\n", False),
            (b"A: b\r\n folded\r\n", False),
            (b"A: \0\r\n", False),
            (b"A : b\r\n", False),
            (b"no trailer\r\n", False),
        ):
            with self.subTest(trailers=trailers):
                self.resource.requests.clear()
                self.connect(TCPWire())
                self.say(
                    b"POST / HTTP/1.1",
                    b"Host: x",
                    b"Transfer-Encoding: chunked",
                    body=b"2\r\n{}\r\n0\r\n%s\r\n" % trailers,
                )
                self.assertEqual(len(self.resource.requests), accepted)
                if not accepted:
                    self.assertEqual(self.error(), (400, "bad_request"))

    def test_a_bad_chunk(self) -> None:
        """
        The body is refused where it cannot be read.
        """
        for body in (
            b"0x2\r\n{}",
            b"-2\r\n",
            b" 2\r\n",
            b"2 \r\n",
            b"2\n{}\r\n",
            b"2;\x00\r\n",
            b"2\r\n{}}\r\n",
        ):
            with self.subTest(body=body):
                self.connect(TCPWire())
                self.say(
                    b"POST / HTTP/1.1",
                    b"Host: x",
                    b"Transfer-Encoding: chunked",
                    body=body + b"\r\n0\r\n\r\n",
                )
                self.assertEqual(self.error(), (400, "bad_request"))
                self.assertEqual(self.resource.requests, [])

    def test_not_http(self) -> None:
        """
        One answer in the OpenAI shape, whatever follows.
        """
        self.say(b"how do you do", b"GET / HTTP/1.1", b"Host: x")
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.assertEqual(self.error(), (400, "bad_request"))
        self.assertEqual(self.resource.requests, [])

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
