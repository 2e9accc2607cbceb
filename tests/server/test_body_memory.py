"""
Request bodies in memory: none is kept that is not wanted, or whose client has gone.
"""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.access import Access
from swapgate.config.keys import Key
from swapgate.config.limits import Limits
from swapgate.fleet.lease import LoadFailed
from swapgate.server.body_memory import Body, BodyMemory
from swapgate.server.json_body import BadJSON, BodyFields, BodyParser
from tests.api.test_resource import ANSWER, Case, Daemon
from tests.doubles import ACCESS
from tests.server.test_json_grammar import PARTS

MEGABYTE = 10**6
TEXT = b'{"model": "a", "stream": true, "x": "%s"}' % (b"y" * 4 * MEGABYTE)
HEAD = (
    b"POST /infill HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class BodyTests(SynchronousTestCase):
    """
    A body while it comes.
    """

    def test_bytes_as_they_came(self) -> None:
        """
        However small the pieces are that it comes in, few are kept.
        """
        body = Body(BodyMemory())
        text = b'{"model": "a", "x": "%s"}' % (b"y" * 300_000)
        for start in range(0, len(text), 1000):
            body.add(text[start : start + 1000])
        self.assertEqual(body.fields().model, "a")
        self.assertEqual(b"".join(body.pieces()), text)
        self.assertEqual(body.length, len(text))
        self.assertLess(len(body.pieces()), 6)

    def test_a_fault(self) -> None:
        """
        What cannot be read is counted, and kept no longer.
        """
        body = Body(BodyMemory())
        for piece in (b'{"model": "a"', b" nonsense", b" and more" * 500, b"more"):
            body.add(piece)
        self.assertEqual((body.length, list(body.pieces())), (4526, []))
        for _ in range(2):
            self.assertRaises(BadJSON, body.fields)

    def test_a_fault_at_the_end(self) -> None:
        """
        What is too little to be read by the way is read in the end.
        """
        body = Body(BodyMemory())
        body.add(b'{"model": "a"')
        body.add(b" nonsense")
        for _ in range(2):
            self.assertRaises(BadJSON, body.fields)

    def test_what_it_takes(self) -> None:
        """
        Its bytes, something for its request, and the keys of what is open, until it is
        dropped; what comes later is not kept.
        """
        memory = BodyMemory()
        body, other = Body(memory), Body(memory)
        self.assertEqual(memory.taken, 0)
        body.add(b'{"model": "a", "x": {')
        least = memory.taken
        self.assertGreater(least, 21)
        keys = b",".join(b'"%d": 0' % n for n in range(10_000))
        body.add(keys)
        # The interpreter needs more than 100 bytes for a key.
        self.assertGreater(memory.taken - least, len(keys) + 100 * 10_000)
        body.add(b"}}")
        body.fields()
        other.add(b"{}")
        self.assertLess(memory.taken - 2 * least, len(keys) + 1000)
        other.drop()
        for _ in range(2):
            body.drop()
            self.assertEqual((memory.taken, list(body.pieces())), (0, []))
            body.add(b"more")

    def test_a_fault_takes_little(self) -> None:
        """
        What cannot be read is not kept, and does not count.
        """
        memory = BodyMemory()
        body = Body(memory)
        body.add(b"nonsense" * 10_000)
        self.assertLess(memory.taken, 20_000)


class InsideTests(SynchronousTestCase):
    """
    The insides of strings, which `msgspec` passes over.
    """

    @given(
        st.lists(st.sampled_from(PARTS), max_size=9).map("".join), st.integers(1, 99)
    )
    def test_the_same_body(self, text: str, size: int) -> None:
        """
        Long or short, in any pieces: the same fields, or the same fault.
        """
        data = f'{{"a":"{text * 99}","model":"m"}}'.encode()
        body, parser = Body(BodyMemory()), BodyParser()
        for start in range(0, len(data), size * 99):
            body.add(data[start : start + size * 99])

        def strict() -> BodyFields:
            parser.feed(data)
            return parser.close()

        told: list[object] = []
        for read in (body.fields, strict):
            try:
                told.append(read())
            except BadJSON as fault:
                told.append(str(fault))
        self.assertEqual(told[0], told[1])


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
