"""
Upstream connection: a daemon's HTTP/1.1, heads checked, a fast path for chunks.

1. Twisted's parser gets a head only when all of it is here and `response_head` has
   checked it: Twisted accepts what another proxy would read differently.
2. Whole chunks of a read go straight to the reader; all else goes through Twisted.
3. The reader is told when one read has ended, so that what it wrote is flushed once.
"""

import re
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

# Agent would parse and normalise the target again, and hides the connection.
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import (
    HTTPConnectionPool,
    RequestGenerationFailed,
    _HTTP11ClientFactory,
)
from twisted.web.http import _ChunkedTransferDecoder
from twisted.web.iweb import IResponse

from swapgate.upstream.response_head import BadUpstreamResponse, keeps_open, read_head

# Below the 5 s for which llama-server keeps an idle connection.
_IDLE_CONNECTION_S = 3
_IDLE_CONNECTIONS = 64
# An engine sends none, or a few; an endless series would keep us busy.
_INTERIM_RESPONSES = 16
# How much is read at a time: the worst of it, a line for each byte, takes 40 ms.
_BITE = 16 * 1024

_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


def whole_chunks(data: bytes) -> bytes | None:
    """
    The data of these chunks, if all are whole, without extensions, none the last one.
    """
    pieces, at = [], 0
    while at < len(data):
        head = _CHUNK_HEAD.match(data, at)
        if head is None:
            return None
        end = head.end() + int(head[1], 16)
        if end == head.end() or data[end : end + 2] != b"\r\n":
            return None
        pieces.append(data[head.end() : end])
        at = end + 2
    return b"".join(pieces)


class ResponseReader(Protocol):
    """
    Takes a response's body, and is told when all of one read has been delivered.
    """

    def dataReceived(self, data: bytes) -> None: ...

    def read_ended(self) -> None: ...


class StaleConnection(ConnectionLost):
    """
    A reused connection was closed before a byte of the response.

    Perhaps before the request was sent (RFC 9112, 9.3.1): the daemon may be well.
    """


class UpstreamConnection(HTTP11ClientProtocol):
    """
    One connection to a daemon. Its `reader`, where one is set, gets the body directly.

    :ivar lost: how the connection ended; None while it is there.
    """

    transport: Any
    reader: ResponseReader | None = None
    lost: Failure | None = None
    _requests = 0
    # Whether a byte of the present response has arrived.
    _heard = False
    # A response's head, as far as it has arrived; None when it has been read.
    _head: bytes | None = None
    _interim = 0
    _bad_response: BadUpstreamResponse | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.bufferSize = _BITE

    def request(self, request: Request) -> Deferred[IResponse]:
        self._head, self._interim = b"", 0
        self._requests += 1
        self._heard = False
        return super().request(request).addErrback(self._with_reason)

    def _with_reason(self, failure: Failure) -> Failure:
        if self._bad_response is not None:
            return Failure(self._bad_response)
        if self._requests > 1 and self.lost is not None and not self._heard:
            return Failure(StaleConnection(str(self.lost.value)))
        match failure.value:
            # How Twisted reports a request that is cancelled while its body is written.
            case RequestGenerationFailed(reasons=[Failure(value=CancelledError())]):
                return Failure(CancelledError())
        return failure

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        self._heard = True
        if self._head is not None:
            data = self._checked(self._head + data)
            if not data:
                return
        body = None
        if self.reader is not None and self._is_between_chunks():
            body = whole_chunks(data)
        if self.reader is None or body is None:
            super().dataReceived(data)
        else:
            # A token is nearly always one whole chunk, and Twisted's way from here to
            # the reader took half of the time that a token spends in the gateway.
            self.reader.dataReceived(body)
        # It may have been set during this read, or unset.
        if self.reader is not None:
            self.reader.read_ended()

    def _checked(self, data: bytes) -> bytes:
        """
        The data for Twisted's parser: none until a whole head is here, and is good.
        """
        try:
            head = read_head(data)
            while head is not None and head[0] < 200:
                # An interim response; another head follows.
                self._interim += 1
                if self._interim > _INTERIM_RESPONSES:
                    raise BadUpstreamResponse(
                        f"it sent {self._interim} heads, and no answer"
                    )
                super().dataReceived(data[: head[1]])
                data = data[head[1] :]
                head = read_head(data)
        except BadUpstreamResponse as bad_response:
            # The first one says why.
            self._bad_response = self._bad_response or bad_response
            self.abort_now()
            return b""
        if head is None:
            self._head = data
            return b""
        self._head = None
        if not keeps_open(data[: head[1]]):
            # Twisted would reuse it, for it knows neither HTTP/1.0 nor `Close`, and the
            # next request would meet the daemon's FIN.
            assert self._currentRequest is not None
            self._currentRequest.persistent = False
        return data

    def _is_between_chunks(self) -> bool:
        decoder = self._parser and self._parser.bodyDecoder
        return (
            isinstance(decoder, _ChunkedTransferDecoder)
            and decoder.state == "CHUNK_LENGTH"
            and not decoder._buffer
        )

    def abort_now(self) -> None:
        """
        Close at once, dropping what is still to be written, so that the engine stops.
        """
        self.reader = None
        if self.transport is not None:
            self.transport.abortConnection()


class _ConnectionFactory(_HTTP11ClientFactory):
    noisy = False

    def buildProtocol(self, addr: object) -> UpstreamConnection:
        return UpstreamConnection(self._quiescentCallback)


class Pool(HTTPConnectionPool):
    _factory = _ConnectionFactory
    maxPersistentPerHost = _IDLE_CONNECTIONS
    cachedConnectionTimeout = _IDLE_CONNECTION_S
    # Only UpstreamClient knows what may be retried.
    retryAutomatically = False
