"""
Ollama resource: what answers each path below /api/, decided by its head.

The lists are the gateway's own; chats, completions and embeddings are translated, and
asked of the model's daemon.
"""

import json
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from swapgate.api.ollama import (
    Answerer,
    answerer_of,
    check_type,
    find_model,
    rfc3339,
)
from swapgate.api.ollama_answers import loaded
from swapgate.api.ollama_chunks import Times
from swapgate.api.ollama_listings import ps, show, tags, version
from swapgate.api.ollama_models import listed
from swapgate.api.ollama_requests import OllamaRequest, asked_model, translate
from swapgate.api.ollama_surface import OllamaSurface
from swapgate.api.openai import ModelRequest
from swapgate.api.responses import allow_only, answer
from swapgate.api.surfaces import Surface
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest, Route
from swapgate.server.request_parser import RequestHead
from swapgate.server.target import Target

Relay = Callable[
    [GatewayRequest, ModelRequest, Target, Surface], Coroutine[Any, Any, None]
]


class OllamaResource:
    """
    :param started: the gateway's start, in seconds of the epoch.
    :param relay: has a model's daemon answer a request.
    """

    def __init__(
        self, scheduler: Scheduler, clock: IReactorTime, started: int, relay: Relay
    ) -> None:
        self._scheduler, self._clock = scheduler, clock
        self._started, self._relay = started, relay

    def route(self, head: RequestHead, target: Target) -> Route:
        """
        What answers a request with this head.

        :raises APIError: where nothing does.
        """
        path = target.path
        if answerer_of(path) is Answerer.GATEWAY and path != "/api/show":
            allow_only(head, target, b"GET", b"HEAD")
            return Route(partial(self._list, path=path))
        allow_only(head, target, b"POST")
        check_type(
            head.first(b"content-type"),
            head.first(b"content-encoding"),
            site=head.first(b"sec-fetch-site"),
            origin=head.first(b"origin"),
        )
        if path == "/api/show":
            return Route(self._show, keeps_body=True)
        return Route(partial(self._run, path=path), keeps_body=True)

    async def _list(self, request: GatewayRequest, *, path: str) -> None:
        if path == "/api/version":
            found = version()
        elif path == "/api/tags":
            specs = self._scheduler.config.models
            found = tags(listed(spec, self._started) for spec in specs)
        else:
            now_s, epoch_s = self._clock.seconds(), time.time()
            found = ps(
                (
                    listed(state.spec, self._started),
                    None if idle_at is None else epoch_s + idle_at - now_s,
                )
                for state in self._scheduler.states.values()
                if state.life.phase.resident
                for idle_at in (state.idle_at_s,)
            )
        answer(request, 200, json.dumps(found).encode())

    async def _show(self, request: GatewayRequest) -> None:
        asked = asked_model(await request.body.read(self._clock))
        config = self._scheduler.config
        name = find_model(asked, config.names)
        [spec] = [each for each in config.models if each.name == name]
        answer(request, 200, json.dumps(show(listed(spec, self._started))).encode())

    async def _run(self, request: GatewayRequest, *, path: str) -> None:
        began_s = self._clock.seconds()
        body = await request.body.read(self._clock)
        asked = translate(path, body, self._scheduler.config.names)
        created_at = rfc3339(time.time())

        def times() -> Times:
            took_s = self._clock.seconds() - began_s
            return Times(request.log_entry.load_s, took_s)

        if asked.daemon_path is None:
            await self._load(request, asked)
            answer(request, 200, loaded(asked, created_at, times()))
            return
        # What is sent in place of the body may be larger.
        request.body.replace(asked.body, request.channel.site.limits)
        await self._relay(
            request,
            ModelRequest(asked.model, asked.stream, asked.keep_alive_s),
            Target(asked.daemon_path, asked.daemon_path.encode()),
            OllamaSurface(asked, created_at, times),
        )

    async def _load(self, request: GatewayRequest, asked: OllamaRequest) -> None:
        """
        Load a model, or let it be unloaded when it is idle.
        """
        if asked.unloads:
            state = self._scheduler.states[asked.model]
            if state.life.phase.resident:
                state.keep_alive(0.0)
            return
        entry = QueuedRequest(keep_alive_s=asked.keep_alive_s)
        (await self._scheduler.lease(asked.model, entry)).release()
        request.log_entry.model = asked.model
        request.log_entry.waited(queue_s=entry.queue_s, load_s=entry.load_s)
