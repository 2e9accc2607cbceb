"""
Relay: from the daemon's bytes to the client's, by Twisted's own client and server.
"""

import json
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from swapgate.api.engine_errors import MAX_BODY
from swapgate.api.relay import Outcome, Relay
from swapgate.api.surfaces import OPENAI
from swapgate.config.limits import Limits
from swapgate.fleet.lease import Lease
from swapgate.server.request import GatewayRequest
from swapgate.server.site import GatewaySite
from swapgate.upstream.connection import Pool, Response, UpstreamConnection
from tests.doubles import ACCESS, model

STREAM = b"text/event-stream"
JSON = b"application/json"


class Wire(StringTransport):
    """
    One side's transport: what was written, in which pieces, and how it was closed.
    """

    aborted = False
    producer: Any

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def heard(self) -> bytes:
        """
        What was written since the last call.
        """
        data: bytes = self.value()
        self.clear()
        return data


class Held(Resource):
    """
    Keeps the request for the test.
    """

    isLeaf = True
    request: GatewayRequest

    def render(self, request: GatewayRequest) -> int:
        self.request = request
        return int(NOT_DONE_YET)


@define
class RelayRig:
    """
    A client's request on one side, a daemon's response on the other, a relay between.
    """

    clock: Clock = field(factory=Clock)
    client: Wire = field(factory=Wire)
    daemon: Wire = field(factory=Wire)
    pool: Pool = field(init=False)
    connection: UpstreamConnection = field(init=False)
    outcomes: list[Outcome] = field(factory=list)
    relay: Relay = field(init=False)
    channel: Any = field(init=False)
    request: GatewayRequest = field(init=False)

    def open(self, head: bytes, version: bytes = b"HTTP/1.1", **timeouts: Any) -> None:
        """
        Ask, and let the daemon answer with this head.
        """
        resource = Held()
        site = GatewaySite(resource, access=ACCESS, reactor=self.clock, limits=Limits())
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.client)
        self.channel.dataReceived(b"POST / %s\r\nHost: x\r\n\r\n" % version)
        self.request = resource.request
        self.pool = Pool(self.clock)
        self.connection = self.pool.buildProtocol(None)
        self.connection.makeConnection(self.daemon)
        asked = self.connection.ask(b"POST / HTTP/1.1\r\n\r\n", ())
        asked.addCallback(self._relay, timeouts)
        self.connection.dataReceived(head)

    def _relay(self, response: Response, timeouts: Any) -> None:
        bounds = {"first_token_timeout_s": None, "stall_timeout_s": 300.0} | timeouts
        client: Any = None
        lease = Lease(model("a", **bounds), client, lambda *_: None, 0.0, False)
        self.relay = Relay(self.request, response, OPENAI, lease, self.clock)
        response.connection.deliver_to(self.relay)
        self.relay.done.addCallback(self.outcomes.append)

    def say(self, data: bytes) -> None:
        """
        The daemon sends this in one piece.
        """
        self.connection.dataReceived(data)

    def chunks(self, *data: bytes) -> None:
        """
        The daemon sends these as chunks, in one read.
        """
        self.say(b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in data))

    def die(self, error: type[Exception] = ConnectionLost) -> None:
        """
        The daemon's connection is lost.
        """
        self.connection.connectionLost(Failure(error()))


def head(content_type: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + content_type, *more]
    return b"\r\n".join([*lines, b"", b""])


CHUNKED = b"Transfer-Encoding: chunked"


def body_of(answer: bytes) -> bytes:
    """
    The chunks of an answer, joined; with its head or without, ended or not.
    """
    data = answer.partition(b"\r\n\r\n")[2] if answer.startswith(b"HTTP/") else answer
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        found, data = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


class RelayCase(SynchronousTestCase):
    """
    One request, one answer.
    """

    def setUp(self) -> None:
        self.rig = RelayRig()

    def open_stream(self, **timeouts: Any) -> None:
        self.rig.open(head(STREAM, CHUNKED), **timeouts)


class StreamTests(RelayCase):
    """
    Event streams that end well.
    """

    def test_tokens_arrive_one_by_one(self) -> None:
        """
        Each event is with the client before the next one is sent.
        """
        self.open_stream()
        for event in (b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"):
            self.rig.chunks(event)
            self.assertEqual(body_of(self.rig.client.heard()), event)

    def test_the_head_waits_for_a_byte(self) -> None:
        """
        Until the daemon's first byte the status is still free.
        """
        self.open_stream()
        self.assertEqual(self.rig.client.heard(), b"")

    def test_the_first_token_comes_with_the_head(self) -> None:
        """
        What the daemon sends in one piece with its head is passed on at once too.
        """
        self.rig.open(head(STREAM, CHUNKED) + b"9\r\ndata: a\n\n\r\n")
        self.assertEqual(body_of(self.rig.client.heard()), b"data: a\n\n")

    def test_one_read_is_one_write(self) -> None:
        """
        What comes together, however it is chunked, leaves together.
        """
        self.open_stream()
        self.rig.chunks(b"data: a\n\n")
        before = len(self.rig.client.writes)
        self.rig.chunks(b"data: b\n", b"\n", b"data: c\n\n")
        self.assertEqual(len(self.rig.client.writes), before + 1)
        self.assertEqual(body_of(self.rig.client.writes[-1]), b"data: b\n\ndata: c\n\n")

    def test_bytes_are_unchanged(self) -> None:
        """
        Whatever the line ends, comments and splits, the client gets the same bytes.
        """
        text = b": hm\r\n\r\nevent: x\r\ndata: \xc3\xa4\r\n\r\n\n\ndata: [DONE]\n\nrest"
        for size in (1, 2, 5, 100):
            with self.subTest(size=size):
                self.rig = RelayRig()
                self.open_stream()
                for start in range(0, len(text), size):
                    self.rig.chunks(text[start : start + size])
                self.rig.say(b"0\r\n\r\n")
                self.assertEqual(body_of(self.rig.client.heard()), text)
                self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])

    def test_half_a_line_waits(self) -> None:
        """
        A line is passed on when it is whole.
        """
        self.open_stream()
        self.rig.chunks(b"data: one\nda")
        self.assertEqual(body_of(self.rig.client.heard()), b"data: one\n")
        self.rig.chunks(b"ta: two\n")
        self.assertEqual(body_of(self.rig.client.heard()), b"data: two\n")

    def test_a_line_of_any_length(self) -> None:
        """
        Ten megabytes without a newline are one line.
        """
        self.open_stream()
        piece = b"x" * 65536
        for _ in range(160):
            self.rig.chunks(piece)
        self.assertEqual(self.rig.client.heard(), b"")
        self.rig.chunks(b"\n")
        self.assertEqual(len(body_of(self.rig.client.heard())), 160 * 65536 + 1)

    def test_the_end_is_passed_on_at_once(self) -> None:
        """
        The last event, [DONE] and the final chunk leave in the read that brought them.
        """
        self.open_stream()
        self.rig.say(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        self.assertTrue(self.rig.client.heard().endswith(b"[DONE]\n\n\r\n0\r\n\r\n"))
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])
        self.assertFalse(self.rig.client.disconnecting)

    def test_a_clean_end_without_done(self) -> None:
        """
        Not every API has a [DONE].
        """
        self.open_stream()
        self.rig.chunks(b"data: a\n\n")
        self.rig.say(b"0\r\n\r\n")
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])
        self.assertTrue(self.rig.client.heard().endswith(b"0\r\n\r\n"))

    def test_ended_by_the_close_alone(self) -> None:
        """
        Where the daemon frames nothing, its close ends a stream of whole events.
        """
        self.rig.open(head(STREAM))
        self.rig.say(b"data: a\n\n")
        self.rig.die(ConnectionDone)
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])


class PlainTests(RelayCase):
    """
    Answers that are no stream.
    """

    def test_whole_without_a_newline(self) -> None:
        """
        A JSON answer arrives whole, with its status and length.
        """
        self.rig.open(head(JSON, b"Content-Length: 12", status=b"400 Bad Request"))
        self.rig.say(b'{"error": 1}')
        answer = self.rig.client.heard()
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn(b"Content-Length: 12\r\n", answer)
        self.assertTrue(answer.endswith(b'\r\n\r\n{"error": 1}'))
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])

    def test_nothing_is_held_back(self) -> None:
        """
        A large answer without newlines is passed on as it comes.
        """
        self.rig.open(head(JSON, CHUNKED))
        self.rig.chunks(b"x" * 1000)
        self.assertEqual(body_of(self.rig.client.heard()), b"x" * 1000)

    def test_empty(self) -> None:
        """
        An answer without a body is an answer.
        """
        self.rig.open(head(JSON, b"Content-Length: 0"))
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])
        self.assertIn(b"Content-Length: 0\r\n", self.rig.client.heard())

    def test_no_content(self) -> None:
        """
        A status that has no body gets no length either.
        """
        self.rig.open(head(JSON, status=b"204 No Content"))
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])
        self.assertNotIn(b"Content-Length", self.rig.client.heard())

    def test_only_known_headers_pass(self) -> None:
        """
        CORS, cookies and the reason phrase stay behind; what describes the body passes.
        """
        self.rig.open(
            head(
                JSON,
                b"Content-Length: 2",
                b"Access-Control-Allow-Origin: http://evil.example",
                b"Set-Cookie: a=b",
                b"Server: llama.cpp",
                b"X-Request-Id: 7",
                b"Retry-After: 3",
                status=b"200 Sure thing",
            )
        )
        self.rig.say(b"{}")
        answer = self.rig.client.heard()
        for wanted in (b"HTTP/1.1 200 OK", b"X-Request-Id: 7", b"Retry-After: 3"):
            self.assertIn(wanted + b"\r\n", answer)
        for unwanted in (b"Access-Control", b"Cookie", b"llama.cpp", b"Sure"):
            self.assertNotIn(unwanted, answer)

    def test_one_of_a_kind(self) -> None:
        """
        A second header of a name would be read by some and not by others.
        """
        self.rig.open(head(JSON, b"Content-Length: 2", b"Content-Type: text/html"))
        self.rig.say(b"{}")
        answer = self.rig.client.heard()
        self.assertEqual(answer.count(b"Content-Type: "), 1)
        self.assertIn(b"Content-Type: application/json\r\n", answer)

    def test_cut_short(self) -> None:
        """
        A body that ends too early ends short of its length, and nothing follows.
        """
        self.rig.open(head(JSON, b"Content-Length: 100"))
        self.rig.say(b'{"a":')
        self.rig.die()
        self.assertEqual(self.rig.outcomes, [Outcome.CUT])
        self.assertTrue(self.rig.client.heard().endswith(b'\r\n\r\n{"a":'))
        self.assertTrue(self.rig.client.disconnecting)
        self.assertFalse(self.rig.client.aborted)

    def test_cut_short_in_chunks(self) -> None:
        """
        Then the final chunk is missing.
        """
        self.rig.open(head(JSON, CHUNKED))
        self.rig.chunks(b"{")
        self.rig.die()
        self.assertTrue(self.rig.client.heard().endswith(b"1\r\n{\r\n"))
        self.assertTrue(self.rig.client.disconnecting)

    def test_cut_short_for_an_old_client(self) -> None:
        """
        Where only the close would end it, a reset says that it is not whole.
        """
        self.rig.open(head(JSON, CHUNKED), version=b"HTTP/1.0")
        self.rig.chunks(b"{")
        self.rig.die()
        self.assertTrue(self.rig.client.aborted)


class EngineErrorTests(RelayCase):
    """
    An engine's own 5xx.
    """

    vision = (
        b'{"error":{"code":500,"message":"image input is not supported - hint: if this '
        b'is unexpected, you may need to provide the mmproj","type":"server_error"}}'
    )

    def hear(self, body: bytes, length: int | None = None) -> bytes:
        """
        What the client hears of a 500 with this body.
        """
        size = b"Content-Length: %d" % (len(body) if length is None else length)
        self.rig.open(head(JSON, size, status=b"500 Internal Server Error"))
        self.rig.say(body)
        return self.rig.client.heard()

    def test_the_request_is_at_fault(self) -> None:
        """
        It is a 400 in the engine's own words, so that no client retries it.
        """
        status, _, rest = self.hear(self.vision).partition(b"\r\n")
        self.assertEqual(status, b"HTTP/1.1 400 Bad Request")
        self.assertIn(b"Content-Length: %d\r\n" % len(self.vision), rest)
        self.assertIn(b"Content-Type: application/json\r\n", rest)
        self.assertTrue(rest.endswith(b"\r\n\r\n" + self.vision))
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])

    def test_all_else_passes(self) -> None:
        """
        As it came: other words, and what is no JSON.
        """
        for body in (b'{"error": {"message": "out of memory"}}', b"oops", b""):
            with self.subTest(body=body):
                self.rig = RelayRig()
                heard = self.hear(body)
                self.assertTrue(heard.startswith(b"HTTP/1.1 500 "), heard)
                self.assertTrue(heard.endswith(b"\r\n\r\n" + body))

    def test_a_large_one_is_not_kept(self) -> None:
        """
        It passes as it comes.
        """
        heard = self.hear(self.vision, length=MAX_BODY + 1)
        self.assertTrue(heard.startswith(b"HTTP/1.1 500 "), heard)
        self.assertTrue(heard.endswith(self.vision))

    def test_cut_short(self) -> None:
        """
        Nothing of it went out: the request can be sent again.
        """
        self.assertEqual(self.hear(self.vision[:50], len(self.vision)), b"")
        self.rig.die()
        self.assertEqual(self.rig.client.heard(), b"")
        self.assertEqual(self.rig.outcomes, [Outcome.UNANSWERED])


class FailureTests(RelayCase):
    """
    Daemons that die or break the protocol.
    """

    def failed_after(self, *said: bytes, by: Callable[[], None] | None = None) -> bytes:
        """
        What the client gets of a stream that fails after this.
        """
        self.open_stream()
        self.rig.chunks(*said)
        (by or self.rig.die)()
        self.assertEqual(self.rig.outcomes, [Outcome.CUT])
        self.assertTrue(self.rig.client.disconnecting)
        self.assertFalse(self.rig.client.aborted, "a reset would lose bytes")
        answer = self.rig.client.heard()
        self.assertFalse(answer.endswith(b"0\r\n\r\n"))
        self.assertNotIn(b"[DONE]", answer)
        return body_of(answer)

    def check_error(self, event: bytes) -> None:
        self.assertTrue(event.startswith(b"data: "), event)
        self.assertTrue(event.endswith(b"\n\n"))
        error = json.loads(event.removeprefix(b"data: "))["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertEqual(error["code"], "upstream_failed")

    def test_dies_between_events(self) -> None:
        """
        All that was complete arrives, then the error, then the end without an end.
        """
        body = self.failed_after(b"data: a\n\n", b"data: b\n\n")
        self.assertTrue(body.startswith(b"data: a\n\ndata: b\n\n"))
        self.check_error(body.removeprefix(b"data: a\n\ndata: b\n\n"))

    def test_dies_in_a_line(self) -> None:
        """
        The unfinished line is dropped.
        """
        body = self.failed_after(b'data: a\n\ndata: {"cho')
        self.check_error(body.removeprefix(b"data: a\n\n"))

    def test_dies_in_an_event(self) -> None:
        """
        An open event is closed by a blank line.
        """
        body = self.failed_after(b"data: a\n")
        self.check_error(body.removeprefix(b"data: a\n\n"))

    def test_breaks_the_chunks(self) -> None:
        """
        Broken framing is a failure like any other.
        """
        body = self.failed_after(
            b"data: a\n\n", by=lambda: self.rig.say(b"no size\r\nhm\r\n")
        )
        self.check_error(body.removeprefix(b"data: a\n\n"))

    def test_a_stream_with_a_length(self) -> None:
        """
        A daemon may say how long its stream will be. The error is no part of that: it
        would end the answer as if it were whole, or be read as the next one.
        """
        self.rig.open(head(STREAM, b"Content-Length: 40"))
        self.rig.say(b"data: a\n\n")
        self.rig.die()
        self.assertEqual(self.rig.outcomes, [Outcome.CUT])
        answer = self.rig.client.heard()
        self.assertNotIn(b"Content-Length", answer)
        self.check_error(body_of(answer).removeprefix(b"data: a\n\n"))

    def test_falls_silent(self) -> None:
        """
        After stall_timeout without a byte it counts as dead, and is hung up on.
        """
        body = self.failed_after(b"data: a\n\n", by=lambda: self.rig.clock.advance(300))
        self.check_error(body.removeprefix(b"data: a\n\n"))
        self.assertIn(b"fell silent for 300 s", body)
        self.assertTrue(self.rig.daemon.aborted)

    def test_an_endless_line(self) -> None:
        """
        A line over 64 MiB is a failure of the daemon.
        """
        mebibyte = b"x" * 2**20

        def rave() -> None:
            for _ in range(65):
                self.rig.chunks(mebibyte)

        body = self.failed_after(b"data: a\n\n", by=rave)
        self.check_error(body.removeprefix(b"data: a\n\n"))

    def test_dies_before_a_byte(self) -> None:
        """
        Then nothing is written: the request can be sent again.
        """
        self.open_stream()
        self.rig.die()
        self.assertEqual(self.rig.outcomes, [Outcome.UNANSWERED])
        self.assertEqual(self.rig.client.heard(), b"")
        self.assertFalse(self.rig.client.disconnecting)

    def test_silent_before_a_byte(self) -> None:
        """
        The first byte has a bound of its own, by default none.
        """
        self.open_stream()
        self.rig.clock.advance(100_000)
        self.assertEqual(self.rig.outcomes, [])
        self.rig = RelayRig()
        self.open_stream(first_token_timeout_s=60.0)
        self.rig.clock.advance(60)
        self.assertEqual(self.rig.outcomes, [Outcome.UNANSWERED])

    def test_unframed_and_cut(self) -> None:
        """
        A stream that only the close would end is not whole in the middle of a line.
        """
        self.rig.open(head(STREAM))
        self.rig.say(b"data: a\n\ndata: b")
        self.rig.die(ConnectionDone)
        self.assertEqual(self.rig.outcomes, [Outcome.CUT])

    def test_unframed_and_cut_in_an_event(self) -> None:
        """
        Nor is it after a line that no blank line follows: its reader would drop it.
        """
        for said in (b"data: a\n", b"data: a\n\ndata: b\n", b"data: a\r\n"):
            self.rig = RelayRig()
            self.rig.open(head(STREAM))
            self.rig.say(said)
            self.rig.die(ConnectionDone)
            self.assertEqual(self.rig.outcomes, [Outcome.CUT], said)
            last = body_of(self.rig.client.heard()).rpartition(b"data: ")[2]
            self.check_error(b"data: " + last)

    def test_unframed_and_reset(self) -> None:
        """
        A reset is no end of any answer, wherever it comes.
        """
        for kind, said in ((STREAM, b"data: a\n\n"), (JSON, b"{}")):
            self.rig = RelayRig()
            self.rig.open(head(kind))
            self.rig.say(said)
            self.rig.die(ConnectionLost)
            self.assertEqual(self.rig.outcomes, [Outcome.CUT], said)

    def test_unframed_and_closed(self) -> None:
        """
        A plain answer without a length ends with the daemon's FIN.
        """
        self.rig.open(head(JSON))
        self.rig.say(b"{}")
        self.rig.die(ConnectionDone)
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])


class ClientTests(RelayCase):
    """
    Clients that are slow, or go.
    """

    def hang_up(self) -> None:
        self.rig.client.producer.stopProducing()
        self.rig.channel.connectionLost(Failure(ConnectionDone()))

    def test_goes_in_the_middle(self) -> None:
        """
        The daemon's connection is closed at once, whatever it still sends.
        """
        self.open_stream()
        self.rig.chunks(b"data: a\n\n")
        self.hang_up()
        self.assertTrue(self.rig.daemon.aborted)
        self.rig.chunks(b"data: b\n\n")
        self.rig.die()
        self.assertEqual(self.rig.clock.getDelayedCalls(), [])

    def test_serving_is_cancelled(self) -> None:
        """
        Cancelling `done` is the same.
        """
        self.open_stream()
        ended: list[Failure] = []
        self.rig.relay.done.addErrback(ended.append)
        self.rig.relay.done.cancel()
        self.assertTrue(self.rig.daemon.aborted)
        self.assertTrue(ended[0].check(CancelledError))

    def test_is_slow(self) -> None:
        """
        Backpressure: the daemon is read as fast as the client reads, and a paused
        daemon does not count as silent.
        """
        self.open_stream(stall_timeout_s=10.0)
        self.rig.chunks(b"data: a\n\n")
        self.rig.client.producer.pauseProducing()
        self.assertEqual(self.rig.daemon.producerState, "paused")
        self.rig.clock.advance(20)
        self.assertEqual(self.rig.outcomes, [])
        self.rig.client.producer.resumeProducing()
        self.assertEqual(self.rig.daemon.producerState, "producing")
        self.rig.clock.advance(10)
        self.assertEqual(self.rig.outcomes, [Outcome.CUT])


class ReuseTests(RelayCase):
    """
    What comes after an answer.
    """

    def test_the_next_answer_is_its_own(self) -> None:
        """
        A relay that is over leaves no trace on the connection.
        """
        self.open_stream()
        self.rig.say(b"0\r\n\r\n")
        self.assertIs(self.rig.pool.take(), self.rig.connection)
        self.assertFalse(self.rig.daemon.aborted)

    def test_waits_no_longer(self) -> None:
        """
        `done` fires once.
        """
        self.open_stream()
        done: Deferred[Outcome] = self.rig.relay.done
        self.rig.say(b"0\r\n\r\n")
        self.rig.die()
        self.assertEqual(self.rig.outcomes, [Outcome.WHOLE])
        self.assertTrue(done.called)

    def test_a_slow_client(self) -> None:
        """
        The end of an answer fills its buffer: the connection, which others may have by
        then, is not paused for it.
        """
        self.open_stream()
        write = self.rig.client.write

        def fill(data: bytes) -> None:
            write(data)
            self.rig.relay.pauseProducing()

        self.rig.client.write = fill  # type: ignore[method-assign]
        self.rig.say(b"0\r\n\r\n")
        self.assertIs(self.rig.pool.take(), self.rig.connection)
        self.assertEqual(self.rig.daemon.producerState, "producing")
