"""
How is a daemon asked over HTTP? One pool of connections for one life of a daemon.
"""

from collections.abc import Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from attrs import define, field
from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IConsumer, IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import Request
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IResponse,
)
from zope.interface import implementer

from swapgate.config.values import Upstream
from swapgate.net import endpoint_of, flush
from swapgate.upstream.connection import Pool, StaleConnection, UpstreamConnection

_CONNECT_TIMEOUT_S = 10.0
# What is read of a body that nobody wants.
_UNWANTED_BYTES = 65536


@implementer(IAgentEndpointFactory)
@define
class _OneEndpoint:
    _endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


@implementer(IAgent)
@define
class _Plain:
    """
    An Agent below treq, which asks for gzip whatever it is told: this does not.
    """

    _agent: Agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        plain = Headers() if headers is None else headers.copy()
        plain.removeHeader(b"Accept-Encoding")
        return self._agent.request(method, uri, plain, bodyProducer)


@implementer(IBodyProducer, IPushProducer)
class BodyProducer:
    """
    Writes a body that is already here, as fast as the other side takes it.
    """

    def __init__(self, pieces: Sequence[bytes | bytearray]) -> None:
        self.length = sum(map(len, pieces))
        self._all = pieces
        # Of its own: a daemon may answer before all of it is written, and then the
        # request that it belongs to is over and drops it.
        self._pieces = iter(tuple(pieces))
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
        self._pieces = iter(())

    def anew(self) -> "BodyProducer":
        """
        One of the same body, from its beginning.
        """
        return BodyProducer(self._all)

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
    _pool: Pool = field(init=False)
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
        self._pool = Pool(self._reactor)
        agent = Agent.usingEndpointFactory(
            self._reactor, _OneEndpoint(self._endpoint), pool=self._pool
        )
        no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._treq = HTTPClient(_Plain(agent), no_cookies)

    async def ask(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: BodyProducer,
    ) -> Exchange:
        """
        Send a request and wait for the headers of the response.

        A kept connection that turns out to be closed is no answer of the daemon: then
        the request goes out on a new one.

        :param target: path and query, passed as they are.
        :param headers: passed on but for Host, which becomes the daemon's, and
            Authorization where the daemon asks for a key.
        """
        headers.setRawHeaders(b"Host", [self._host])
        if self._authorization is not None:
            headers.setRawHeaders(b"Authorization", [self._authorization])
        try:
            return await self._ask_once(method, target, headers, body)
        except StaleConnection:
            # The other kept ones are as old.
            self.drop_idle()
            return await self._ask_once(method, target, headers, body.anew())

    async def _ask_once(
        self, method: bytes, target: bytes, headers: Headers, body: BodyProducer
    ) -> Exchange:
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
        try:
            try:
                response = await self._get(path)
            except StaleConnection:
                self.drop_idle()
                response = await self._get(path)
            unwanted = _UnwantedBody()
            response.deliverBody(unwanted)
            await unwanted.read
        except Exception as error:
            self.shown = f"GET {path}: {_in_words(error)}"
            raise
        self.shown = f"GET {path} was answered with {response.code}"
        return int(response.code)

    def _get(self, path: str) -> Deferred[Any]:
        headers = Headers()
        if self._authorization is not None:
            headers.setRawHeaders(b"Authorization", [self._authorization])
        asked: Deferred[Any] = self._treq.get(
            f"{self.upstream.url}{path}",
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
        )
        return asked

    def drop_idle(self) -> None:
        """
        Close the connections that nobody uses now: the daemon may have done so already.
        """
        self._pool.closeCachedConnections()

    close = drop_idle
