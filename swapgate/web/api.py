"""
The API: a request is answered here, refused, or held until its daemon can answer.
"""

import json

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionLost,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from swapgate.body import BadJSON
from swapgate.config import Config
from swapgate.fleet import Fleet
from swapgate.heads import Nonsense
from swapgate.relay import Ending, Relay
from swapgate.routing import (
    Ask,
    Refusal,
    check_content_type,
    error_body,
    is_administration,
    models_listing,
    read_ask,
    read_target,
)
from swapgate.tickets import (
    FleetStopping,
    Lease,
    LoadFailed,
    Ticket,
    TooLarge,
    UnknownModel,
)
from swapgate.upstream import BodyProducer
from swapgate.web.request import GatewayRequest

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
_STOPPING_RETRY_AFTER_S = 5


class Gateway(Resource):
    """
    The one resource: every path is looked at here.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self, config: Config, fleet: Fleet, clock: IReactorTime, started: int
    ) -> None:
        """
        :param started: when the gateway did, in seconds of the epoch.
        """
        super().__init__()
        self._fleet = fleet
        self._clock = clock
        self._started = started
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """
        Know the names of another configuration from now on.
        """
        self._names = config.names
        listing = json.dumps(models_listing(config.names, self._started)).encode()
        self._own = {
            "/health": b'{"status": "ok"}',
            "/models": listing,
            "/v1/models": listing,
        }

    def render(self, request: GatewayRequest) -> int:
        serving = Deferred.fromCoroutine(self._serve(request))
        request.notifyFinish().addErrback(lambda _: serving.cancel())
        serving.addErrback(self._answer_failure, request)
        return int(NOT_DONE_YET)

    async def _serve(self, request: GatewayRequest) -> None:
        target = read_target(request.uri)
        own = self._own.get(target.path)
        if request.method == b"POST" and own is None:
            if is_administration(target.path):
                raise Refusal(
                    status=403,
                    code="not_relayed",
                    message=f"{target.path} administrates a daemon; it is not relayed",
                )
            await self._relay(request, self._read_ask(request), target.raw)
        elif own is None:
            raise Refusal(
                status=404,
                code="not_found",
                message="there is only GET /v1/models, GET /health, and POST to a "
                "path of the engine's API with a model in its JSON body",
            )
        elif request.method in {b"GET", b"HEAD"}:
            _answer(request, 200, own)
        else:
            request.setHeader(b"Allow", b"GET, HEAD")
            raise Refusal(
                status=405,
                code="method_not_allowed",
                message=f"{target.path} takes GET and HEAD",
            )

    def _read_ask(self, request: GatewayRequest) -> Ask:
        check_content_type(
            request.getHeader(b"Content-Type"), request.getHeader(b"Content-Encoding")
        )
        try:
            wish = request.body.wish()
        except BadJSON as error:
            raise Refusal(status=400, code="bad_json", message=str(error)) from None
        return read_ask(wish, self._names)

    async def _relay(self, request: GatewayRequest, ask: Ask, target: bytes) -> None:
        """
        Hold, ask and pass on; once more if the daemon turns out to be dead.
        """
        account = request.account
        account.model = ask.model
        why = ""
        for _ in range(2):
            ticket = Ticket()
            lease = await self._fleet.lease(ask.model, ticket)
            account.leased(ticket, self._clock.seconds())
            ending = Ending.UNANSWERED
            try:
                ending = await self._try(request, lease, target)
            except Nonsense as nonsense:
                self._log.info(
                    "{model}: no answer ({error})", model=ask.model, error=str(nonsense)
                )
                why = f"; the last time {nonsense}"
            finally:
                failed = ending is not Ending.WHOLE and not request._disconnected
                lease.release(doubt=failed)
            account.error = "upstream_failed" if failed else None
            # Cancelling a request may look like a failure of the daemon.
            if ending is not Ending.UNANSWERED or request._disconnected:
                return
        raise Refusal(
            status=502,
            code="upstream_failed",
            message=f"the daemon of {ask.model} failed twice without an answer{why}",
        )

    async def _try(
        self, request: GatewayRequest, lease: Lease, target: bytes
    ) -> Ending:
        """
        Ask once, and pass the answer on.
        """
        first_timeout_s = lease.spec.first_token_timeout_s
        asked = Deferred.fromCoroutine(
            lease.client.ask(
                request.method,
                target,
                _passed_on(request.requestHeaders),
                BodyProducer(request.body.pieces()),
            )
        )
        if first_timeout_s is not None:
            asked.addTimeout(first_timeout_s, self._clock)
        try:
            exchange = await asked
        except _UNANSWERED as error:
            self._log.info(
                "{model}: no answer ({error})",
                model=lease.spec.name,
                error=type(error).__name__,
            )
            return Ending.UNANSWERED
        relay = Relay(
            request,
            exchange.response,
            exchange.connection,
            self._clock,
            first_timeout_s=first_timeout_s,
            stall_timeout_s=lease.spec.stall_timeout_s,
        )
        exchange.response.deliverBody(relay)
        return await relay.done

    def _answer_failure(self, failure: Failure, request: GatewayRequest) -> None:
        if failure.check(CancelledError):
            return
        error = _refusal(failure.value)
        if error is None:
            self._log.failure("a bug in swapgate", failure)
            error = Refusal(
                status=500,
                code="internal_error",
                message="a bug in swapgate; see its log",
            )
        request.account.error = error.code
        if request._disconnected or request.finished:
            return
        if request.startedWriting:
            # Too late for a status: only an end without an end can tell.
            request.channel.transport.loseConnection()
            return
        if error.retry_after_s is not None:
            request.setHeader(b"Retry-After", b"%d" % error.retry_after_s)
        if error.should_retry is False:
            request.setHeader(b"x-should-retry", b"false")
        _answer(request, error.status, error_body(error))


def _refusal(error: BaseException | None) -> Refusal | None:
    """
    What an error is called to the client; None for what should not have happened.
    """
    match error:
        case Refusal():
            return error
        case LoadFailed(retry_in_s=wait_s):
            return Refusal(
                status=409,
                code="model_load_failed",
                message=f"{error}; it can be tried again in {max(wait_s, 0):.0f} s",
                param="model",
                should_retry=False,
            )
        case TooLarge():
            return Refusal(
                status=409,
                code="model_too_large",
                message=f"this model can never be up: {error}",
                param="model",
                should_retry=False,
            )
        case UnknownModel():
            return Refusal(
                status=404,
                code="model_not_found",
                message=f"the model {error} is not in the configuration any more",
                param="model",
            )
        case FleetStopping():
            return Refusal(
                status=503,
                code="stopping",
                message="the gateway is stopping; try again when it is back",
                retry_after_s=_STOPPING_RETRY_AFTER_S,
            )
    return None


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


def _answer(request: GatewayRequest, status: int, body: bytes) -> None:
    """
    Give an answer of our own, whole.
    """
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()
