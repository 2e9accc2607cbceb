"""
Upstream connection: requests, responses and the pool, byte by byte.
"""

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import h11
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss

from swapgate.upstream.connection import (
    Body,
    Pool,
    Response,
    StaleConnection,
    UpstreamConnection,
)
from swapgate.upstream.response_parser import BadUpstreamResponse
from tests.upstream import Reader

HEAD = b"POST / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire(StringTransport):
    """
    A daemon's side: every write for itself, and how it was closed.
    """

    disconnected: bool
    disconnecting: bool
    producer: Any
    producerState: str
    bufferSize = 0

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    @property
    def is_open(self) -> bool:
        return not (self.disconnecting or self.disconnected)


@define(eq=False)
class Rig:
    """
    A pool, and one of its connections with a request on its way.
    """

    clock: Clock = field(factory=Clock)
    pool: Pool = field(init=False)
    connection: UpstreamConnection = field(init=False)
    wire: Wire = field(init=False)
    reader: Reader = field(factory=Reader)
    responses: list[Response] = field(factory=list)
    failures: list[Failure] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.pool = Pool(self.clock)
        self.connect()

    def connect(self) -> None:
        self.connection = self.pool.buildProtocol(None)
        self.wire = Wire()
        self.connection.makeConnection(self.wire)

    def ask(self, body: Body = (), *, late: bool = False) -> Deferred[Response]:
        """
        :param late: nobody waits to read the response.
        """
        self.reader = Reader()
        asked = self.connection.ask(HEAD, body)
        if not late:
            asked.addCallbacks(self.read, self.failures.append)
        return asked

    def read(self, response: Response) -> None:
        self.responses.append(response)
        response.connection.deliver_to(self.reader)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.dataReceived(piece)

    def close(self, error: type[Exception] = ConnectionDone) -> None:
        self.connection.connectionLost(Failure(error()))

    @property
    def is_kept(self) -> bool:
        """
        Whether it is in the pool; it stays there.
        """
        kept = self.pool.take()
        if kept is not None:
            self.pool.put(kept)
        return kept is self.connection


class RequestTests(SynchronousTestCase):
    """
    What goes to the daemon.
    """

    def setUp(self) -> None:
        self.rig = Rig()

    def test_in_one_write(self) -> None:
        """
        Head and body leave together, whatever the body's pieces are.
        """
        self.rig.ask([b"one ", bytearray(b"two "), b"three"])
        self.assertEqual(self.rig.wire.writes, [HEAD + b"one two three"])
        self.assertIsNone(self.rig.wire.producer)

    def test_as_fast_as_it_is_taken(self) -> None:
        """
        A large body goes in slabs, each when the one before has been taken, unaltered
        whether it is in small pieces or one large one.
        """
        whole = random.Random(1).randbytes(1_000_003)
        for size in (len(whole), 65536, 100_000, 300_000):
            pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
            kept = [bytearray(piece) for piece in pieces]
            for body in (pieces, kept):
                self.rig = Rig()
                self.rig.ask(body)
                if body is kept:
                    # A request that is over drops its body.
                    kept.clear()
                written = 1
                while (producer := self.rig.wire.producer) is not None:
                    self.assertEqual(len(self.rig.wire.writes), written)
                    producer.resumeProducing()
                    written += 1
                self.assertEqual(self.rig.wire.value(), HEAD + whole)
                self.assertLess(max(map(len, self.rig.wire.writes)), 300_000)

    def test_answered_before_it_is_written(self) -> None:
        """
        The response is read as it comes; the rest is not written, and the connection
        not used again.
        """
        self.rig.ask([bytes(2**20)])
        self.rig.say(OK + b"o")
        self.assertEqual(self.rig.reader.reads, [b"o"])
        self.rig.wire.producer.resumeProducing()
        self.rig.say(b"k")
        self.assertEqual(self.successResultOf(self.rig.reader.whole), b"ok")
        self.assertTrue(self.rig.wire.disconnected)
        self.assertFalse(self.rig.is_kept)

    def test_lost_while_it_is_written(self) -> None:
        """
        Nothing more is produced.
        """
        self.rig.ask([bytes(2**20)])
        producer = self.rig.wire.producer
        producer.stopProducing()
        self.rig.close(ConnectionLost)
        [failure] = self.rig.failures
        failure.trap(ResponseNeverReceived)
        producer.resumeProducing()
        self.assertIsNone(self.rig.wire.producer)
        self.assertEqual(len(self.rig.wire.writes), 1)

    def test_cancelled(self) -> None:
        """
        The connection is closed at once, also while the body is written.
        """
        for body in ([], [bytes(2**20)]):
            self.rig = Rig()
            asked = self.rig.ask(body)
            asked.cancel()
            self.assertTrue(self.rig.wire.disconnected)
            [failure] = self.rig.failures
            failure.trap(CancelledError)
            self.rig.say(OK)
            self.rig.close(ConnectionLost)
            self.assertEqual(self.rig.responses, [])

    def test_abort(self) -> None:
        """
        At once, as often as one likes, and before there is a connection.
        """
        connection = self.rig.pool.buildProtocol(None)
        connection.abort_now()
        wire = Wire()
        connection.makeConnection(wire)
        for _ in range(2):
            connection.abort_now()
            self.assertTrue(wire.disconnected)


class ResponseTests(SynchronousTestCase):
    """
    What comes from the daemon.
    """

    def setUp(self) -> None:
        self.rig = Rig()

    def test_little_is_read_at_a_time(self) -> None:
        """
        Each byte may be a line or a chunk, and others want their turn.
        """
        self.assertEqual(self.rig.wire.bufferSize, 16 * 1024)

    def test_one_read_is_one_piece(self) -> None:
        """
        However it is chunked; what comes with the head, too, and the end after it.
        """
        self.rig.ask()
        self.rig.say(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n")
        self.assertEqual(self.rig.reader.reads, [b"abc"])
        self.rig.say(b"1\r\nd\r\n1\r\ne\r\n0\r\n\r\n")
        self.assertEqual(self.rig.reader.reads, [b"abc", b"de"])
        self.assertEqual(self.successResultOf(self.rig.reader.whole), b"abcde")

    def test_ends(self) -> None:
        """
        Which ends are whole, which may be, and which are not.
        """
        until_close = b"HTTP/1.1 200 OK\r\n\r\nok"
        for data, error, end in (
            (OK + b"ok", None, ResponseDone),
            (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", None, ResponseDone),
            (b"HTTP/1.1 204 No\r\n\r\n", None, ResponseDone),
            (until_close, ConnectionDone, PotentialDataLoss),
            (until_close.replace(b"1.1", b"1.0"), ConnectionDone, PotentialDataLoss),
            (until_close, ConnectionLost, ConnectionLost),
            (OK + b"o", ConnectionDone, ConnectionDone),
            (OK + b"o", ConnectionLost, ConnectionLost),
            (CHUNKED + b"2\r\nok\r\n", ConnectionDone, ConnectionDone),
            (CHUNKED + b"2\r\nok\r\n0\r\n", ConnectionDone, ConnectionDone),
            (CHUNKED + b"2\r\nok\r\nx", None, BadUpstreamResponse),
        ):
            for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
                self.rig = Rig()
                self.rig.ask()
                self.rig.say(*pieces)
                if error is not None:
                    self.assertIsNone(self.rig.reader.end)
                    self.rig.close(error)
                assert self.rig.reader.end is not None
                self.rig.reader.end.trap(end)
                if end is not PotentialDataLoss:
                    self.assertIs(self.rig.wire.is_open, end is ResponseDone)

    def test_refused(self) -> None:
        """
        The connection is aborted, and the failure says why; once.
        """
        self.rig.ask()
        self.rig.say(b"HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n")
        self.assertTrue(self.rig.wire.disconnected)
        [failure] = self.rig.failures
        failure.trap(BadUpstreamResponse)
        self.rig.say(b"more")
        self.rig.close(ConnectionLost)
        self.assertEqual(len(self.rig.failures), 1)

    def test_lost_before_its_head(self) -> None:
        """
        On a new connection it is a failure; on a used one only if a byte had come.
        """
        self.rig.ask()
        self.rig.close()
        for said, error in ((b"", StaleConnection), (b"H", ResponseNeverReceived)):
            self.rig.connect()
            self.rig.ask()
            self.rig.say(OK + b"ok")
            self.assertIs(self.rig.pool.take(), self.rig.connection)
            self.rig.ask()
            self.rig.say(*([said] if said else []))
            self.rig.close()
            self.rig.failures[-1].trap(error)
        self.rig.failures[0].trap(ResponseNeverReceived)

    def test_a_reader_that_comes_late(self) -> None:
        """
        Nothing is lost, and no more is read until it is there.
        """
        for end in (b"k", b"o"):
            self.rig.connect()
            asked = self.rig.ask(late=True)
            self.rig.say(OK + b"o")
            self.assertEqual(self.rig.wire.producerState, "paused")
            if end == b"o":
                self.rig.close()
            self.rig.read(self.successResultOf(asked))
            if end == b"k":
                self.assertEqual(self.rig.wire.producerState, "producing")
                self.rig.say(b"k")
                self.assertEqual(self.rig.reader.reads, [b"o", b"k"])
            else:
                self.assertEqual(self.rig.reader.reads, [b"o"])
            self.assertIsNotNone(self.rig.reader.end)

    def test_a_reader_that_had_enough(self) -> None:
        """
        It is told nothing more, of the read in which it aborts neither.
        """

        class Full(Reader):
            def dataReceived(reader, data: bytes) -> None:  # noqa: N805
                super().dataReceived(data)
                self.rig.connection.abort_now()

        reader = self.rig.reader
        self.rig.ask(late=True).addCallback(lambda r: r.connection.deliver_to(reader))
        reader = Full()
        self.rig.say(OK + b"ok")
        self.assertEqual((reader.reads, reader.end), ([b"ok"], None))
        self.assertTrue(self.rig.wire.disconnected)
        self.assertFalse(self.rig.is_kept)

    def test_asked_again_at_its_end(self) -> None:
        """
        The next request may go out from within the end of a response: it is read.
        """
        again = Reader()

        class Next(Reader):
            def connectionLost(reader, reason: Any = None) -> None:  # noqa: N805
                connection = self.rig.pool.take()
                assert connection is not None
                connection.ask(HEAD, ()).addCallback(
                    lambda r: r.connection.deliver_to(again)
                )

        reader = Next()
        self.rig.ask(late=True).addCallback(lambda r: r.connection.deliver_to(reader))
        self.rig.say(OK + b"ok")
        self.assertEqual(self.rig.wire.producerState, "producing")
        self.rig.say(OK + b"ok")
        self.assertEqual(self.successResultOf(again.whole), b"ok")


class PoolTests(SynchronousTestCase):
    """
    Connections that are idle.
    """

    def setUp(self) -> None:
        self.rig = Rig()

    def kept(self, number: int) -> list[Rig]:
        """
        So many, the newest last, each idle for a second when the next one is.
        """
        rigs = []
        for _ in range(number):
            rig = Rig(self.rig.clock)
            rig.pool = self.rig.pool
            rig.connect()
            rig.ask()
            rig.say(OK + b"ok")
            rigs.append(rig)
            self.rig.clock.advance(1 if number < 5 else 0)
        return rigs

    def test_the_newest_first(self) -> None:
        """
        The others are the first to be closed.
        """
        rigs = self.kept(2)
        for rig in reversed(rigs):
            self.assertIs(self.rig.pool.take(), rig.connection)
        self.assertIsNone(self.rig.pool.take())

    def test_not_for_long(self) -> None:
        """
        Each is closed after 3 s, and no timer is left.
        """
        first, second, third = self.kept(3)
        states = [[rig.wire.is_open for rig in (first, second, third)]]
        for _ in range(3):
            self.rig.clock.advance(1)
            states.append([rig.wire.is_open for rig in (first, second, third)])
        self.assertEqual(
            states,
            [
                [False, True, True],
                [False, False, True],
                [False, False, False],
                [False, False, False],
            ],
        )
        self.assertEqual(self.rig.clock.getDelayedCalls(), [])
        self.assertIsNone(self.rig.pool.take())

    def test_not_too_many(self) -> None:
        """
        The oldest goes when there are 64.
        """
        rigs = self.kept(65)
        self.assertEqual([rig.wire.is_open for rig in rigs], [False] + [True] * 64)

    def test_closed(self) -> None:
        """
        All of them, and the timer.
        """
        rigs = self.kept(2)
        self.rig.pool.close()
        self.assertFalse(any(rig.wire.is_open for rig in rigs))
        self.assertEqual(self.rig.clock.getDelayedCalls(), [])
        self.rig.pool.close()

    def test_one_that_ends(self) -> None:
        """
        It leaves the pool at once: when it closes, and when it speaks unasked.
        """
        [rig] = self.kept(1)
        rig.close()
        self.assertIsNone(self.rig.pool.take())
        for said in (b"\r\n", b"HTTP/1.1 408 Late\r\n\r\n"):
            [rig] = self.kept(1)
            rig.say(said)
            self.assertTrue(rig.wire.disconnected)
            self.assertIsNone(self.rig.pool.take())

    def test_which_are_kept(self) -> None:
        """
        Those that end in order, keep open and have said no more than the response.
        """
        close = OK.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n")
        for data, kept in (
            (OK + b"ok", True),
            (CHUNKED + b"0\r\n\r\n", True),
            (b"HTTP/1.1 204 No\r\n\r\n", True),
            (close + b"ok", False),
            (OK.replace(b"1.1", b"1.0") + b"ok", False),
            (OK + b"okk", False),
            (CHUNKED + b"0\r\n\r\n0", False),
        ):
            for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
                self.rig = Rig()
                self.rig.ask()
                # The reader's client is slow: what is idle is read all the same.
                self.rig.wire.pauseProducing()
                self.rig.say(*pieces)
                assert self.rig.reader.end is not None
                self.rig.reader.end.trap(ResponseDone)
                self.assertIs(self.rig.is_kept, kept, data)
                self.assertIs(self.rig.wire.is_open, kept)
                if kept:
                    self.assertEqual(self.rig.wire.producerState, "producing")


# Status, headers, body and whether it has ended; None: it is refused.
Read = tuple[int, list[tuple[bytes, bytes]], bytes, bool] | None


def by_h11(data: bytes) -> Read:
    """
    How h11 reads what is the whole of a connection.
    """
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="POST", target="/", headers=[("Host", "x")]))
    reader.send(h11.EndOfMessage())
    status, headers, body = 0, [], b""
    with contextlib.suppress(h11.RemoteProtocolError):
        for piece in (data, b""):
            reader.receive_data(piece)
            while (event := reader.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                match event:
                    case h11.Response():
                        status, headers = event.status_code, list(event.headers)
                    case h11.Data():
                        body += bytes(event.data)
                    case h11.EndOfMessage():
                        return status, headers, body, True
    return None


def by_us(pieces: Sequence[bytes]) -> Read:
    """
    How we read it; what follows a refusal is dropped.
    """
    rig = Rig()
    rig.ask()
    for piece in pieces:
        if rig.wire.is_open:
            rig.say(piece)
    rig.close()
    end = rig.reader.end
    if not rig.responses or end is None:
        assert rig.failures, pieces
        return None
    [response] = rig.responses
    whole = end.check(ResponseDone, PotentialDataLoss) is not None
    headers = [(name, value.strip(b" \t")) for name, value in response.headers]
    return response.status, headers, b"".join(rig.reader.reads), whole


GOOD = (
    OK + b"ok",
    CHUNKED + b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"ok",
    b"HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\n\r\nnothing here",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\nX: \xe9\r\n\r\nabc",
    b"HTTP/1.1 204 No Content\r\nServer: llama.cpp\r\n\r\n",
    CHUNKED.replace(b"chunked\r\n", b"chunked\r\nContent-Type: text/event-stream\r\n")
    + b'f\r\ndata: {"a": 1}\n\n'[:17]
    + b"\r\n0\r\n\r\n",
)
TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"1", b"f"),
    *(b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"+", b"-", b"0x"),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0", b"chunked", b"\r\n\r\n", b"\x7f", b"\xff"),
)


def mutated(chance: random.Random) -> bytes:
    """
    A good response with a few faults.
    """
    data = bytearray(chance.choice(GOOD))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randint(0, 6))
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(TOKENS)
            case 1:
                data[at:end] = b""
            case 2:
                data[at:end] = chance.choice(TOKENS)
            case _:
                data[at:at] = data[at:end]
    return bytes(data)


class FuzzTests(SynchronousTestCase):
    """
    2,000 responses with faults, beside h11.
    """

    def test_one_reading(self) -> None:
        """
        Where both accept one they read the same; how it is split changes nothing.
        """
        chance = random.Random(11)
        accepted = 0
        for _ in range(2000):
            data = mutated(chance)
            ours = by_us([data])
            at = chance.randrange(len(data) + 1)
            self.assertEqual(
                by_us([data[at : at + 1] for at in range(len(data))]), ours
            )
            self.assertEqual(
                by_us([piece for piece in (data[:at], data[at:]) if piece]), ours
            )
            theirs = by_h11(data)
            if ours is not None and ours[3] and theirs is not None:
                accepted += 1
                self.assertEqual(ours, theirs, data)
        self.assertGreater(accepted, 200)
        self.assertEqual(self.flushLoggedErrors(), [])
