"""
Gateway resource: answers a request, hands it to the administration, or proxies it.

What the head shows to be wrong is refused before the body is read.
"""

import json
from collections.abc import Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from swapgate.api.admin import Admin
from swapgate.api.ollama_resource import OllamaResource
from swapgate.api.openai import (
    ModelRequest,
    check_content_type,
    model_entry,
    models_listing,
    read_model_request,
    unknown_model,
)
from swapgate.api.pages import page_route
from swapgate.api.proxy import ProxyRequest
from swapgate.api.responses import allow_only, answer, answer_failure
from swapgate.api.routes import is_administration, runs_a_model
from swapgate.api.surfaces import Surface, surface_of
from swapgate.config.loader import Config
from swapgate.continuity.keeper import Keeper
from swapgate.errors import APIError
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.json_grammar import quoted
from swapgate.server.request import GatewayRequest, Route
from swapgate.server.request_parser import RequestHead
from swapgate.server.target import Target, read_model_id, read_target

_ADMIN, _OLLAMA = "/swapgate/", "/api/"


class Gateway(Resource):
    """
    The only resource of the site: dispatches every path itself.
    """

    isLeaf = True

    def __init__(
        self,
        config: Config,
        scheduler: Scheduler,
        clock: IReactorTime,
        started: int,
        keeper: Keeper,
    ) -> None:
        """
        :param started: the gateway's start, in seconds of the epoch.
        """
        super().__init__()
        self._keeper = keeper
        self._scheduler = scheduler
        self._clock = clock
        self._started = started
        self._admin = Admin(scheduler, clock, keeper)
        self._ollama = OllamaResource(scheduler, clock, started, self._relay)
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """
        Use the names and paths of another configuration from now on.
        """
        self._names, self._routing = config.names, config.routing
        self._listed = config.routing.listed(config.names)
        self._extra_paths = {model.name: model.extra_paths for model in config.models}
        listing = json.dumps(models_listing(self._listed, self._started)).encode()
        healthy = b'{"status": "ok"}'
        self._answers = {
            "/health": healthy,
            "/v1/health": healthy,
            "/models": listing,
            "/v1/models": listing,
        }

    def render(self, request: GatewayRequest) -> int:
        serving = Deferred.fromCoroutine(self._serve(request))
        request.serving = serving.addErrback(answer_failure, request)
        return int(NOT_DONE_YET)

    async def _serve(self, request: GatewayRequest) -> None:
        route = request.route or self.route(request.head)
        await route.serve(request)

    def route(self, head: RequestHead) -> Route:
        """
        What answers a request with this head.

        :raises APIError: where it is refused, whatever its body may be.
        """
        if head.method in {b"GET", b"HEAD"}:
            model_id = read_model_id(head.target)
            if model_id is not None:
                return Route(partial(_answer, body=self._entry(model_id)))
        target = read_target(head.target)
        body = self._answers.get(target.path)
        if body is not None:
            allow_only(head, target, b"GET", b"HEAD")
            return Route(partial(_answer, body=body))
        page = page_route(target.path, head)
        if page is not None:
            allow_only(head, target, b"GET", b"HEAD")
            return page
        if target.path.startswith(_OLLAMA) and not self._is_extra(target.path):
            return self._ollama.route(head, target)
        if target.path.startswith(_ADMIN):
            return Route(self._admin.route(head, target))
        if head.method != b"POST":
            raise APIError(
                status=404,
                code="not_found",
                message="there is only GET /v1/models, /health, /swapgate/state and "
                "/swapgate/events, and POST to a path of the engine's API with a model "
                "in its JSON body",
            )
        self._check_head(target.path, head)
        return Route(partial(self._proxy, target=target), keeps_body=True)

    def _entry(self, model_id: str) -> bytes:
        """
        One entry of the list of models.
        """
        if model_id not in self._listed:
            model_id = model_id.removesuffix("/")
        if model_id not in self._listed:
            raise unknown_model(model_id, self._listed)
        return json.dumps(model_entry(model_id, self._started)).encode()

    def _check_head(self, path: str, head: RequestHead) -> None:
        """
        Refuse a POST that runs no model, or is not JSON.
        """
        if not self._may_run(path):
            raise _not_relayed(path)
        check_content_type(head.first(b"content-type"), head.first(b"content-encoding"))

    async def _proxy(self, request: GatewayRequest, target: Target) -> None:
        fields = await request.body.fields(self._clock)
        headers = request.head.fields
        asked = read_model_request(fields, self._names, self._routing, headers)
        extra = self._extra_paths[asked.model]
        if not runs_a_model(target.path) and target.path not in extra:
            # It is an extra path of another model.
            raise _not_relayed(target.path)
        surface = surface_of(target.path)
        await self._relay(request, asked, target, surface)

    def _relay(
        self,
        request: GatewayRequest,
        asked: ModelRequest,
        target: Target,
        surface: Surface,
    ) -> Coroutine[Any, Any, None]:
        return ProxyRequest(
            request, asked, target, surface, self._scheduler, self._keeper, self._clock
        ).run()

    def _may_run(self, path: str) -> bool:
        """
        Whether this path runs any model.
        """
        return runs_a_model(path) or self._is_extra(path)

    def _is_extra(self, path: str) -> bool:
        return any(path in extra for extra in self._extra_paths.values())


async def _answer(request: GatewayRequest, body: bytes) -> None:
    answer(request, 200, body)


def _not_relayed(path: str) -> APIError:
    if is_administration(path):
        return APIError(
            status=403,
            code="not_relayed",
            message=f"{path} administrates a daemon; it is not relayed",
        )
    return APIError(
        status=404,
        code="not_found",
        message=f"{quoted(path)} is no path of an engine's API that is known here; "
        "send another one, such as /v1/chat/completions, or list it under extra_paths",
    )
