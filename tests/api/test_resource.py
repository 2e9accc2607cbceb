"""
Gateway resource and proxy, on a scheduler that leases, fails, stops or is wrong.
"""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from swapgate.api.resource import Gateway
from swapgate.config.limits import Limits
from swapgate.config.loader import Config
from swapgate.fleet.lease import Lease, LoadFailed, QueuedRequest, ShuttingDown
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.site import GatewaySite
from swapgate.upstream.client import UpstreamClient
from swapgate.upstream.connection import Body, Pool, Response, UpstreamConnection
from tests.doubles import ACCESS, config_of, keeper, model

BODY = b'{"model": "a", "x": [1,\t2]}'
# What a daemon answers.
OK_LINE = b"HTTP/1.1 200 OK\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Client(StringTransport):
    """
    The client's side of the gateway.
    """

    aborted = False
    channel: Any = None

    def abortConnection(self) -> None:
        self.aborted = True

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """
        Status, headers and body of what was received.
        """
        head, _, body = self.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body

    def error(self) -> tuple[int, Any]:
        status, _, body = self.answer()
        return status, json.loads(body)["error"]


@define(eq=False)
class Daemon:
    """
    One life of a daemon: the requests it gets, on a connection of its own.
    """

    # What sending a request to it raises.
    failure: Exception | None = None
    asked: list[tuple[bytes, bytes, dict[bytes, list[bytes]]]] = field(factory=list)
    wire: StringTransport = field(factory=StringTransport)
    connection: UpstreamConnection = field(
        factory=lambda: Pool(Clock()).buildProtocol(None)
    )

    def drop_idle(self) -> None:
        pass

    def ask(
        self,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: Body,
    ) -> Deferred[Response]:
        by_name: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            by_name.setdefault(name, []).append(value)
        self.asked.append((method, target, by_name))
        self.connection.makeConnection(self.wire)
        response = self.connection.ask(b"POST / HTTP/1.1\r\n\r\n", body)
        if self.failure is not None:
            response.addErrback(lambda _: None)
            return fail(self.failure)
        return response

    def say(self, data: bytes) -> None:
        self.connection.dataReceived(data)

    def die(self) -> None:
        self.connection.connectionLost(Failure(ConnectionLost()))


@define(eq=False)
class FakeScheduler:
    """
    Leases the daemons that the test names, or fails.
    """

    # For each lease a daemon, or an error; with none left a request waits.
    daemons: list[Daemon | Exception]
    options: dict[str, Any] = field(factory=dict)
    released: list[bool] = field(factory=list)
    given_up: int = 0
    bug: Exception | None = None
    entries: list[QueuedRequest] = field(factory=list)
    waits: tuple[float, float] = (0.0, 0.0)
    outlooks: int = 0
    # Whether requests wait until the test calls go_on().
    late: bool = False
    waiting: Deferred[Lease] = field(factory=Deferred)
    leases: list[Lease] = field(factory=list)

    @property
    def config(self) -> Config:
        return config_of(model("a", **self.options))

    @property
    def states(self) -> dict[str, SimpleNamespace]:
        return {"a": SimpleNamespace(spec=model("a", **self.options))}

    @property
    def outlook(self) -> "FakeScheduler":
        return self

    def of(self, entry: QueuedRequest) -> str:
        assert entry is self.entries[-1]
        self.outlooks += 1
        return f"outlook {self.outlooks}"

    def lease(self, name: str, entry: QueuedRequest) -> Deferred[Lease]:
        self.entries.append(entry)
        entry.queue_s, entry.load_s = self.waits
        self.waiting = Deferred(self._give_up)
        if self.daemons and not self.late:
            self.go_on()
        return self.waiting

    def go_on(self) -> None:
        """
        Lease the next daemon, or fail.
        """
        match self.daemons.pop(0):
            case Daemon() as daemon:
                lease = Lease(
                    model("a", **self.options),
                    cast(UpstreamClient, daemon),
                    lambda _, suspect: self._release(suspect),
                    since_s=0.0,
                    owed=False,
                )
                self.leases.append(lease)
                self.waiting.callback(lease)
            case error:
                self.waiting.errback(error)

    def _release(self, suspect: bool) -> None:
        self.released.append(suspect)
        if self.bug is not None:
            raise self.bug

    def _give_up(self, _: Deferred[Lease]) -> None:
        self.given_up += 1


class Case(SynchronousTestCase):
    """
    One client before a gateway.
    """

    def gateway(self, *daemons: Daemon | Exception, **options: Any) -> None:
        self.clock = Clock()
        self.scheduler = FakeScheduler(list(daemons), options)
        scheduler = cast(Scheduler, self.scheduler)
        gateway = Gateway(config_of(model("a")), scheduler, self.clock, 1, keeper())
        self.client = Client()
        site = GatewaySite(gateway, access=ACCESS, reactor=self.clock, limits=Limits())
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.client)

    def ask(
        self, body: bytes = BODY, *headers: bytes, path: bytes = b"/infill?y"
    ) -> None:
        lines = [b"POST %s HTTP/1.1" % path, b"Host: x", *headers]
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        self.channel.dataReceived(b"\r\n".join([*lines, b"", body]))

    def hang_up(self) -> None:
        self.channel.connectionLost(Failure(ConnectionLost()))


class LeaseTests(Case):
    """
    Before there is a lease.
    """

    def test_load_failed(self) -> None:
        """
        409, what happened, when to come back, and not before.
        """
        self.gateway(LoadFailed("a", "exited\nerror: no such file", 3.6))
        self.ask()
        status, error = self.client.error()
        self.assertEqual((status, error["code"]), (409, "model_load_failed"))
        self.assertEqual(self.client.answer()[1]["x-should-retry"], "false")
        first, words = error["message"].split("\n")
        self.assertEqual(
            first, "a could not be loaded: exited; it can be tried again in 4 s"
        )
        self.assertEqual(words, "error: no such file")
        self.assertEqual(error["param"], "model")

    def test_back_off_is_over(self) -> None:
        """
        No time is negative, also where the failure took longer than the back-off.
        """
        self.gateway(LoadFailed("a", "no such file", -1.0))
        self.ask()
        self.assertIn("in 0 s", self.client.error()[1]["message"])

    def test_stopping(self) -> None:
        """
        503, with the time after which the gateway may be back.
        """
        self.gateway(ShuttingDown())
        self.ask()
        self.assertEqual(self.client.error()[0], 503)
        self.assertEqual(self.client.answer()[1]["retry-after"], "5")

    def test_hang_up_while_held(self) -> None:
        """
        The request leaves the queue, and nothing is written but a line of the log,
        which says how long it waited.
        """
        self.gateway()
        self.scheduler.waits = (1.25, 2.5)
        self.ask()
        self.assertEqual(self.scheduler.given_up, 0)
        with capturedLogs() as logged:
            self.hang_up()
        self.assertEqual(self.scheduler.given_up, 1)
        self.assertEqual(self.client.value(), b"")
        [line] = [formatEvent(event) for event in logged if "method" in event]
        self.assertEqual(
            line,
            "POST /infill 499 0 model='a' queue_s=1.25 load_s=2.5 error='client_gone'",
        )

    def test_a_bug(self) -> None:
        """
        500 tells nothing but that it is ours; the log has the rest.
        """
        self.gateway(RuntimeError("secret"))
        self.ask()
        status, error = self.client.error()
        self.assertEqual((status, error["code"]), (500, "internal_error"))
        self.assertNotIn(b"secret", self.client.value())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_refusal_needs_no_lease(self) -> None:
        """
        A request that is wrong asks the scheduler for nothing.
        """
        for body, status in ((b"{", 400), (b'{"model": "b"}', 404)):
            # Would be 500 if a lease were asked for.
            self.gateway(RuntimeError())
            self.ask(body)
            self.assertEqual(self.client.error()[0], status)
            self.assertEqual(len(self.scheduler.daemons), 1)


class ProxyTests(Case):
    """
    When a request has been sent to the daemon.
    """

    def test_answer(self) -> None:
        """
        The daemon gets what the client sent; the lease is released.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.ask(BODY, b"X-A: 1", b"X-A: 2", b"Connection: X-Hop", b"x-hop: 1")
        self.assertEqual(self.scheduler.released, [])
        daemon.say(ANSWER)
        status, _, body = self.client.answer()
        self.assertEqual((status, body), (200, b"hi"))
        [(method, target, headers)] = daemon.asked
        self.assertEqual((method, target), (b"POST", b"/infill?y"))
        self.assertEqual(headers.pop(b"X-A"), [b"1", b"2"])
        self.assertEqual(headers, {b"Content-Type": [b"application/json"]})
        self.assertTrue(daemon.wire.value().endswith(b"\r\n\r\n" + BODY))
        self.assertEqual(self.scheduler.released, [False])

    def test_once_more(self) -> None:
        """
        A daemon that fails without an answer is suspect; the next gets the same bytes.
        """
        for error in (ConnectionRefusedError(), ResponseNeverReceived([])):
            first, second = Daemon(error), Daemon()
            self.gateway(first, second)
            self.ask()
            second.say(ANSWER)
            self.assertEqual(self.client.answer()[0], 200)
            self.assertEqual(self.scheduler.released, [True, False])
            self.assertEqual(first.asked, second.asked)
            self.assertEqual(first.wire.value(), second.wire.value())

    def test_once_more_is_no_failure(self) -> None:
        """
        The log does not say that a request failed whose second try went well.
        """
        first, second = Daemon(ConnectionLost()), Daemon()
        self.gateway(first, second)
        with capturedLogs() as logged:
            self.ask()
            second.say(ANSWER)
        lines = [event for event in logged if "status" in event]
        self.assertEqual([line["status"] for line in lines], [200])
        self.assertNotIn("error", lines[0])

    def test_but_not_for_ever(self) -> None:
        """
        The second failure is answered, and both daemons are suspect. A host without an
        address counts as one that cannot be reached.
        """
        self.gateway(Daemon(DNSLookupError()), Daemon(ConnectionLost()))
        self.ask()
        status, error = self.client.error()
        self.assertEqual((status, error["code"]), (502, "upstream_failed"))
        self.assertEqual(self.scheduler.released, [True, True])

    def test_bad_responses(self) -> None:
        """
        What is no valid answer is not relayed; the second time the error says why.
        """
        for said, why in (
            (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "does not end in CR LF"),
            (ANSWER.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"), "twice"),
            (OK_LINE + b"X: y\r\n" * 20_000 + b"\r\n", "longer than 65536 bytes"),
            (OK_LINE + b"X: y\r\n" * 200 + b"\r\n", "more than 100 headers"),
            *(
                (ANSWER.replace(b"200", status), "not HTTP")
                for status in (b"2000", b"600", b"099", b"0", b"-200")
            ),
        ):
            with self.subTest(why=why):
                daemons = Daemon(), Daemon()
                self.gateway(*daemons)
                self.ask()
                for daemon in daemons:
                    for start in range(0, len(said), 1000):
                        daemon.say(said[start : start + 1000])
                    self.assertTrue(daemon.wire.disconnected)
                    daemon.connection.connectionLost(Failure(ConnectionLost()))
                status, error = self.client.error()
                self.assertEqual((status, error["code"]), (502, "upstream_failed"))
                self.assertIn(why, error["message"])
                self.assertEqual(self.scheduler.released, [True, True])

    def test_an_interim_answer_is_no_answer(self) -> None:
        """
        One that announces an answer, or another protocol, is not relayed.
        """
        for status in (b"100", b"101", b"199"):
            first, second = Daemon(), Daemon()
            self.gateway(first, second)
            self.ask()
            for daemon in (first, second):
                daemon.say(b"HTTP/1.1 " + status + b" x\r\nUpgrade: x\r\n\r\n")
                daemon.connection.connectionLost(Failure(ConnectionLost()))
            self.assertEqual(self.client.error()[0], 502)

    def test_a_cut_answer_is_not_asked_again(self) -> None:
        """
        Bytes that were relayed cannot be taken back.
        """
        daemon = Daemon()
        self.gateway(daemon, Daemon())
        self.ask()
        daemon.say(ANSWER[:-1])
        self.assertEqual(self.scheduler.released, [])
        daemon.connection.connectionLost(Failure(ConnectionLost()))
        self.assertTrue(self.client.value().endswith(b"\r\n\r\nh"))
        self.assertTrue(self.client.disconnecting)
        self.assertEqual(self.scheduler.released, [True])
        self.assertEqual(len(self.scheduler.daemons), 1)

    def test_no_answer_in_time(self) -> None:
        """
        Within first_token_timeout there must be an answer, or the daemon is suspect.
        """
        self.gateway(Daemon(), Daemon(), first_token_timeout_s=3.0)
        self.ask()
        self.clock.advance(2.9)
        self.assertEqual(self.scheduler.released, [])
        self.clock.advance(0.2)
        self.assertEqual(self.scheduler.released, [True])
        self.clock.advance(3.1)
        self.assertEqual(self.client.error()[0], 502)

    def test_hang_up_before_the_answer(self) -> None:
        """
        The daemon's connection is closed; it is not to blame.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.ask()
        self.assertFalse(daemon.wire.disconnected)
        self.hang_up()
        self.assertTrue(daemon.wire.disconnected)
        self.assertEqual(self.scheduler.released, [False])

    def test_a_bug_after_the_first_byte(self) -> None:
        """
        Too late for a status: the connection closes, and the answer stays unfinished.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.ask()
        daemon.say(ANSWER[:-1])
        heard = self.client.value()
        self.scheduler.bug = RuntimeError()
        daemon.connection.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.client.value(), heard)
        self.assertTrue(self.client.disconnecting)

    def test_a_bug_after_the_last_byte(self) -> None:
        """
        The client has its answer; the log has the bug.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.scheduler.bug = RuntimeError()
        self.ask()
        daemon.say(ANSWER)
        self.assertEqual(self.client.answer()[2], b"hi")
        self.assertFalse(self.client.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_bug_after_a_hang_up(self) -> None:
        """
        The log has the bug, though the client has gone.
        """
        self.gateway(Daemon())
        self.ask()
        self.scheduler.bug = RuntimeError()
        self.hang_up()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_cancelled(self) -> None:
        """
        Being cancelled is no bug.
        """
        self.gateway(CancelledError())
        self.ask()
        self.assertEqual(self.client.value(), b"")


class CommentsTests(Case):
    """
    A daemon that has said nothing but comments.
    """

    STREAM = OK_LINE + (
        b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"8\r\n: ping\n\n\r\n"
    )

    def test_asked_again(self) -> None:
        """
        It has not begun to answer: another life of it may.
        """
        first, second = Daemon(), Daemon()
        self.gateway(first, second)
        self.ask(path=b"/v1/chat/completions")
        first.say(self.STREAM)
        first.die()
        second.say(self.STREAM + b"9\r\ndata: a\n\n\r\n0\r\n\r\n")
        self.assertIn(b"data: a\n\n", self.client.value())
        self.assertTrue(self.client.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(self.scheduler.released, [True, False])

    def test_twice(self) -> None:
        """
        Its client is told so, and the end is a proper one.
        """
        daemons = Daemon(), Daemon()
        self.gateway(*daemons)
        self.ask(path=b"/v1/chat/completions")
        for daemon in daemons:
            daemon.say(self.STREAM)
            daemon.die()
        self.assertIn(b"failed twice", self.client.value())
        self.assertTrue(self.client.value().endswith(b"0\r\n\r\n"))
