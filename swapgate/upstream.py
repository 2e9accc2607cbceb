"""
How is a daemon asked over HTTP? One pool of connections for one life of a daemon.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from attrs import define, field
from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.abstract import FileDescriptor, isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

# Agent would parse our ready target again and normalise it, and hides the connection.
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    ResponseDone,
    _HTTP11ClientFactory,
)
from twisted.web.http import PotentialDataLoss, _ChunkedTransferDecoder
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from swapgate.config import Upstream
from swapgate.heads import Nonsense, read_head

# Below the 5 s for which llama-server keeps an idle connection.
_IDLE_CONNECTION_S = 3
_IDLE_CONNECTIONS = 64
_CONNECT_TIMEOUT_S = 10.0
# What is read of a body that nobody wants.
_UNWANTED_BYTES = 65536


def flush(transport: object) -> None:
    """
    Send what was written now, not a reactor turn later.

    What cannot be sent stays queued, and errors are left for the reactor to meet. Under
    TLS nothing happens: its records are made at the reactor's next turn.
    """
    if (
        isinstance(transport, FileDescriptor)
        and transport.connected
        and not transport.disconnecting
    ):
        transport.doWrite()


def send_now(transport: Any, data: bytes) -> None:
    """
    `transport.write(data)` and `flush(transport)`, with less work where nothing waits.
    """
    if isinstance(transport, FileDescriptor) and not (
        transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting
    ):
        sent = transport.writeSomeData(data)
        # An error is met again, and reported, by the reactor.
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)
        flush(transport)


def endpoint_of(
    upstream: Upstream,
    reactor: Any,
    timeout_s: float,
    trust_root: object = None,
) -> IStreamClientEndpoint:
    """
    Where to connect to. An address goes by no resolver, and is refused at once.

    HostnameEndpoint resolves and IDNA-encodes at every connection, and tells of a
    refusal only after its delay between attempts, 0.3 s.

    :param trust_root: who vouches for an https host, an `IOpenSSLTrustRoot`; None:
        whom the system trusts, or the file that SSL_CERT_FILE names.
    """
    where = (reactor, upstream.host, upstream.port, timeout_s)
    endpoint: IStreamClientEndpoint
    if isIPAddress(upstream.host):
        endpoint = TCP4ClientEndpoint(*where)
    elif isIPv6Address(upstream.host):
        endpoint = TCP6ClientEndpoint(*where)
    else:
        endpoint = HostnameEndpoint(*where)
    if upstream.scheme == "https":
        policy = BrowserLikePolicyForHTTPS(trust_root)
        creator = policy.creatorForNetloc(upstream.host.encode("ascii"), upstream.port)
        endpoint = wrapClientTLS(creator, endpoint)
    return endpoint


_CHUNK_HEAD = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


def whole_chunks(data: bytes) -> bytes | None:
    """
    What these chunks hold, if they are whole and plain and none is the last one.
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


class BodyReader(Protocol):
    """
    Whoever reads a response's body, and wants to know where one read has ended.
    """

    def dataReceived(self, data: bytes) -> None: ...

    def read_ended(self) -> None: ...


class UpstreamConnection(HTTP11ClientProtocol):
    """
    A connection that also tells its `reader` when all of one read has been delivered.
    """

    transport: Any
    reader: BodyReader | None = None
    # The head of an answer, as far as it has come; None when it has been read.
    _head: bytes | None = None
    _nonsense: Nonsense | None = None

    def request(self, request: Request) -> Deferred[IResponse]:
        self._head = b""
        return super().request(request).addErrback(self._tell_why)

    def _tell_why(self, failure: Failure) -> Failure:
        return failure if self._nonsense is None else Failure(self._nonsense)

    def dataReceived(self, data: bytes) -> None:
        if self._head is not None:
            data = self._past_bad_heads(self._head + data)
            if not data:
                return
        body = None
        if self.reader is not None and self._is_between_chunks():
            body = whole_chunks(data)
        if self.reader is None or body is None:
            super().dataReceived(data)
        else:
            # A token is nearly always one whole chunk, and Twisted's way from here to
            # the reader took half of the time that we have it.
            self.reader.dataReceived(body)
        # It may have come with this read, or gone.
        if self.reader is not None:
            self.reader.read_ended()

    def _past_bad_heads(self, data: bytes) -> bytes:
        """
        What Twisted may read: nothing until all of a head is here, and is good.
        """
        try:
            head = read_head(data)
            while head is not None and head[0] < 200:
                # An interim answer; another head follows.
                super().dataReceived(data[: head[1]])
                data = data[head[1] :]
                head = read_head(data)
        except Nonsense as nonsense:
            # The first of it says why.
            self._nonsense = self._nonsense or nonsense
            self.abort_now()
            return b""
        self._head = data if head is None else None
        return b"" if head is None else data

    def _is_between_chunks(self) -> bool:
        decoder = self._parser and self._parser.bodyDecoder
        return (
            isinstance(decoder, _ChunkedTransferDecoder)
            and decoder.state == "CHUNK_LENGTH"
            and not decoder._buffer
        )

    def abort_now(self) -> None:
        """
        Close at once, whatever is still to be written, so that the engine stops.
        """
        self.reader = None
        if self.transport is not None:
            self.transport.abortConnection()


class _ConnectionFactory(_HTTP11ClientFactory):
    noisy = False

    def buildProtocol(self, addr: object) -> UpstreamConnection:
        return UpstreamConnection(self._quiescentCallback)


class _Pool(HTTPConnectionPool):
    _factory = _ConnectionFactory
    maxPersistentPerHost = _IDLE_CONNECTIONS
    cachedConnectionTimeout = _IDLE_CONNECTION_S
    # Only we know what may be asked twice.
    retryAutomatically = False


@implementer(IAgentEndpointFactory)
@define
class _OneEndpoint:
    _endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


@implementer(IBodyProducer, IPushProducer)
class BodyProducer:
    """
    Writes a body that is already here, as fast as the other side takes it.
    """

    def __init__(self, pieces: Sequence[bytes | bytearray]) -> None:
        self.length = sum(map(len, pieces))
        self._pieces = iter(pieces)
        self._consumer: IConsumer | None = None
        self._paused = False
        self._done: Deferred[None] = Deferred(self._forget)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def resumeProducing(self) -> None:
        self._paused = False
        while not self._paused and self._consumer is not None:
            piece = next(self._pieces, None)
            if piece is None:
                self._consumer = None
                self._done.callback(None)
            else:
                self._consumer.write(bytes(piece))

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._consumer = None

    def _forget(self, _: Deferred[None]) -> None:
        self.stopProducing()


class _UnwantedBody(BodyProtocol):
    """
    Reads a body to its end, so that its connection can be kept, unless it is long.
    """

    transport: Any

    def __init__(self) -> None:
        self.read: Deferred[None] = Deferred(lambda _: self._cut())
        self._left = _UNWANTED_BYTES

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.read.called:
            self.read.callback(None)
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.read.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(None)
        else:
            self.read.errback(reason)

    def _cut(self) -> None:
        # What Twisted hands us can only close, and under TLS that is a request.
        self.transport._producer.abortConnection()


@define(eq=False)
class Exchange:
    """
    One request under way: its connection, and the response once its headers are here.
    """

    connection: UpstreamConnection
    response: IResponse


def _in_words(error: Exception) -> str:
    """
    Why there was no answer, as somebody who has to mend it wants to know it.
    """
    if isinstance(error, CancelledError):
        return "no answer in time"
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _in_words(reasons[0].value)
    if isinstance(error, SSLError) and error.args and error.args[0]:
        return f"TLS failed: {error.args[0][-1][-1]}"
    if isinstance(error, VerificationError):
        return "its certificate is for another host"
    return str(error) or type(error).__name__


@define(eq=False)
class UpstreamClient:
    """
    Asks one daemon, during one of its lives. `close()` ends every idle connection.
    """

    upstream: Upstream
    _reactor: Any
    _trust_root: object = None
    # What the last get_status() has shown, in words.
    shown: str = field(default="", init=False)
    _pool: _Pool = field(init=False)
    _endpoint: IStreamClientEndpoint = field(init=False)
    _key: tuple[bytes, bytes, int] = field(init=False)
    _treq: HTTPClient = field(init=False)
    _host: bytes = field(init=False)
    _authorization: bytes | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._host = self.upstream.netloc.encode("ascii")
        self._key = (
            self.upstream.scheme.encode(),
            self.upstream.host.encode(),
            self.upstream.port,
        )
        key = self.upstream.api_key
        self._authorization = None if key is None else f"Bearer {key}".encode("ascii")
        self._endpoint = endpoint_of(
            self.upstream, self._reactor, _CONNECT_TIMEOUT_S, self._trust_root
        )
        self._pool = _Pool(self._reactor)
        self._treq = HTTPClient(
            Agent.usingEndpointFactory(
                self._reactor, _OneEndpoint(self._endpoint), pool=self._pool
            )
        )

    async def ask(
        self, method: bytes, target: bytes, headers: Headers, body: BodyProducer
    ) -> Exchange:
        """
        Send a request and wait for the headers of the response.

        :param target: path and query, passed as they are.
        :param headers: passed on but for Host, which becomes the daemon's, and
            Authorization where the daemon asks for a key.
        """
        headers.setRawHeaders(b"Host", [self._host])
        if self._authorization is not None:
            headers.setRawHeaders(b"Authorization", [self._authorization])
        try:
            connection = await self._pool.getConnection(self._key, self._endpoint)
        except DNSLookupError as error:
            # To whoever asks, a host without an address is one that is not there.
            raise ConnectError(string=str(error)) from error
        assert isinstance(connection, UpstreamConnection)
        asked = connection.request(
            Request(method, target, headers, body, persistent=True)
        )
        flush(connection.transport)
        return Exchange(connection, await asked)

    async def get_status(self, path: str) -> int:
        """
        The status of a GET; the body is read and dropped, or cut where it is long.
        """
        headers = Headers()
        if self._authorization is not None:
            headers.setRawHeaders(b"Authorization", [self._authorization])
        try:
            response = await self._treq.get(
                f"{self.upstream.url}{path}",
                headers=headers,
                allow_redirects=False,
                unbuffered=True,
            )
            unwanted = _UnwantedBody()
            response.deliverBody(unwanted)
            await unwanted.read
        except Exception as error:
            self.shown = f"GET {path}: {_in_words(error)}"
            raise
        self.shown = f"GET {path} was answered with {response.code}"
        return int(response.code)

    def drop_idle(self) -> None:
        """
        Close the connections that nobody uses now: the daemon may have done so already.
        """
        self._pool.closeCachedConnections()

    close = drop_idle
