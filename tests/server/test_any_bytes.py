"""
What holds of a connection whatever bytes come.
"""

import json
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from swapgate.config.limits import Limits
from swapgate.server.request import GatewayRequest
from swapgate.server.site import GatewaySite
from tests.channel_rig import ChannelCase, RecordingResource, TCPWire
from tests.doubles import ACCESS

# What requests are made of, and what they are broken with.
PARTS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"3;a=b\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/9.9\r\n",
    b"GET / HTTP/1.1\r\n",
    b"Host: x\r\n",
    b"Connection: close, TE\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"X: " + b"y" * 9000 + b"\r\n",
    b"X: y\r\n" * 60,
    b" folded\r\n",
    b"abc",
    b"{",
    b"0\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\xff",
)
ANYTHING = st.lists(st.sampled_from(PARTS) | st.binary(max_size=8), max_size=8)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [ -~]*\r\n")


class AnsweringResource(RecordingResource):
    """
    Where each request is answered at once.
    """

    def render(self, request: GatewayRequest) -> int:
        result = super().render(request)
        request.setHeader(b"Content-Length", b"2")
        request.write(b"ok")
        request.finish()
        return result


class AnyBytesTests(ChannelCase):
    """
    Whatever it is, and in whatever pieces it comes.
    """

    def answers(self) -> list[int]:
        """
        The statuses of all the answers heard, which is all that was heard.
        """
        heard, methods = self.wire.value(), [r.method for r in self.resource.requests]
        statuses: list[int] = []
        while heard:
            found = _STATUS_LINE.match(heard)
            assert found is not None, heard
            status = int(found[1])
            head, _, heard = heard.partition(b"\r\n\r\n")
            if status == 100:
                continue
            if status == 200:
                body = b"" if methods.pop(0) == b"HEAD" else b"ok"
                self.assertTrue(heard.startswith(body), heard)
                heard = heard[len(body) :]
            else:
                # A refusal is the last word, in the OpenAI shape.
                self.assertIn("message", json.loads(heard)["error"])
                self.assertIn(b"\r\nConnection: close", head)
                heard = b""
            statuses.append(status)
        return statuses

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(ANYTHING, st.integers(1, 5000))
    @example([PARTS[0], PARTS[1], PARTS[2], PARTS[3], PARTS[4]], 7)
    @example([b"\r\n\r\n"], 1)
    @example([PARTS[3], b"0\r\nA: b\n\r\n\r\n", PARTS[0]], 3)
    def test_any_bytes(self, parts: list[bytes], at_a_time: int) -> None:
        """
        One answer a request, no traceback, and an end within the deadlines.
        """
        self.clock = Clock()
        self.resource = AnsweringResource()
        self.site = GatewaySite(
            self.resource, access=ACCESS, reactor=self.clock, limits=Limits()
        )
        self.connect(TCPWire())
        data = b"".join(parts)
        for start in range(0, len(data), at_a_time):
            if self.wire.disconnecting or self.wire.aborted:
                break
            self.channel.dataReceived(data[start : start + at_a_time])
        for _ in range(3):
            self.clock.advance(70)
        self.assertTrue(self.wire.disconnecting or self.wire.aborted)
        answers = self.answers()
        self.assertEqual(answers.count(200), len(self.resource.requests))
        self.assertLessEqual(len(answers) - answers.count(200), 1)
        self.disconnect(self.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_requests_in_a_row(self) -> None:
        """
        The promise is not kept by refusing all.
        """
        self.resource = AnsweringResource()
        self.site = GatewaySite(
            self.resource, access=ACCESS, reactor=self.clock, limits=Limits()
        )
        self.connect(TCPWire())
        for byte in b"".join((*PARTS[:5], PARTS[0])):
            self.channel.dataReceived(bytes([byte]))
        self.assertEqual(self.answers(), [200] * 5)
