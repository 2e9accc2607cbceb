"""
One connection without a socket: what the client's side hears, and how it ends.
"""

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from swapgate.config.limits import Limits
from swapgate.server.request import GatewayRequest, Route
from swapgate.server.request_parser import RequestHead
from swapgate.server.site import GatewaySite
from tests.doubles import ACCESS


class Wire(StringTransport):
    """
    The client's side, and how it was closed.
    """

    aborted = False
    bufferSize = 0

    def abortConnection(self) -> None:
        self.aborted = True


@implementer(ITCPTransport)
class TCPWire(Wire):
    """
    One that can be closed in one direction.
    """

    half_closed = False

    def getTcpNoDelay(self) -> bool:  # noqa: N802
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        """
        It is anyway.
        """

    def getTcpKeepAlive(self) -> bool:  # noqa: N802
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802
        """
        There is nothing to keep.
        """

    def loseWriteConnection(self) -> None:  # noqa: N802
        self.half_closed = True


class RecordingResource(Resource):
    """
    A resource that records its requests.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[GatewayRequest] = []
        self.at_once = False

    def route(self, head: RequestHead) -> Route:
        return Route(self.serve, keeps_body=head.method == b"POST")

    async def serve(self, request: GatewayRequest) -> None:
        """
        Never called: `render` is.
        """

    def render(self, request: GatewayRequest) -> int:
        self.requests.append(request)
        if self.at_once:
            request.finish()
        return int(NOT_DONE_YET)


class ChannelCase(SynchronousTestCase):
    """
    One connection.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.resource = RecordingResource()
        self.site = GatewaySite(
            self.resource, access=ACCESS, reactor=self.clock, limits=Limits()
        )
        self.connect(TCPWire())

    def connect(self, wire: Any) -> None:
        self.wire = wire
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(wire)

    def disconnect(self, channel: Any) -> None:
        channel.connectionLost(Failure(ConnectionDone()))

    def say(self, *lines: bytes, body: bytes = b"") -> None:
        self.channel.dataReceived(b"\r\n".join([*lines, b"", body]))

    def error(self) -> tuple[int, str]:
        """
        Status and code of the one response that was sent.
        """
        head, _, body = self.wire.value().partition(b"\r\n\r\n")
        self.assertIn(b"\r\nContent-Length: %d" % len(body), head)
        self.assertIn(b"\r\nConnection: close", head)
        return int(head.split()[1]), json.loads(body)["error"]["code"]
