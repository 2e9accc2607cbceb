"""
Authorization at the channel: only what is granted becomes a request.
"""

from twisted.logger import capturedLogs

from swapgate.config.access import Access
from swapgate.config.keys import Key
from swapgate.config.limits import Limits
from tests.channel_rig import ChannelCase, TCPWire

MAX_BODY = Limits().max_body_bytes
NO_CONTENT = b"HTTP/1.1 204 No Content"


class AuthTests(ChannelCase):
    """
    By the head alone.
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
        self.assertEqual(self.wire.value(), b"")
        self.clock.advance(0.05)
        self.assertEqual(self.error(), (401, "invalid_api_key"))
        self.assertIn(b"\r\nWWW-Authenticate: Bearer\r\n", self.wire.value())
        self.channel.dataReceived(b"x" * 100)
        self.assertEqual(self.resource.requests, [])
        self.assertTrue(self.wire.half_closed)

    def test_another_host(self) -> None:
        """
        Twisted knows none for 421.
        """
        self.say(b"GET http://x/ HTTP/1.1", b"Host: x")
        self.assertEqual(self.error(), (421, "misdirected_request"))
        self.assertTrue(
            self.wire.value().startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
        )

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
        self.say(b"GET /swapgate/state HTTP/1.1", *head)
        [request] = self.resource.requests
        self.assertEqual(request.grant.key_name, "laptop")
        request.finish()
        self.assertIn(
            b"\r\nAccess-Control-Allow-Origin: https://a\r\n", self.wire.value()
        )
        # The next one on this connection has to show it again.
        self.wire.clear()
        self.say(b"GET /swapgate/state HTTP/1.1", *head[:2])
        self.clock.advance(0.05)
        self.assertEqual(self.error(), (401, "invalid_api_key"))

    def test_the_same_head_again(self) -> None:
        """
        It is let in again, with any length, and routed where it has a body; but not
        under new rules, nor with one byte that differs.
        """
        head = (b"POST /a HTTP/1.1", b"Host: x", b"x-api-key: right")
        rules = Access(keys=(Key.of("laptop", "right"),), hosts=frozenset({"x"}))
        self.site.access = rules
        for body in (b"", b"{}", b"", b"[1]"):
            self.say(*head, b"Content-Length: %d" % len(body), body=body)
            request = self.resource.requests.pop()
            self.assertEqual(request.grant.key_name, "laptop")
            self.assertEqual(b"".join(request.body.pieces()), body)
            self.assertEqual(request.route is None, not body)
            request.finish()
        others = Access(keys=(Key.of("a", "b"),), hosts=frozenset({"x"}))
        for then, access in (
            (head[:2], rules),
            ((*head[:2], b"x-api-key: Right"), rules),
            (head, others),
        ):
            self.site.access = rules
            self.connect(TCPWire())
            self.say(*head)
            self.resource.requests.pop().finish()
            self.wire.clear()
            self.site.access = access
            self.say(*then)
            self.clock.advance(1)
            self.assertEqual(self.error(), (401, "invalid_api_key"))

    def test_wrong_keys_wait(self) -> None:
        """
        Longer each time, up to a second; a right one from the same place never does.
        """
        right = Key.of("laptop", "right")
        self.site.access = Access(keys=(right,), hosts=frozenset({"x"}))
        head = (b"GET /swapgate/state HTTP/1.1", b"Host: x")
        for delay_s in (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
            self.connect(TCPWire())
            self.say(*head, b"x-api-key: wrong")
            self.clock.advance(delay_s * 0.8)
            self.assertEqual(self.wire.value(), b"")
            waiting = self.wire
            # What comes meanwhile is thrown away.
            self.say(*head, b"x-api-key: right")
            self.connect(TCPWire())
            self.say(*head, b"x-api-key: right")
            self.resource.requests.pop().finish()
            self.assertIn(b"HTTP/1.1 200 OK", self.wire.value())
            self.clock.advance(delay_s * 0.3)
            self.assertIn(b"HTTP/1.1 401 ", waiting.value())
        self.assertEqual(self.resource.requests, [])

    def test_who_waits_is_a_connection(self) -> None:
        """
        Counted like the others, and nothing is left of one that goes.
        """
        self.site.access = Access(key_files=("/k",), hosts=frozenset({"x"}))
        self.site.limits = Limits(max_connections=1)
        with capturedLogs() as logged:
            self.say(b"GET /swapgate/state HTTP/1.1", b"Host: x")
        # Noted even if it does not wait for the answer.
        self.assertEqual([event["status"] for event in logged], [401])
        waiting, wire = self.channel, self.wire
        self.connect(TCPWire())
        self.assertEqual(self.error(), (503, "too_many_connections"))
        self.disconnect(self.channel)
        self.disconnect(waiting)
        self.clock.advance(5)
        self.assertEqual(wire.value(), b"")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.connect(TCPWire())
        self.assertEqual(self.wire.value(), b"")

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

    def test_whose_request_was_refused(self) -> None:
        """
        The log knows, as of every other one.
        """
        key = Key.of("laptop", "right")
        self.site.access = Access(keys=(key,), hosts=frozenset({"x"}))
        with capturedLogs() as logged:
            self.say(
                b"POST / HTTP/1.1",
                b"Host: x",
                b"x-api-key: right",
                b"Content-Length: %d" % (MAX_BODY + 1),
            )
        [event] = logged
        self.assertEqual(
            (event["status"], event["key"], event["error"]),
            (413, "laptop", "request_too_large"),
        )

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
        self.assertEqual(self.resource.requests, [])
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Origin: https://a", b"a: b")
        self.assertEqual(len(self.resource.requests), 1)
