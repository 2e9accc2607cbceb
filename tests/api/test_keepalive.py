"""
Keepalive of held streams, and how these end, on a clock that the test moves.
"""

import json
from typing import Any

from twisted.logger import capturedLogs

from swapgate.fleet.lease import (
    STOPPING,
    Cut,
    LoadFailed,
    NotLoaded,
    QueueFull,
    Unloaded,
)
from tests.api.test_resource import ANSWER, Case, Daemon
from tests.rig import unchunked

STREAM = b'{"model": "a", "stream": true}'
EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CHAT = b"/v1/chat/completions"


# What the scheduler of these tests says it waited for.
WAITED = b": swapgate: waited 0.000 s, loaded 0.000 s\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


UNLOADED = Cut("it was unloaded", "upstream_failed", lambda: Unloaded("a"))


class HeldCase(Case):
    """
    One client that wants a stream, and a scheduler that holds it.
    """

    def hold(self, *daemons: Daemon | Exception, **options: Any) -> None:
        self.gateway(*daemons, **options)
        self.scheduler.late = True
        self.ask(STREAM, path=CHAT)

    def body(self) -> bytes:
        _, headers, body = self.client.answer()
        self.assertEqual(headers["content-type"], "text/event-stream")
        self.assertEqual(headers["transfer-encoding"], "chunked")
        return unchunked(body)

    def last_error(self, *, cut: bool = False) -> Any:
        """
        The error event with which the stream ends: properly, or without its final chunk
        where something of an answer went out.
        """
        self.assertEqual(self.client.disconnecting, cut)
        self.assertEqual(self.client.value().endswith(b"0\r\n\r\n"), not cut)
        *_, last = self.body().rstrip().split(b"\n\n")
        return json.loads(last.strip().removeprefix(b"data: "))["error"]


class CommentTests(HeldCase):
    """
    Comments, every `keepalive` seconds.
    """

    def test_every_few_seconds(self) -> None:
        """
        Nothing before the first; each says how the wait stands then.
        """
        self.hold(Daemon())
        self.clock.advance(4.9)
        self.assertEqual(self.client.value(), b"")
        self.clock.pump([0.2, 5.1])
        self.assertEqual(
            self.body(), b": swapgate: outlook 1\n\n: swapgate: outlook 2\n\n"
        )

    def test_then_the_answer(self) -> None:
        """
        Its events follow a last comment, which says what it waited for.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.clock.advance(5)
        self.scheduler.go_on()
        self.clock.advance(60)
        daemon.say(EVENTS + chunk(b"data: 1\n\n"))
        self.clock.advance(60)
        self.assertEqual(
            self.body(), b": swapgate: outlook 1\n\n" + WAITED + b"data: 1\n\n"
        )
        daemon.say(b"0\r\n\r\n")
        self.assertTrue(self.client.value().endswith(b"\r\n0\r\n\r\n"))
        self.assertFalse(self.client.disconnecting)

    def test_what_it_waited_for(self) -> None:
        """
        Headers say it where they could still be sent; else the last comment does.
        """
        daemon = Daemon()
        self.hold(daemon)
        [entry] = self.scheduler.entries
        entry.queue_s, entry.load_s = 1.25, 10.5
        self.clock.advance(5)
        self.scheduler.go_on()
        daemon.say(EVENTS + chunk(b"data: 1\n\n"))
        waited = b": swapgate: waited 1.250 s, loaded 10.500 s\n\n"
        self.assertIn(waited + b"data: 1\n\n", self.body())

    def test_it_waited_for_too_short(self) -> None:
        """
        Its headers say it: no comment does.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.scheduler.go_on()
        daemon.say(EVENTS + chunk(b"data: 1\n\n"))
        self.assertEqual(self.body(), b"data: 1\n\n")

    def test_not_for_plain_answers(self) -> None:
        """
        Nothing is sent before the status.
        """
        self.gateway(Daemon())
        self.scheduler.late = True
        self.ask()
        self.clock.advance(60)
        self.assertEqual(self.client.value(), b"")

    def test_never(self) -> None:
        """
        keepalive = 0.
        """
        self.hold(Daemon(), keepalive_s=0.0)
        self.clock.advance(60)
        self.assertEqual(self.client.value(), b"")

    def test_hang_up(self) -> None:
        """
        A client that has gone gets no comments.
        """
        self.hold(Daemon())
        self.clock.advance(5)
        self.hang_up()
        self.assertEqual(self.scheduler.given_up, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_http_1_0(self) -> None:
        """
        The stream goes without chunks.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.scheduler.late = True
        head = b"POST %b HTTP/1.0\r\nHost: x\r\n" % CHAT
        head += b"Content-Type: application/json\r\n"
        length = b"Content-Length: %d\r\n\r\n" % len(STREAM)
        self.channel.dataReceived(head + length + STREAM)
        self.clock.advance(5)
        self.scheduler.go_on()
        daemon.say(EVENTS + chunk(b"data: 1\n\n") + b"0\r\n\r\n")
        body = self.client.answer()[2]
        self.assertEqual(body, b": swapgate: outlook 1\n\n" + WAITED + b"data: 1\n\n")


class NoticeTests(HeldCase):
    """
    notice = reasoning.
    """

    def chunks(self) -> list[Any]:
        return [
            json.loads(event.removeprefix(b"data: "))
            for event in self.body().split(b"\n\n")
            if event.startswith(b"data: ")
        ]

    def test_where_chat_clients_show_it(self) -> None:
        """
        Well-formed chunks, the first one with a role, all of one id.
        """
        self.hold(Daemon(), notice="reasoning")
        self.clock.pump([5, 5])
        chunks = self.chunks()
        deltas = [each["choices"][0]["delta"] for each in chunks]
        said = [delta["reasoning_content"] for delta in deltas]
        self.assertEqual(said, ["outlook 1\n", "outlook 2\n"])
        self.assertEqual(["role" in delta for delta in deltas], [True, False])
        self.assertEqual(len({each["id"] for each in chunks}), 1)
        self.assertEqual({each["model"] for each in chunks}, {"a"})

    def test_at_most_one_a_second(self) -> None:
        """
        More frequent ones are comments.
        """
        self.hold(Daemon(), notice="reasoning", keepalive_s=0.4)
        self.clock.pump([0.4] * 5)
        self.assertEqual(len(self.chunks()), 2)
        self.assertEqual(self.body().count(b": swapgate: "), 3)

    def test_extensions(self) -> None:
        """
        By default a browser's extension is told so, which is of no site; neither a
        program, nor a page, nor the gateway's own is.
        """
        site, dest = b"Sec-Fetch-Site: ", b"Sec-Fetch-Dest: "
        for headers, expected in (
            ((site + b"none", dest + b"empty"), 1),
            ((site + b"same-origin", dest + b"empty"), 0),
            ((site + b"none", dest + b"document"), 0),
            ((site + b"none",), 0),
            ((), 0),
        ):
            self.gateway(Daemon(), notice="extensions")
            self.scheduler.late = True
            self.ask(STREAM, *headers, path=CHAT)
            self.clock.advance(5)
            with self.subTest(headers):
                self.assertEqual(len(self.chunks()), expected)
                self.assertEqual(self.body().count(b": swapgate: "), 1 - expected)

    def test_not_elsewhere(self) -> None:
        """
        Other paths have other chunks.
        """
        self.gateway(Daemon(), notice="reasoning")
        self.scheduler.late = True
        self.ask(STREAM, path=b"/v1/completions")
        self.clock.advance(5)
        self.assertEqual(self.body(), b": swapgate: outlook 1\n\n")


class FailureTests(HeldCase):
    """
    After the first comment there is no status any more.
    """

    def test_a_failed_load(self) -> None:
        """
        An error event, and an end without the final chunk.
        """
        self.hold(LoadFailed("a", "no such file", 1.0))
        self.clock.advance(5)
        self.scheduler.go_on()
        error = self.last_error()
        self.assertEqual(error["code"], "model_load_failed")
        self.assertIn("no such file", error["message"])

    def test_before_the_first_comment(self) -> None:
        """
        It still has a status.
        """
        self.hold(LoadFailed("a", "no such file", 1.0))
        self.clock.advance(4)
        self.scheduler.go_on()
        self.assertEqual(self.client.error()[0], 409)

    def test_a_daemon_that_dies_at_once(self) -> None:
        """
        The request is queued again and held; the second failure is final.
        """
        first, second = Daemon(), Daemon()
        self.hold(first, second)
        self.clock.advance(5)
        self.scheduler.go_on()
        first.die()
        self.clock.advance(5)
        self.scheduler.go_on()
        second.say(EVENTS + chunk(b"data: 1\n\n"))
        self.assertEqual(
            self.body(),
            b": swapgate: outlook 1\n\n"
            + WAITED
            + b": swapgate: outlook 2\n\n"
            + WAITED
            + b"data: 1\n\n",
        )
        second.die()
        self.assertEqual(self.last_error(cut=True)["code"], "upstream_failed")

    def test_twice(self) -> None:
        """
        A daemon that never answers.
        """
        daemons = Daemon(), Daemon()
        self.hold(*daemons)
        self.clock.advance(5)
        for daemon in daemons:
            self.scheduler.go_on()
            daemon.die()
        self.assertIn("failed twice", self.last_error()["message"])

    def test_an_error_of_the_daemon(self) -> None:
        """
        What would have been a 400 is an event in its words; the daemon is not suspect.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.clock.advance(5)
        self.scheduler.go_on()
        body = b'{"error": {"message": "too long", "code": 400}}'
        daemon.say(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(body))
        self.assertFalse(self.client.disconnecting)
        daemon.say(body)
        self.assertEqual(self.last_error(), {"message": "too long", "code": 400})
        self.assertEqual(self.scheduler.released, [False])

    def test_an_answer_that_is_no_stream(self) -> None:
        """
        One event, and a whole answer.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.clock.advance(5)
        self.scheduler.go_on()
        daemon.say(ANSWER)
        self.assertIn(b"data: hi\n\n", self.body())
        self.assertTrue(self.client.value().endswith(b"\r\n0\r\n\r\n"))

    def test_half_an_answer_that_is_no_stream(self) -> None:
        """
        Counts for nothing: the request is sent again.
        """
        first, second = Daemon(), Daemon()
        self.hold(first, second)
        self.clock.advance(5)
        self.scheduler.go_on()
        first.say(ANSWER[:-1])
        first.die()
        self.scheduler.go_on()
        second.say(ANSWER)
        self.assertIn(b"data: hi\n\n", self.body())


class StatusTests(HeldCase):
    """
    Headers, statuses and cuts.
    """

    def test_how_long_it_was_held(self) -> None:
        """
        On every answer that had to wait for a model, whatever became of it.
        """
        for end in (Daemon(), LoadFailed("a", "x", 1.0)):
            self.gateway(end)
            self.scheduler.waits = (1.25, 2.5)
            self.ask()
            if isinstance(end, Daemon):
                end.say(ANSWER)
            headers = self.client.answer()[1]
            self.assertEqual(headers["x-swapgate-queue-ms"], "1250")
            self.assertEqual(headers["x-swapgate-load-ms"], "2500")

    def test_refusals(self) -> None:
        """
        A full queue may be tried again, a model that was given up not.
        """
        self.gateway(QueueFull())
        self.ask()
        self.assertEqual(self.client.error()[0], 503)
        self.assertEqual(self.client.answer()[1]["retry-after"], "5")
        self.gateway(NotLoaded("a"))
        self.ask()
        status, error = self.client.error()
        self.assertEqual((status, error["code"]), (409, "model_not_loaded"))
        self.assertEqual(self.client.answer()[1]["x-should-retry"], "false")

    def test_the_queue_entry(self) -> None:
        """
        It says whether a stream is wanted, and for which client.
        """
        self.gateway(Daemon())
        self.ask(STREAM, b"User-Agent: me")
        [entry] = self.scheduler.entries
        self.assertTrue(entry.streams)
        self.assertFalse(entry.small)
        self.assertEqual(entry.client, ("192.168.1.1", b"me"))

    def test_what_may_follow_a_stream(self) -> None:
        """
        A small request that is no stream.
        """
        for size, small in ((100, True), (64 * 1024, True), (64 * 1024 + 1, False)):
            self.gateway(Daemon())
            body = b'{"model": "a", "prompt": ""}'
            self.ask(body.replace(b'""', b'"%b"' % (b"x" * (size - len(body)))))
            [entry] = self.scheduler.entries
            self.assertEqual((entry.streams, entry.small), (False, small))

    def test_cut_in_the_middle(self) -> None:
        """
        An answer whose model is unloaded says so.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.ask(STREAM)
        daemon.say(EVENTS + chunk(b"data: 1\n\n"))
        [lease] = self.scheduler.leases
        lease.end(UNLOADED)
        self.assertIn("was unloaded", self.last_error(cut=True)["message"])

    def test_cut_as_the_gateway_stops(self) -> None:
        """
        The stream and the log say so, and not that the daemon has failed.
        """
        daemon = Daemon()
        self.gateway(daemon)
        self.ask(STREAM)
        daemon.say(EVENTS + chunk(b"data: 1\n\n"))
        [lease] = self.scheduler.leases
        with capturedLogs() as logged:
            lease.end(STOPPING)
            self.hang_up()
        error = self.last_error(cut=True)
        self.assertEqual(error["message"], "the gateway is stopping")
        self.assertEqual(error["code"], "stopping")
        self.assertEqual([e.get("error") for e in logged], ["stopping"])
        self.assertEqual(self.scheduler.released, [False])

    def test_the_gateway_stops_before_it_began(self) -> None:
        """
        Then a status can say so.
        """
        self.gateway(Daemon())
        self.ask()
        [lease] = self.scheduler.leases
        lease.end(STOPPING)
        status, error = self.client.error()
        self.assertEqual((status, error["code"]), (503, "stopping"))

    def test_cut_before_it_began(self) -> None:
        """
        Without a byte of an answer the error has a status, and nothing is loaded again.
        """
        for heard in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"):
            daemon = Daemon()
            self.gateway(daemon)
            self.ask()
            daemon.say(heard)
            [lease] = self.scheduler.leases
            lease.end(UNLOADED)
            status, error = self.client.error()
            self.assertEqual((status, error["code"]), (409, "model_unloaded"))
            self.assertEqual(self.client.answer()[1]["x-should-retry"], "false")
            self.assertEqual(len(self.scheduler.entries), 1)

    def test_cut_before_it_began_but_was_promised(self) -> None:
        """
        A stream that got only comments ends with that error.
        """
        self.hold(Daemon())
        self.clock.advance(5)
        self.scheduler.go_on()
        [lease] = self.scheduler.leases
        lease.end(UNLOADED)
        self.assertEqual(self.last_error()["code"], "model_unloaded")
