"""
How does one request come to its answer? Held, asked, passed on; once more if need be.
"""

from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers

from swapgate.api.keepalive import WaitNotifier
from swapgate.api.openai import ModelRequest
from swapgate.api.relay import Ending, Relay
from swapgate.errors import APIError
from swapgate.fleet.lease import Lease, QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest
from swapgate.server.target import Target
from swapgate.upstream.client import (
    Exchange,
)
from swapgate.upstream.request_body import BodyProducer
from swapgate.upstream.response_head import BadUpstreamResponse

# What a client says to us alone: hop by hop, of its browser, its keys for us. Whatever
# else it says is the daemon's to read. Bodies come as they are, so none is compressed.
_NOT_PASSED_ON = frozenset(
    {
        b"host",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"expect",
        b"accept-encoding",
        b"authorization",
        b"x-api-key",
        b"cookie",
        b"origin",
        b"referer",
    }
)
_FAILED = "upstream_failed"
# The daemon was asked, and no byte of an answer came.
_UNANSWERED = (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
    TimeoutError,
)


@frozen
class ProxyRequest:
    """
    One request on its way.
    """

    _request: GatewayRequest
    _asked: ModelRequest
    _target: Target
    _scheduler: Scheduler
    _clock: IReactorTime
    _log = Logger()

    async def run(self) -> None:
        """
        Hold, ask and pass on; once more if the daemon turns out to be dead.
        """
        request, log_entry = self._request, self._request.log_entry
        log_entry.model = self._asked.model
        why = ""
        for again in (False, True):
            lease = await self._lease()
            if again:
                # A look at the daemon may have left a connection that is closed with
                # this request, too: it would be sent once more.
                lease.client.drop_idle()
            log_entry.leased_s = self._clock.seconds()
            ending = Ending.UNANSWERED
            try:
                ending = await self._try(lease)
            except BadUpstreamResponse as bad_response:
                self._log.info(
                    "{model}: no answer ({why})",
                    model=log_entry.model,
                    why=str(bad_response),
                )
                why = f"; the last time {bad_response}"
            finally:
                failed = ending is not Ending.WHOLE and not request._disconnected
                lease.release(suspect=failed and lease.ended is None)
            # Cancelling a request may look like a failure of the daemon.
            if ending is not Ending.UNANSWERED or request._disconnected:
                if failed:
                    log_entry.error = lease.ended.code if lease.ended else _FAILED
                return
            if lease.ended:
                # Once more would load again what is to be gone.
                raise lease.ended.refusal()
        raise APIError(
            status=502,
            code=_FAILED,
            message=f"the daemon of {self._asked.model} failed twice without an answer"
            f"{why}",
        )

    async def _lease(self) -> Lease:
        """
        Wait for the model; whoever wants a stream is told of the wait in it.
        """
        request, name = self._request, self._asked.model
        entry = QueuedRequest(client=_who(request), streams=self._asked.stream)
        waiting = self._scheduler.lease(name, entry)
        notifier = None
        if self._asked.stream and not waiting.called:
            spec = self._scheduler.states[name].spec
            notifier = WaitNotifier(
                request,
                spec,
                self._target.path,
                lambda: self._scheduler.outlook.of(entry),
                self._clock,
            )
            notifier.start()
        try:
            return await waiting
        finally:
            if notifier is not None:
                notifier.stop()
            log_entry = request.log_entry
            log_entry.waited(queue_s=entry.queue_s, load_s=entry.load_s)
            request.setHeader(b"X-Swapgate-Load-Ms", b"%d" % (log_entry.load_s * 1e3))
            request.setHeader(b"X-Swapgate-Queue-Ms", b"%d" % (log_entry.queue_s * 1e3))

    async def _try(self, lease: Lease) -> Ending:
        """
        Ask once, and pass the answer on.
        """
        exchange = await self._exchange(lease)
        if isinstance(exchange, str):
            self._log.info(
                "{model}: no answer ({why})", model=lease.spec.name, why=exchange
            )
            return Ending.UNANSWERED
        relay = Relay(
            self._request,
            exchange.response,
            exchange.connection,
            self._clock,
            first_timeout_s=lease.spec.first_token_timeout_s,
            stall_timeout_s=lease.spec.stall_timeout_s,
            excuse=lambda: lease.ended,
        )
        lease.cut = relay.cut
        exchange.response.deliverBody(relay)
        return await relay.done

    async def _exchange(self, lease: Lease) -> Exchange | str:
        """
        The head of the daemon's answer, or why there is none.
        """
        request = self._request
        asked = Deferred.fromCoroutine(
            lease.client.ask(
                request.method,
                self._target.raw,
                _passed_on(request.requestHeaders),
                BodyProducer(request.body.pieces()),
            )
        )
        if lease.spec.first_token_timeout_s is not None:
            asked.addTimeout(lease.spec.first_token_timeout_s, self._clock)
        lease.cut = lambda _: asked.cancel()
        try:
            return await asked
        except CancelledError:
            if lease.ended is None:
                raise
            return lease.ended.message
        except _UNANSWERED as error:
            return type(error).__name__


def _who(request: GatewayRequest) -> tuple[Any, ...] | None:
    """
    What tells one client from another, where anything does.
    """
    host = getattr(request.getClientAddress(), "host", None)
    return None if host is None else (host, request.getHeader(b"User-Agent"))


def _passed_on(headers: Headers) -> Headers:
    """
    Of a client's headers those that are meant for the daemon.
    """
    named = b",".join(headers.getRawHeaders(b"Connection", ())).lower()
    dropped = _NOT_PASSED_ON.union(token.strip() for token in named.split(b","))
    return Headers(
        {
            name: values
            for name, values in headers.getAllRawHeaders()
            if (lower := name.lower()) not in dropped
            and not lower.startswith((b"sec-", b"access-control-"))
        }
    )
