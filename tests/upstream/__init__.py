"""
Tests of swapgate.upstream, and what reads a response in them.
"""

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone


class Reader(Protocol):
    """
    Keeps a body: what each read has brought, and how it ended.
    """

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.end: Failure | None = None
        #: Fires with all of the body.
        self.whole: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason
        if reason.check(ResponseDone):
            self.whole.callback(b"".join(self.reads))
