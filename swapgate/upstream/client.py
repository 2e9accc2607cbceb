"""
Upstream client: asks one daemon over HTTP, through a pool of keepalive connections.

1. There is one client for each life of a daemon: no connection outlives the process.
2. A request is retried once, and only if its keepalive connection turns out to be
   closed before a byte of the response (RFC 9112, 9.3.1).
3. Path, query and body pass unaltered; treq, which would parse them, only polls.
"""

from http.cookiejar import DefaultCookiePolicy
from typing import Any

from attrs import define, field
from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
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
from swapgate.upstream.request_body import BodyProducer

_CONNECT_TIMEOUT_S = 10.0
# How much of a body is read only to keep its connection.
_DISCARDED_BYTES = 65536


@implementer(IAgentEndpointFactory)
@define
class _OneEndpoint:
    _endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


@implementer(IAgent)
@define
class _WithoutGzip:
    """
    An Agent below treq without its Accept-Encoding, which treq always sets.
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


class _DiscardedBody(BodyProtocol):
    """
    Reads a body to its end, so that its connection can be reused, or aborts a long one.
    """

    transport: Any

    def __init__(self) -> None:
        self.read: Deferred[None] = Deferred(lambda _: self._abort())
        self._left = _DISCARDED_BYTES

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.read.called:
            self.read.callback(None)
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.read.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(None)
        else:
            self.read.errback(reason)

    def _abort(self) -> None:
        # The transport that Twisted hands us can only close: under TLS that waits for
        # the daemon's answer.
        self.transport._producer.abortConnection()


@define(eq=False)
class Exchange:
    """
    One request under way: its connection, and the response once its headers are here.
    """

    connection: UpstreamConnection
    response: IResponse


def _reason(error: Exception) -> str:
    """
    Why there was no answer, in words that tell what to mend.
    """
    if isinstance(error, CancelledError):
        return "no answer in time"
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _reason(reasons[0].value)
    if isinstance(error, SSLError) and error.args and error.args[0]:
        return f"TLS failed: {error.args[0][-1][-1]}"
    if isinstance(error, VerificationError):
        return "its certificate is for another host"
    return str(error) or type(error).__name__


@define(eq=False)
class UpstreamClient:
    """
    Asks one daemon, during one life of it. `close()` closes every idle connection.
    """

    upstream: Upstream
    _reactor: Any
    _trust_root: object = None
    # The result of the last get_status(), in words.
    last_probe: str = field(default="", init=False)
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
        self._treq = HTTPClient(_WithoutGzip(agent), no_cookies)

    async def ask(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: BodyProducer,
    ) -> Exchange:
        """
        Send a request and wait for the headers of the response.

        Retried on a new connection where an idle one turns out to be closed.

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
            # The other idle ones are as old.
            self.drop_idle()
            return await self._ask_once(method, target, headers, body.anew())

    async def _ask_once(
        self, method: bytes, target: bytes, headers: Headers, body: BodyProducer
    ) -> Exchange:
        try:
            connection = await self._pool.getConnection(self._key, self._endpoint)
        except DNSLookupError as error:
            # A host without an address counts as one that cannot be reached.
            raise ConnectError(string=str(error)) from error
        assert isinstance(connection, UpstreamConnection)
        asked = connection.request(
            Request(method, target, headers, body, persistent=True)
        )
        flush(connection.transport)
        return Exchange(connection, await asked)

    async def get_status(self, path: str) -> int:
        """
        The status of a GET; the body is read and discarded, or aborted if it is long.
        """
        try:
            try:
                response = await self._get(path)
            except StaleConnection:
                self.drop_idle()
                response = await self._get(path)
            discarded = _DiscardedBody()
            response.deliverBody(discarded)
            await discarded.read
        except Exception as error:
            self.last_probe = f"GET {path}: {_reason(error)}"
            raise
        self.last_probe = f"GET {path} was answered with {response.code}"
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
        Close the idle connections: the daemon may have closed them already.
        """
        self._pool.closeCachedConnections()

    close = drop_idle
