"""
Reverse proxy: one request waits for a lease, is sent to the daemon, and is answered.

1. The body passes as the client's own bytes; it is never serialised again.
2. After a failure before the first byte of an answer the request is queued again,
   once; the second failure is 502.
3. The lease is released however it ends; a daemon that failed is released as suspect.
"""

from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
    DNSLookupError,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.client import ResponseNeverReceived

from swapgate.api.headers import headers_to_daemon
from swapgate.api.keepalive import WaitNotifier
from swapgate.api.openai import ModelRequest
from swapgate.api.relay import Outcome, Relay
from swapgate.api.surfaces import Surface
from swapgate.continuity.beginnings import Beginning
from swapgate.continuity.keeper import Keeper
from swapgate.continuity.life import Turn
from swapgate.errors import UPSTREAM_FAILED, upstream_failed
from swapgate.fleet.lease import Lease, QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest
from swapgate.server.target import Target
from swapgate.upstream.response_parser import BadUpstreamResponse

# Page Assist's title has the question in it; a chat that is long is no such request.
_SMALL = 64 * 1024
# The request was sent, or could not be, and no byte of an answer came.
_UNANSWERED = (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
    DNSLookupError,
    ResponseNeverReceived,
    TimeoutError,
)


@frozen
class ProxyRequest:
    """
    One request on its way to a daemon, and its answer on the way back.
    """

    _request: GatewayRequest
    _model_request: ModelRequest
    _target: Target
    _surface: Surface
    _scheduler: Scheduler
    _keeper: Keeper
    _clock: IReactorTime
    _log = Logger()

    async def run(self) -> None:
        """
        Lease, send and relay; once more if the daemon turns out to be dead.
        """
        request, log_entry = self._request, self._request.log_entry
        log_entry.model = self._model_request.model
        why = ""
        beginning = self._keeper.beginning(
            log_entry.model, request.body.pieces(), request.grant.key_name
        )
        for again in (False, True):
            lease = await self._lease(beginning)
            turn = self._keeper.turn(lease.spec, lease.client, beginning)
            if again:
                # A look at the daemon may have left a connection that is closed with
                # this request, too: it would be sent once more.
                lease.client.drop_idle()
            log_entry.leased_s = self._clock.seconds()
            outcome = Outcome.UNANSWERED
            try:
                outcome = await self._try(lease, turn)
            except BadUpstreamResponse as error:
                self._log_unanswered(lease, str(error))
                why = f"\nthe last time {error}"
            finally:
                if turn is not None:
                    turn.ended(b"")
                failed = outcome is not Outcome.WHOLE and not request.disconnected
                lease.release(suspect=failed and lease.ended is None)
            # A client that hangs up cancels the request, which looks like a failure.
            if outcome is not Outcome.UNANSWERED or request.disconnected:
                if failed:
                    ended = lease.ended
                    log_entry.error = ended.code if ended else UPSTREAM_FAILED
                return
            if lease.ended:
                # Another try would load again what was just unloaded.
                raise lease.ended.refusal()
        raise upstream_failed(
            f"the daemon of {log_entry.model} failed twice without an answer; ask "
            f"again, and see its log if that does not help{why}"
        )

    async def _lease(self, beginning: Beginning | None) -> Lease:
        """
        Wait for the model; the client of a stream is told of the wait meanwhile.
        """
        request, name = self._request, self._model_request.model
        streams = self._model_request.stream
        entry = QueuedRequest(
            client=_client_identity(request),
            streams=streams,
            small=not streams and request.received <= _SMALL,
            keep_alive_s=self._model_request.keep_alive_s,
            conversation=beginning,
        )
        leased = self._scheduler.lease(name, entry)
        notifier = None
        if streams and not leased.called:
            spec = self._scheduler.states[name].spec
            notifier = WaitNotifier(
                request,
                spec,
                self._target.path,
                self._surface,
                lambda: self._scheduler.outlook.of(entry),
                self._clock,
            )
            notifier.start()
        try:
            lease = await leased
        finally:
            if notifier is not None:
                notifier.stop()
            log_entry = request.log_entry
            log_entry.waited(queue_s=entry.queue_s, load_s=entry.load_s)
            fields = request.fields
            fields[b"X-Swapgate-Load-Ms"] = b"%d" % (log_entry.load_s * 1e3)
            fields[b"X-Swapgate-Queue-Ms"] = b"%d" % (log_entry.queue_s * 1e3)
        if notifier is not None:
            notifier.served(queue_s=log_entry.queue_s, load_s=log_entry.load_s)
        return lease

    async def _try(self, lease: Lease, turn: Turn | None) -> Outcome:
        """
        Send the request once, and relay the answer.
        """
        request = self._request
        if turn is not None and not await self._prepare(lease, turn):
            return Outcome.UNANSWERED
        asked = lease.client.ask(
            request.method,
            self._target.raw,
            self._surface.headers(headers_to_daemon(request.head)),
            request.body.pieces(),
        )
        if lease.spec.first_token_timeout_s is not None:
            asked.addTimeout(lease.spec.first_token_timeout_s, self._clock)
        lease.cut = lambda _: asked.cancel()
        try:
            response = await asked
        except CancelledError:
            if lease.ended is None:
                raise
            self._log_unanswered(lease, lease.ended.message)
        except _UNANSWERED as error:
            self._log_unanswered(lease, type(error).__name__)
        else:
            self._surface.begin()
            relay = Relay(request, response, self._surface, lease, self._clock)
            lease.cut = relay.cut
            if turn is not None:
                relay.ends = turn.ended
            response.connection.deliver_to(relay)
            return await relay.done
        return Outcome.UNANSWERED

    async def _prepare(self, lease: Lease, turn: Turn) -> bool:
        """
        Let its conversation be restored; whether the request is still to be sent.
        """
        ready = turn.ready()
        if ready is not None:
            lease.cut = lambda _: ready.cancel()
            await ready
            if self._request.disconnected:
                raise CancelledError
        return lease.ended is None

    def _log_unanswered(self, lease: Lease, why: str) -> None:
        self._log.info("{model}: no answer ({why})", model=lease.spec.name, why=why)


def _client_identity(request: GatewayRequest) -> tuple[Any, ...] | None:
    """
    What tells one client from another: address and User-Agent; None on a UNIX socket.
    """
    host = getattr(request.client, "host", None)
    return None if host is None else (host, request.head.first(b"user-agent"))
