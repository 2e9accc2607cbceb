"""
The API: a request is answered here, refused, or held until its daemon can answer.
"""

import json

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from swapgate.body import BadJSON
from swapgate.config import Config
from swapgate.fleet import Fleet
from swapgate.routing import (
    Ask,
    Refusal,
    Target,
    check_content_type,
    is_administration,
    models_listing,
    read_ask,
    read_target,
)
from swapgate.web.admin import Admin
from swapgate.web.answers import allow_only, answer, answer_failure
from swapgate.web.errand import Errand
from swapgate.web.request import GatewayRequest


class Gateway(Resource):
    """
    The one resource: every path is looked at here.
    """

    isLeaf = True

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
        self._admin = Admin(fleet, clock)
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
        serving.addErrback(answer_failure, request)
        return int(NOT_DONE_YET)

    async def _serve(self, request: GatewayRequest) -> None:
        target = read_target(request.uri)
        own = self._own.get(target.path)
        if own is not None:
            allow_only(request, target, b"GET", b"HEAD")
            answer(request, 200, own)
        elif target.path.startswith("/swapgate/"):
            await self._admin.serve(request, target)
        elif request.method == b"POST":
            await self._relay(request, target)
        else:
            raise Refusal(
                status=404,
                code="not_found",
                message="there is only GET /v1/models, /health, /swapgate/state and "
                "/swapgate/events, and POST to a path of the engine's API with a model "
                "in its JSON body",
            )

    async def _relay(self, request: GatewayRequest, target: Target) -> None:
        if is_administration(target.path):
            raise Refusal(
                status=403,
                code="not_relayed",
                message=f"{target.path} administrates a daemon; it is not relayed",
            )
        ask = self._read_ask(request)
        await Errand(request, ask, target, self._fleet, self._clock).run()

    def _read_ask(self, request: GatewayRequest) -> Ask:
        check_content_type(
            request.getHeader(b"Content-Type"), request.getHeader(b"Content-Encoding")
        )
        try:
            wish = request.body.wish()
        except BadJSON as error:
            raise Refusal(status=400, code="bad_json", message=str(error)) from None
        return read_ask(wish, self._names)
