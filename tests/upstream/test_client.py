"""
Upstream client: requests, retries and polls, byte by byte.
"""

from typing import Any

from attrs import define, field
from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import (
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from swapgate.config.values import Upstream
from swapgate.upstream.client import UpstreamClient, _reason
from swapgate.upstream.connection import Response
from swapgate.upstream.response_parser import BadUpstreamResponse
from tests.upstream import Reader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOOPBACK = Upstream(scheme="http", host="127.0.0.1", port=8081)


class Unknown:
    """
    A host that no resolver knows.
    """

    def connect(self, factory: object) -> Deferred[object]:
        return fail(DNSLookupError("no such host"))


class KeyTests(SynchronousTestCase):
    """
    What a daemon is asked with, where it wants a key; how failures are told.
    """

    def client(self, **options: Any) -> UpstreamClient:
        upstream = Upstream(scheme="http", host="127.0.0.1", port=1, **options)
        return UpstreamClient(upstream, MemoryReactorClock())

    def test_nobody_sees_it(self) -> None:
        """
        Nor in the repr of what knows it.
        """
        client = self.client(api_key="sk-secret")
        self.assertNotIn("secret", repr(client) + repr(client.upstream))

    def test_no_such_host(self) -> None:
        """
        Counts as a daemon that cannot be reached; the poll tells the reason.
        """
        client = self.client()
        client._endpoint = Unknown()  # type: ignore[assignment]
        asked = client.ask(b"POST", b"/", [], [b"x"])
        self.failureResultOf(asked, DNSLookupError)

    def test_reasons(self) -> None:
        """
        The innermost reason, of errors that wrap others.
        """
        refused = ConnectionRefusedError()
        wrapped = ResponseNeverReceived([Failure(refused)])
        tls = SSLError([("SSL routines", "", "certificate verify failed")])
        for error, said in (
            (CancelledError(), "no answer in time"),
            (wrapped, str(refused)),
            (tls, "TLS failed: certificate verify failed"),
            (SSLError([]), "[]"),
            (VerificationError(errors=[]), "its certificate is for another host"),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(_reason(error), said)


@define(eq=False)
class Daemon:
    """
    What a client connects to, without a network.
    """

    reactor: MemoryReactorClock = field(factory=MemoryReactorClock)
    connections: list[tuple[Any, StringTransport]] = field(factory=list)

    def accept(self) -> None:
        """
        Take the connection that was asked for last.
        """
        [*_, (_host, _port, factory, _timeout, _bind)] = self.reactor.tcpClients
        wrapper: Any = factory.buildProtocol(None)
        wire = StringTransport()
        wrapper.makeConnection(wire)
        self.connections.append((wrapper._wrappedProtocol, wire))

    def say(self, data: bytes, number: int = -1) -> None:
        self.connections[number][0].dataReceived(data)

    def heard(self, number: int = -1) -> bytes:
        heard: bytes = self.connections[number][1].value()
        return heard

    def close(self, number: int = -1) -> None:
        self.connections[number][0].connectionLost(Failure(ConnectionDone()))


class ClientTests(SynchronousTestCase):
    """
    One life of a daemon.
    """

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.client = UpstreamClient(LOOPBACK, self.daemon.reactor)

    def ask(
        self,
        target: bytes = b"/x?y=%20;",
        headers: tuple[tuple[bytes, bytes], ...] = ((b"X-A", b"1"), (b"X-A", b"2")),
    ) -> Deferred[Response]:
        return self.client.ask(b"POST", target, headers, [b"body"])

    def answered(self, asked: Deferred[Response]) -> None:
        """
        Let its response come, and end.
        """
        self.daemon.say(OK)
        reader = Reader()
        self.successResultOf(asked).connection.deliver_to(reader)
        self.assertEqual(self.successResultOf(reader.whole), b"ok")

    def status(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.client.get_status("/health"))

    def test_ask(self) -> None:
        """
        The target, the headers and the body as they are.
        """
        asked = self.ask()
        self.daemon.accept()
        self.assertEqual(
            self.daemon.heard(),
            b"POST /x?y=%20; HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n"
            b"Content-Length: 4\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody",
        )
        self.assertNoResult(asked)
        self.daemon.say(OK[:-2])
        response = self.successResultOf(asked)
        self.assertEqual((response.status, response.length), (200, 2))
        self.assertIs(response.connection, self.daemon.connections[0][0])

    def test_no_second_line(self) -> None:
        """
        Nothing that is passed on may begin one.
        """
        for bad in (b"a\nb", b"a\rb", b"a\r\nb", b"a\0b"):
            self.assertRaises(ValueError, self.ask, bad)
            for header in ((b"X", bad), (bad, b"x")):
                self.assertRaises(ValueError, self.ask, headers=(header,))
        self.assertEqual(self.daemon.reactor.tcpClients, [])

    def test_connections_are_kept(self) -> None:
        """
        One that is idle is used again, for 3 s; one that is in use is not.
        """
        for way in (self.status, self.ask):
            self.setUp()
            for _ in range(2):
                asked: Deferred[Any] = way()
                if not self.daemon.connections:
                    self.daemon.accept()
                self.daemon.say(OK)
                answer = self.successResultOf(asked)
                if isinstance(answer, Response):
                    answer.connection.deliver_to(Reader())
            for connections in (1, 2):
                way()
                self.assertEqual(len(self.daemon.reactor.tcpClients), connections)

    def test_idle_ones_are_closed(self) -> None:
        """
        Before the engine does, or when asked to.
        """
        for close in (
            lambda: self.daemon.reactor.advance(3.1),
            self.client.drop_idle,
            self.client.close,
        ):
            asked = self.status()
            self.daemon.accept()
            self.daemon.say(OK)
            self.successResultOf(asked)
            self.answered(self.ask())
            [*_, (_connection, wire)] = self.daemon.connections
            self.assertFalse(wire.disconnecting)
            close()
            self.assertTrue(wire.disconnecting)

    def test_status(self) -> None:
        """
        Whatever it is; a redirect is not followed.
        """
        for line in (b"503 Loading", b"302 Found\r\nLocation: http://127.0.0.1:1/"):
            asked = self.status()
            self.daemon.accept()
            self.daemon.say(b"HTTP/1.1 " + line + b"\r\nConnection: close\r\n\r\n")
            self.assertNoResult(asked)
            self.daemon.close()
            self.assertEqual(self.successResultOf(asked), int(line[:3]))

    def test_a_plain_question(self) -> None:
        """
        The poll asks for nothing compressed, and says nothing that it was told before.
        """
        for _ in range(2):
            asked = self.status()
            if not self.daemon.connections:
                self.daemon.accept()
            self.daemon.say(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))
            self.successResultOf(asked)
        question = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n"
        self.assertEqual(self.daemon.heard(), question * 2)

    def test_a_body_without_end(self) -> None:
        """
        Cancelling the wait for its end aborts it.
        """
        asked = self.status()
        self.daemon.accept()
        self.daemon.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        self.assertNoResult(asked)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertTrue(self.daemon.connections[0][1].disconnected)
        self.daemon.close()

    def test_a_long_body(self) -> None:
        """
        The status is known, and the rest of the body not worth its reading.
        """
        asked = self.status()
        self.daemon.accept()
        self.daemon.say(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(65536))
        self.assertNoResult(asked)
        for _ in range(2):
            self.daemon.say(b"x")
        self.assertEqual(self.successResultOf(asked), 200)
        self.assertTrue(self.daemon.connections[0][1].disconnected)
        self.daemon.close()

    def test_no_connection(self) -> None:
        """
        Connecting has its time.
        """
        self.ask()
        [(host, port, _factory, timeout, _bind)] = self.daemon.reactor.tcpClients
        self.assertEqual((host, port, timeout), ("127.0.0.1", 8081, 10.0))

    def test_lost(self) -> None:
        """
        A connection that ends before the answer has begun.
        """
        asked = self.ask()
        self.daemon.accept()
        self.daemon.close()
        self.failureResultOf(asked, ResponseNeverReceived)
        status = self.status()
        self.daemon.accept()
        self.daemon.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        self.daemon.close()
        self.failureResultOf(status, ConnectionDone)

    def test_nonsense(self) -> None:
        """
        The connection is aborted, and the failure says why.
        """
        asked = self.ask()
        self.daemon.accept()
        self.daemon.say(b"nonsense")
        self.assertTrue(self.daemon.connections[-1][1].disconnected)
        self.daemon.close()
        failure = self.failureResultOf(asked, BadUpstreamResponse)
        self.assertEqual(str(failure.value), "it is not HTTP")

    def test_a_poll_of_nonsense(self) -> None:
        """
        Is no answer either.
        """
        status = self.status()
        self.daemon.accept()
        self.daemon.say(b"nonsense\r\n")
        self.failureResultOf(status, BadUpstreamResponse)
        self.assertEqual(self.client.last_probe, "GET /health: it is not HTTP")

    def test_a_kept_connection_is_no_answer(self) -> None:
        """
        Where it was closed meanwhile, the poll goes out on a new one, and once only.
        """
        status = self.status()
        self.daemon.accept()
        self.daemon.say(OK)
        self.successResultOf(status)
        status = self.status()
        self.daemon.close()
        self.assertEqual(len(self.daemon.reactor.tcpClients), 2)
        self.daemon.accept()
        self.daemon.close()
        self.failureResultOf(status, ResponseNeverReceived)
        self.assertEqual(len(self.daemon.reactor.tcpClients), 2)

    def test_not_kept(self) -> None:
        """
        An answer that says that its connection ends with it, in whatever way.
        """
        for head in (
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: Close\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n",
        ):
            self.daemon = Daemon()
            self.client = UpstreamClient(LOOPBACK, self.daemon.reactor)
            asked = self.ask()
            self.daemon.accept()
            self.daemon.say(head + b"Content-Length: 0\r\n\r\n")
            self.successResultOf(asked).connection.deliver_to(Reader())
            self.assertTrue(self.daemon.connections[-1][1].disconnecting)
            self.ask()
            self.assertEqual(len(self.daemon.reactor.tcpClients), 2, head)

    def keep(self, *, number: int) -> None:
        """
        Let so many connections be idle.
        """
        asked = []
        for _ in range(number):
            asked.append(self.ask())
            self.daemon.accept()
        for index, each in enumerate(asked):
            self.daemon.say(OK, index)
            self.successResultOf(each).connection.deliver_to(Reader())

    def test_a_kept_connection_that_was_closed(self) -> None:
        """
        It was no try: the request goes out once more, whole, on a new connection, for
        others that are idle are as old.
        """
        self.keep(number=2)
        asked = self.ask()
        self.daemon.close(1)
        self.assertNoResult(asked)
        self.assertTrue(self.daemon.connections[0][1].disconnecting)
        self.daemon.accept()
        self.assertTrue(self.daemon.heard().endswith(b"\r\n\r\nbody"))
        self.answered(asked)
        self.assertEqual(len(self.daemon.reactor.tcpClients), 3)

    def test_closed_twice(self) -> None:
        """
        The second try was on a new connection: it was one.
        """
        self.keep(number=1)
        asked = self.ask()
        self.daemon.close()
        self.daemon.accept()
        self.daemon.close()
        self.failureResultOf(asked, ResponseNeverReceived)

    def test_a_kept_connection_that_had_begun_to_answer(self) -> None:
        """
        Nothing is asked again of which a byte was answered.
        """
        self.keep(number=1)
        asked = self.ask()
        self.daemon.say(b"H")
        self.daemon.close()
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(len(self.daemon.reactor.tcpClients), 1)

    def test_given_up(self) -> None:
        """
        Cancelling the wait closes the connection, so that the engine stops.
        """
        asked = self.ask()
        self.daemon.accept()
        asked.cancel()
        self.assertTrue(self.daemon.connections[0][1].disconnected)
        self.daemon.close()
        self.failureResultOf(asked)
