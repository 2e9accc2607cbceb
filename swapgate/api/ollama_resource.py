"""
Ollama resource: what answers each path below /api/, decided by its head.

The lists are the gateway's own; chats, completions and embeddings are translated, and
asked of the model's daemon.
"""

import json
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
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
from swapgate.api.ollama_listings import ListedModel, ps, show, tags, version
from swapgate.api.ollama_requests import OllamaRequest, asked_model, translate
from swapgate.api.ollama_surface import OllamaSurface
from swapgate.api.openai import ModelRequest
from swapgate.api.responses import allow_only, answer
from swapgate.api.surfaces import Surface
from swapgate.config.daemon_kinds import ChildSpec
from swapgate.config.model import ONE_AT_A_TIME, ModelSpec
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
            found = tags(self._listed(spec) for spec in specs)
        else:
            now_s, epoch_s = self._clock.seconds(), time.time()
            found = ps(
                (
                    self._listed(state.spec),
                    None if idle_at is None else epoch_s + idle_at - now_s,
                )
                for state in self._scheduler.states.values()
                if state.life.phase.resident
                for idle_at in (state.idle_at_s,)
            )
        answer(request, 200, json.dumps(found).encode())

    async def _show(self, request: GatewayRequest) -> None:
        asked = asked_model(request.body.read())
        config = self._scheduler.config
        name = find_model(asked, config.names)
        [spec] = [each for each in config.models if each.name == name]
        answer(request, 200, json.dumps(show(self._listed(spec))).encode())

    async def _run(self, request: GatewayRequest, *, path: str) -> None:
        began_s = self._clock.seconds()
        asked = translate(path, request.body.read(), self._scheduler.config.names)
        created_at = rfc3339(time.time())

        def times() -> Times:
            took_s = self._clock.seconds() - began_s
            return Times(request.log_entry.load_s, took_s)

        if asked.daemon_path is None:
            await self._load(request, asked)
            answer(request, 200, loaded(asked, created_at, times()))
            return
        request.body.replace(asked.body)
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
            self._scheduler.states[asked.model].keep_alive(0.0)
            return
        entry = QueuedRequest(keep_alive_s=asked.keep_alive_s)
        (await self._scheduler.lease(asked.model, entry)).release()
        request.log_entry.model = asked.model
        request.log_entry.waited(queue_s=entry.queue_s, load_s=entry.load_s)

    def _listed(self, spec: ModelSpec) -> ListedModel:
        """
        What the configuration, and the model's file, say of it.
        """
        argv = spec.service.command.words if isinstance(spec.service, ChildSpec) else ()
        file = _file(_option(argv, "-m", "--model"), spec)
        context = _option(argv, "-c", "--ctx-size") or ""
        capabilities = ["completion", "tools"]
        if _option(argv, "--mmproj", "-mm") is not None:
            capabilities.append("vision")
        if {"--embedding", "--embeddings"} & set(argv):
            capabilities = ["embedding"]
        sized = spec.memory_bytes != ONE_AT_A_TIME
        return ListedModel(
            name=spec.name,
            aliases=spec.aliases,
            memory_bytes=spec.memory_bytes if sized else 0,
            modified_s=file[1] if file else self._started,
            file_bytes=file[0] if file else None,
            context_length=int(context) if context.isdecimal() else None,
            capabilities=tuple(capabilities),
        )


def _option(argv: tuple[str, ...], *names: str) -> str | None:
    """
    The value of an option of llama-server's command line.
    """
    return next(
        (argv[at + 1] for at, word in enumerate(argv[:-1]) if word in names), None
    )


def _file(path: str | None, spec: ModelSpec) -> tuple[int, float] | None:
    """
    Size and time of a model's file; None where it is unknown.
    """
    if path is None or not isinstance(spec.service, ChildSpec):
        return None
    try:
        found = Path(spec.service.cwd, path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime
