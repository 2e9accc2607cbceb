"""
Request: its response, as it is written.
"""

from swapgate.server.request import GatewayRequest
from tests.channel_rig import ChannelCase, TCPWire


class Recorder(TCPWire):
    """
    Each write for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        super().write(data)


class ResponseTests(ChannelCase):
    """
    What is written, and in how many pieces.
    """

    wire: Recorder

    def request(self, line: bytes = b"POST / HTTP/1.1") -> GatewayRequest:
        self.connect(Recorder())
        self.say(line, b"Host: x")
        return self.resource.requests[-1]

    def test_in_one_write(self) -> None:
        """
        A head leaves with what is known of the body, the end with its last bytes.
        """
        request = self.request()
        request.setHeader(b"Content-Length", b"2")
        request.finish(b"ok")
        [whole] = self.wire.writes
        head, _, body = whole.partition(b"\r\n\r\n")
        self.assertEqual((head.split(b"\r\n")[0], body), (b"HTTP/1.1 200 OK", b"ok"))
        self.assertIn(b"\r\nServer: swapgate\r\nDate: ", head)
        self.assertEqual(request.sentLength, 2)

    def test_in_chunks(self) -> None:
        """
        The last one with the final one; nothing is no chunk.
        """
        request = self.request()
        request.write(b"")
        request.write(b"a")
        request.finish(b"bc")
        first, *rest = self.wire.writes
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", first)
        self.assertTrue(first.endswith(b"\r\n\r\n"))
        self.assertEqual(rest, [b"1\r\na\r\n", b"2\r\nbc\r\n0\r\n\r\n"])
        self.request().finish()
        [whole] = self.wire.writes
        self.assertTrue(whole.endswith(b"\r\n\r\n0\r\n\r\n"))

    def test_no_body(self) -> None:
        """
        For HEAD, and with a status that has none, whatever is written.
        """
        for line, status in ((b"HEAD / HTTP/1.1", 200), (b"POST / HTTP/1.1", 304)):
            request = self.request(line)
            request.setResponseCode(status)
            request.write(b"a")
            request.finish(b"b")
            whole = b"".join(self.wire.writes)
            self.assertTrue(whole.startswith(b"HTTP/1.1 %d " % status))
            self.assertTrue(whole.endswith(b"\r\n\r\n"))
            self.assertNotIn(b"Transfer-Encoding", whole)

    def test_an_old_client(self) -> None:
        """
        HTTP/1.0 has no chunks; the end of the connection is that of the body.
        """
        self.request(b"POST / HTTP/1.0").finish(b"ok")
        [whole] = self.wire.writes
        self.assertTrue(whole.startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertTrue(whole.endswith(b"\r\n\r\nok"))
        self.assertTrue(self.wire.disconnecting)

    def test_no_second_line(self) -> None:
        """
        Nothing in a header begins another one, also in those of Twisted's own classes.
        """
        for bad in (b"a\r\nX-B: b", b"a\nX-B: b", b"a\rX-B: b"):
            request = self.request()
            request.setHeader(b"X-A", bad)
            request.responseHeaders.addRawHeader(b"Vary", b"Accept")
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            request.finish()
            [whole] = self.wire.writes
            self.assertIn(b"\r\nX-A: a X-B: b\r\n", whole)
            self.assertIn(b"\r\nVary: Accept\r\nVary: Origin\r\n", whole)

    def test_client_gone(self) -> None:
        """
        Nothing is written any more.
        """
        request = self.request()
        self.disconnect(self.channel)
        request.write(b"a")
        self.assertEqual(self.wire.writes, [])
        self.assertRaises(RuntimeError, request.finish)
