"""
Request bodies in memory: none is kept that is not wanted, or whose client has gone.
"""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access
from swapgate.config.keys import Key
from swapgate.config.limits import Limits
from swapgate.errors import APIError
from swapgate.fleet.lease import LoadFailed
from swapgate.server.body_memory import Body, BodyMemory
from swapgate.server.json_body import BodyFields
from tests.api.test_resource import ANSWER, Case, Daemon
from tests.doubles import ACCESS

MEGABYTE = 10**6
TEXT = b'{"model": "a", "stream": true, "x": "%s"}' % (b"y" * 4 * MEGABYTE)
HEAD = (
    b"POST /infill HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class Ticking(Clock):
    """
    A clock that goes on by 2 ms whenever one looks at it.
    """

    def seconds(self) -> float:
        self.rightNow += 0.002
        return super().seconds()


class BodyTests(SynchronousTestCase):
    """
    A body while it comes, and while it is read.
    """

    def setUp(self) -> None:
        self.memory = BodyMemory()
        self.clock = Clock()

    def body(self, data: bytes, at_a_time: int = 1000) -> Body:
        body = Body(self.memory)
        for start in range(0, len(data), at_a_time):
            body.add(data[start : start + at_a_time])
        return body

    def fields(self, body: Body) -> Deferred[BodyFields]:
        return Deferred.fromCoroutine(body.fields(self.clock))

    def test_bytes_as_they_came(self) -> None:
        """
        However small the pieces are that it comes in.
        """
        for data in (
            b'{"model": "a"}',
            b'{"model": "a", "x": "%s"}' % (b"y" * 300_000),
        ):
            body = self.body(data, 3 if len(data) < 99 else 1000)
            fields = self.successResultOf(self.fields(body))
            self.assertEqual(fields.model, "a")
            read = Deferred.fromCoroutine(body.read(self.clock))
            self.assertEqual(self.successResultOf(read), data)
            self.assertEqual(b"".join(body.pieces()), data)
            self.assertEqual(body.length, len(data))

    def test_a_fault(self) -> None:
        """
        As often as it is read.
        """
        for data in (b"", b'{"model": "a" nonsense', b"[" + b"1," * 99_999):
            body = self.body(data)
            for _ in range(2):
                error = self.failureResultOf(self.fields(body), APIError).value
                self.assertEqual((error.status, error.code), (400, "bad_json"))

    def test_in_turns(self) -> None:
        """
        Others have theirs between, and what its keys take counts meanwhile.
        """
        self.clock = Ticking()
        keys = b",".join(b'"%d": 0' % n for n in range(10_000))
        body = self.body(b'{"model": "a", "x": {%s}}' % keys)
        least = self.memory.taken
        self.assertGreater(least, len(keys))
        found, taken = self.fields(body), []

        def other() -> None:
            taken.append(self.memory.taken)
            if not found.called:
                self.clock.callLater(0, other)

        other()
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(found).model, "a")
        self.assertGreater(len(taken), 3)
        # The interpreter needs more than 100 bytes for a key.
        self.assertGreater(max(taken) - least, 100 * 5_000)
        self.assertEqual(self.memory.taken, least)

    def test_gone_while_it_is_read(self) -> None:
        """
        Nothing of it is left.
        """
        self.clock = Ticking()
        body = self.body(b'{"x": [%s' % (b'"a", {"b": [1, 2]}, ' * 20_000))
        found = self.fields(body)
        self.assertNoResult(found)
        found.cancel()
        self.failureResultOf(found, CancelledError)
        body.drop()
        self.assertEqual((self.memory.taken, self.clock.getDelayedCalls()), (0, []))

    def test_what_it_takes(self) -> None:
        """
        Its bytes and something for its request, until it is dropped; what comes later
        is not kept.
        """
        body, other = self.body(b"x" * 99), self.body(b"{}")
        self.assertGreater(self.memory.taken, 101)
        other.drop()
        for _ in range(2):
            body.drop()
            self.assertEqual((self.memory.taken, body.length), (0, 0))
            body.add(b"more")
        self.assertEqual(self.body(b"").pieces(), ())

    def test_replaced(self) -> None:
        """
        What is sent in its place counts as it did, and is bounded as it was.
        """
        body = self.body(b"x" * 100)
        taken = self.memory.taken
        body.replace(b"y" * 150, Limits())
        self.assertEqual((self.memory.taken, body.length), (taken + 50, 150))
        for limits, code in (
            (Limits(max_body_bytes=150), "request_too_large"),
            (Limits(max_bodies_bytes=taken + 50), "bodies_full"),
        ):
            error = self.assertRaises(APIError, body.replace, b"z" * 151, limits)
            self.assertEqual(error.code, code)
        self.assertEqual(b"".join(body.pieces()), b"y" * 150)


class SlowWire(StringTransport):
    """
    A daemon that takes a body piece by piece.
    """

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()


class BodiesCase(Case):
    """
    Bodies of 4 MB.
    """

    def gateway(self, *daemons: Daemon | Exception, **options: object) -> None:
        super().gateway(*daemons, **options)
        self.site = self.channel.site

    def send(self, data: bytes) -> None:
        """
        As the reactor would read it.
        """
        for start in range(0, len(data), 65536):
            self.channel.dataReceived(data[start : start + 65536])


class ClientGoneTests(BodiesCase):
    """
    A body goes with its client, without the garbage collector's help.
    """

    def check(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """
        The body that `begin` brings is there until `end`.
        """
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        begin()
        self.assertGreater(tracemalloc.get_traced_memory()[0] - before, 3 * MEGABYTE)
        self.assertGreater(self.site.body_memory.taken, 3 * MEGABYTE)
        end()
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, MEGABYTE)
        self.assertEqual(self.site.body_memory.taken, 0)

    def sent(self) -> None:
        self.send(HEAD % len(TEXT) + TEXT)

    def test_while_it_is_sent(self) -> None:
        """
        All but the last byte.
        """
        self.gateway()
        self.check(
            lambda: self.send(HEAD % (len(TEXT) + 1) + TEXT),
            self.hang_up,
        )

    def test_while_it_is_held(self) -> None:
        """
        Waiting for a model.
        """
        self.gateway()
        self.check(self.sent, self.hang_up)
        self.assertEqual(self.scheduler.given_up, 1)

    def test_while_it_is_answered(self) -> None:
        """
        Before and after the first byte of the answer.
        """
        for heard in (b"", ANSWER[:-1]):
            daemon = Daemon()
            self.gateway(daemon)

            def begin(daemon: Daemon = daemon, heard: bytes = heard) -> None:
                self.sent()
                # What the double keeps of what it was sent.
                daemon.wire.clear()
                if heard:
                    daemon.say(heard)

            self.check(begin, self.hang_up)

    def test_while_it_is_passed_on(self) -> None:
        """
        To a daemon that has taken little of it.
        """
        self.gateway(Daemon(wire=SlowWire()))
        self.check(self.sent, self.hang_up)

    def test_after_its_answer(self) -> None:
        """
        The connection stays, the body does not.
        """
        daemon = Daemon()
        self.gateway(daemon)

        def begin() -> None:
            self.sent()
            daemon.wire.clear()

        self.check(begin, lambda: daemon.say(ANSWER))
        self.assertFalse(self.client.disconnecting)

    def test_an_answer_before_the_body_is_over(self) -> None:
        """
        What the daemon has not taken yet is dropped: it has answered without it.
        """
        daemon = Daemon(wire=SlowWire())
        self.gateway(daemon)
        self.sent()
        daemon.say(ANSWER)
        self.assertEqual(self.client.answer()[0], 200)
        self.assertEqual(self.site.body_memory.taken, 0)
        wire: Any = daemon.wire
        self.assertTrue(wire.disconnected)
        wire.producer.resumeProducing()
        self.assertIsNone(wire.producer)
        self.assertLess(len(wire.value()), MEGABYTE)

    def test_after_a_refusal(self) -> None:
        """
        The same for what cannot be answered.
        """
        self.gateway(LoadFailed("a", "no such file", 3.6))
        self.scheduler.late = True
        self.check(self.sent, self.scheduler.go_on)
        self.assertEqual(self.client.error()[0], 409)

    def test_when_it_takes_too_long(self) -> None:
        """
        The connection is still there for two seconds after that.
        """
        self.gateway()
        self.check(
            lambda: self.send(HEAD % (len(TEXT) + 1) + TEXT),
            lambda: self.clock.pump([299.0, 2.0]),
        )
        self.assertEqual(self.client.error()[1]["code"], "request_timeout")


class UnwantedBodyTests(BodiesCase):
    """
    A body that the resource does not want is not kept.
    """

    def taken(self, head: bytes) -> int:
        """
        What a gateway with a key takes for a large body behind this head.
        """
        self.gateway()
        self.site.access = evolve(ACCESS, keys=(Key.of("laptop", "k" * 16),))
        self.send(
            head + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(TEXT)
        )
        self.send(TEXT[:-1])
        return int(self.site.body_memory.taken)

    def test_without_a_key(self) -> None:
        """
        Where none is needed, the body goes by; the answer comes at its end.
        """
        for path in (b"/health", b"/v1/models"):
            self.assertEqual(self.taken(b"GET " + path), 0)
            self.assertEqual(self.client.value(), b"")
            self.send(TEXT[-1:])
            self.assertEqual(self.client.answer()[0], 200)

    def test_refused_by_the_head(self) -> None:
        """
        What its head says that it cannot be is not waited for, nor asked for.
        """
        key = b" HTTP/1.1\r\nx-api-key: kkkkkkkkkkkkkkkk\r\nExpect: 100-continue\r\na:"
        for head, status, code in (
            (b"POST /infill", 401, "invalid_api_key"),
            (b"POST /slots/0" + key, 403, "not_relayed"),
            (b"POST /v1/tomorrow" + key, 404, "not_found"),
            (b"POST /%" + key, 400, "bad_path"),
            (b"PUT /infill" + key, 404, "not_found"),
            (b"POST /health" + key, 405, "method_not_allowed"),
            (b"POST /swapgate/nothing" + key, 404, "not_found"),
            (b"POST /infill" + key + b"\r\nContent-Encoding: gzip\r\na:", 415, None),
        ):
            with self.subTest(head=head):
                self.assertEqual(self.taken(head), 0)
                # A 401 takes its time.
                self.clock.advance(1)
                told, error = self.client.error()
                self.assertEqual(told, status)
                if code:
                    self.assertEqual(error["code"], code)
                self.assertEqual(self.client.answer()[1]["connection"], "close")


class BodyMemoryTests(BodiesCase):
    """
    `max_bodies`.
    """

    def connect(self) -> None:
        """
        One more client.
        """
        self.client = type(self.client)()
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.client)

    def test_full(self) -> None:
        """
        503 for a request that would be too much, by its head or its body; others stay.
        """
        self.gateway()
        self.site.limits = Limits(max_bodies_bytes=9 * MEGABYTE)
        first = self.channel, self.client
        self.sent()
        self.connect()
        self.sent()
        self.assertEqual(len(self.scheduler.entries), 2)
        self.connect()
        self.send(HEAD % len(TEXT))
        self.refused()
        self.connect()
        chunked = HEAD[: HEAD.index(b"Content-Length")]
        self.send(chunked + b"Transfer-Encoding: chunked\r\n\r\n")
        self.assertEqual(self.client.value(), b"")
        for _ in range(20):
            self.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        self.refused()
        self.assertLess(self.site.body_memory.taken, 9 * MEGABYTE)
        self.assertEqual(first[1].value(), b"")
        # There is room when one has gone.
        self.channel, self.client = first
        self.hang_up()
        self.connect()
        self.sent()
        self.assertEqual(self.client.value(), b"")
        self.assertEqual(len(self.scheduler.entries), 3)

    def sent(self) -> None:
        self.send(HEAD % len(TEXT) + TEXT)

    def refused(self) -> None:
        status, headers, _ = self.client.answer()
        self.assertEqual((status, headers["retry-after"]), (503, "5"))
        self.assertEqual(self.client.error()[1]["code"], "bodies_full")

    def test_not_for_those_without(self) -> None:
        """
        What brings no body, or one that goes by, is answered as ever.
        """
        self.gateway()
        self.site.limits = Limits(max_bodies_bytes=0)
        self.site.access = Access(hosts=ACCESS.hosts)
        self.send(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
        self.assertEqual(self.client.answer()[0], 200)
        self.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertFalse(self.client.disconnecting)
