"""
Upstream client: asks one daemon over HTTP, through a pool of keepalive connections.

1. There is one client for each life of a daemon: no connection outlives the process.
2. A request is retried once, and only if its keepalive connection turns out to be
   closed before a byte of the response (RFC 9112, 9.3.1).
3. Path, query and body pass unaltered; treq, which would parse them, only polls.
"""

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from OpenSSL.SSL import Error as SSLError
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from swapgate.config.values import Upstream
from swapgate.net import endpoint_of
from swapgate.upstream.connection import Body, Pool, Response, StaleConnection

_CONNECT_TIMEOUT_S = 10.0
# How much of a body is read only to keep its connection.
_DISCARDED_BYTES = 65536


class _PollResponse:
    """
    What treq needs of a response: none of its headers, so that no cookie is kept.
    """

    def __init__(self, response: Response) -> None:
        self.code, self.headers = response.status, Headers()
        self.deliverBody = response.connection.deliver_to


@implementer(IAgent)
@define
class _PollAgent:
    """
    Lets treq poll over our own connections, whose responses are checked.

    Its headers are not sent: they ask for a compressed body.
    """

    _client: "UpstreamClient"

    def request(
        self, method: bytes, uri: bytes, *_: object, **__: object
    ) -> Deferred[Any]:
        target = b"/" + uri.split(b"/", 3)[3]
        return self._client.ask(method, target, (), ()).addCallback(_PollResponse)


class _DiscardedBody(BodyProtocol):
    """
    Reads a body to its end, so that its connection can be reused, or aborts a long one.
    """

    transport: Any

    def __init__(self) -> None:
        self.read: Deferred[None] = Deferred(lambda _: self.transport.abortConnection())
        self._left = _DISCARDED_BYTES

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.read.called:
            self.read.callback(None)
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.read.called:
            whole = reason.check(ResponseDone, PotentialDataLoss)
            self.read.callback(None if whole else reason)


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
    _treq: HTTPClient = field(init=False)
    # Those of every request, Host first.
    _headers: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._headers = ((b"Host", self.upstream.netloc.encode("ascii")),)
        if (key := self.upstream.api_key) is not None:
            bearer = f"Bearer {key}".encode("ascii")
            self._headers += ((b"Authorization", bearer),)
        self._endpoint = endpoint_of(
            self.upstream, self._reactor, _CONNECT_TIMEOUT_S, self._trust_root
        )
        self._pool = Pool(self._reactor)
        self._treq = HTTPClient(_PollAgent(self))

    def ask(
        self,
        method: bytes,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: Body,
    ) -> Deferred[Response]:
        """
        Send a request and wait for the head of the response.

        Retried on a new connection where an idle one turns out to be closed.

        :param target: path and query, passed as they are.
        :param headers: all but Host, Content-Length and Authorization.
        """
        own = self._headers
        if body:
            own += ((b"Content-Length", b"%d" % sum(map(len, body))),)
        head = _head(method, target, (*own, *headers))
        idle = self._pool.take()
        if idle is None:
            return self._ask_anew(head, body)
        return idle.ask(head, body).addErrback(self._ask_again, head, body)

    def _ask_again(self, failure: Failure, head: bytes, body: Body) -> Any:
        failure.trap(StaleConnection)
        # The other idle ones are as old.
        self.drop_idle()
        return self._ask_anew(head, body)

    def _ask_anew(self, head: bytes, body: Body) -> Deferred[Response]:
        connected: Deferred[Any] = self._endpoint.connect(self._pool)
        return connected.addCallback(lambda connection: connection.ask(head, body))

    async def get_status(self, path: str) -> int:
        """
        The status of a GET; the body is read and discarded, or aborted if it is long.
        """
        try:
            response = await self._treq.get(
                f"{self.upstream.url}{path}", allow_redirects=False, unbuffered=True
            )
            discarded = _DiscardedBody()
            response.deliverBody(discarded)
            await discarded.read
        except Exception as error:
            self.last_probe = f"GET {path}: {_reason(error)}"
            raise
        self.last_probe = f"GET {path} was answered with {response.code}"
        return int(response.code)

    def drop_idle(self) -> None:
        """
        Close the idle connections: the daemon may have closed them already.
        """
        self._pool.close()

    close = drop_idle


def _head(
    method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> bytes:
    """
    A request's head. Nothing in it may begin another line.
    """
    lines = [b"%b %b HTTP/1.1" % (method, target), *map(b"%b: %b".__mod__, headers)]
    head = b"\r\n".join(lines)
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise ValueError("a line of the request's head holds another one, or NUL")
    return head + b"\r\n\r\n"
