"""
Timeouts, the connection limit, and how connections are closed.
"""

from twisted.internet.address import IPv4Address, UNIXAddress

from swapgate.config.limits import Limits
from tests.channel_rig import ChannelCase, TCPWire, Wire


class DeadlineTests(ChannelCase):
    """
    How long a client may take; what is expected of it is the channel's to know.
    """

    def assert_idle(self) -> None:
        """
        It has the time between two requests, and is closed then without a word.
        """
        said = self.wire.value()
        self.clock.advance(59.9)
        self.assertFalse(self.wire.disconnecting)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.disconnecting)
        self.assertEqual(self.wire.value(), said)

    def test_nothing_said(self) -> None:
        self.assert_idle()

    def test_an_empty_line(self) -> None:
        """
        It begins no request: some clients send one after a body.
        """
        self.channel.dataReceived(b"\r\n")
        self.assert_idle()

    def test_between_requests(self) -> None:
        """
        From the end of the answer on.
        """
        self.clock.advance(50)
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.clock.advance(1000)
        self.resource.requests[0].finish()
        self.assert_idle()

    def test_a_slow_head(self) -> None:
        """
        10 s in all, however often a byte comes.
        """
        for byte in b"GET /abcde":
            self.channel.dataReceived(bytes([byte]))
            self.clock.advance(0.99)
        self.assertEqual(self.wire.value(), b"")
        self.clock.advance(0.2)
        self.assertEqual(self.error(), (408, "request_timeout"))
        self.assertTrue(self.wire.half_closed)

    def test_a_slow_head_after_another_request(self) -> None:
        """
        Each request has its own 10 s; what came before its turn has them from then.
        """
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.channel.dataReceived(b"GET / HTTP/1.1\r\nHo")
        self.clock.advance(100)
        self.resource.requests[0].finish()
        said = len(self.wire.value())
        self.clock.advance(9.9)
        self.assertEqual(len(self.wire.value()), said)
        self.clock.advance(0.2)
        self.assertIn(b"HTTP/1.1 408 ", self.wire.value()[said:])

    def test_a_slow_body(self) -> None:
        """
        30 s, and a second more for each 16 KiB.
        """
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 9000000")
        self.channel.dataReceived(b" " * 20 * 16 * 1024)
        for _ in range(49):
            self.clock.advance(1)
            self.channel.dataReceived(b" ")
        self.assertEqual(self.wire.value(), b"")
        self.clock.advance(1.1)
        self.assertEqual(self.error(), (408, "request_timeout"))
        self.assertEqual(self.resource.requests, [])

    def test_a_body_that_came(self) -> None:
        """
        Is answered whenever its answer is there.
        """
        self.say(b"POST / HTTP/1.1", b"Host: x", b"Content-Length: 1", body=b"1")
        self.clock.advance(1000)
        self.resource.requests[0].finish()
        self.assertIn(b"HTTP/1.1 200 ", self.wire.value())

    def test_one_that_takes_nothing_of_its_answer(self) -> None:
        """
        Is aborted after 60 s; it held up a daemon.
        """
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.channel.pauseProducing()
        self.clock.advance(59)
        self.channel.resumeProducing()
        self.clock.advance(1000)
        self.channel.pauseProducing()
        self.clock.advance(59.9)
        self.assertFalse(self.wire.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.aborted)

    def test_one_that_takes_nothing_of_the_last_answer(self) -> None:
        """
        The same, where the connection is to be closed after it.
        """
        self.say(b"GET / HTTP/1.1", b"Host: x", b"Connection: TE, close")
        self.resource.requests[0].finish()
        self.assertTrue(self.wire.disconnecting)
        self.clock.advance(59.9)
        self.assertFalse(self.wire.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.wire.aborted)

    def test_gone(self) -> None:
        """
        No timer is left.
        """
        self.say(b"GET / HTTP/1.1", b"Host: x")
        self.resource.requests[0].finish()
        self.disconnect(self.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ConnectionLimitTests(ChannelCase):
    """
    How many may come.
    """

    def status(self, address: str = "") -> int:
        """
        What a newcomer is told; 0 where that is nothing.
        """
        peer = IPv4Address("TCP", address, 1) if address else UNIXAddress("")
        self.connect(TCPWire(peerAddress=peer))
        said = self.wire.value()
        return int(said.split()[1]) if said else 0

    def test_in_all(self) -> None:
        """
        In all, from any address; one that has closed makes room.
        """
        self.site.limits = Limits(max_connections=3)
        first = self.channel
        self.assertEqual([self.status(f"127.0.0.{n}") for n in range(3)], [0, 0, 503])
        self.assertEqual(self.error(), (503, "too_many_connections"))
        self.assertIn(b"\r\nRetry-After: 5\r\n", self.wire.value())
        self.disconnect(self.channel)
        self.disconnect(first)
        self.assertEqual(self.status(), 0)

    def test_from_one_address(self) -> None:
        """
        256 from another machine; from this one as many as there may be at all.
        """
        for address, at_most in (
            ("192.0.2.1", 256),
            ("2001:db8::1", 256),
            ("127.0.0.1", None),
            ("::1%lo", None),
            ("::ffff:127.0.0.1", None),
            ("", None),
        ):
            with self.subTest(address=address):
                told = [self.status(address) for _ in range(300)]
                refused = 0 if at_most is None else 300 - at_most
                self.assertEqual(told, [0] * (300 - refused) + [503] * refused)

    def test_from_one_address_as_configured(self) -> None:
        """
        The same for all then, and room again when one has gone.
        """
        self.site.limits = Limits(max_connections_per_address=1)
        for address in ("127.0.0.1", "192.0.2.1"):
            self.assertEqual([self.status(address) for _ in range(2)], [0, 503])
            self.assertIn(address.encode(), self.wire.value())
        self.disconnect(self.channel)
        self.assertEqual(self.status("192.0.2.1"), 503)

    def test_refused(self) -> None:
        """
        Refused ones do not count against the limit, and few may stay to read why:
        each has a descriptor that a daemon may need.
        """
        self.site.limits = Limits(max_connections=3, max_connections_per_address=1)
        wires = []
        for _ in range(10):
            self.assertIn(self.status("192.0.2.1"), {0, 503})
            wires.append(self.wire)
        self.assertEqual(
            [wire.disconnecting for wire in wires], [False] * 9 + [True], "one too many"
        )
        self.assertEqual(self.status("127.0.0.1"), 0)
        self.disconnect(self.channel)
        self.connect(Wire(peerAddress=IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertTrue(self.wire.aborted, "TLS may take its time to close")

    def test_refused_and_gone(self) -> None:
        """
        The next may stay.
        """
        self.site.limits = Limits(max_connections=1)
        for _ in range(20):
            self.assertEqual(self.status(), 503)
            self.assertFalse(self.wire.disconnecting)
            self.disconnect(self.channel)

    def test_room_again(self) -> None:
        """
        When one has gone.
        """
        self.site.limits = Limits(max_connections_per_address=1)
        for _ in range(3):
            self.assertEqual(self.status("192.0.2.1"), 0)
            self.disconnect(self.channel)


class CloseTests(ChannelCase):
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
