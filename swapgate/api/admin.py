"""
Administration below /swapgate/: state, events and history; a model's load, pin and log.
"""

import json
import re
import time
from functools import partial
from math import isfinite
from urllib.parse import parse_qs

import msgspec
from twisted.internet.interfaces import IReactorTime

from swapgate.api.events import StateBroadcast
from swapgate.api.log_stream import LogStreams
from swapgate.api.openai import check_content_type
from swapgate.api.responses import allow_only, answer
from swapgate.api.status import VERSION, history, status, token_rates
from swapgate.continuity.keeper import Keeper
from swapgate.errors import APIError
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest, Serve
from swapgate.server.request_parser import RequestHead
from swapgate.server.target import Target

_ACTION = re.compile(r"/swapgate/models/(.+)/(load|unload|pin|unpin)")
_LOG = re.compile(r"/swapgate/models/(.+)/log")


class Admin:
    """
    Answers what is below /swapgate/.
    """

    def __init__(
        self, scheduler: Scheduler, clock: IReactorTime, keeper: Keeper
    ) -> None:
        self._scheduler, self._keeper = scheduler, keeper
        self._events = StateBroadcast(self._state, self._rates, scheduler, clock)
        self._logs = LogStreams(scheduler, clock)

    def route(self, head: RequestHead, target: Target) -> Serve:
        """
        What answers this request.

        :raises APIError: where nothing does.
        """
        if target.path == "/swapgate/state":
            allow_only(head, target, b"GET", b"HEAD")
            return self._show_state
        if target.path == "/swapgate/events":
            allow_only(head, target, b"GET")
            return self._events.serve
        if target.path == "/swapgate/history":
            allow_only(head, target, b"GET", b"HEAD")
            return partial(self._show_history, since=_since(target.raw))
        if match := _LOG.fullmatch(target.path):
            allow_only(head, target, b"GET")
            self._model(match[1])
            return partial(self._stream_log, name=match[1])
        if match := _ACTION.fullmatch(target.path):
            allow_only(head, target, b"POST")
            # A page of another site cannot send this type without a preflight.
            check_content_type(head.first(b"content-type"))
            self._model(match[1])
            now = _cuts_answers(target.raw)
            return partial(self._act, name=match[1], verb=match[2], now=now)
        if target.path == "/swapgate/snapshots/purge":
            allow_only(head, target, b"POST")
            check_content_type(head.first(b"content-type"))
            return self._purge
        raise APIError(
            status=404,
            code="not_found",
            message="below /swapgate/ there are state, events, history, "
            "models/NAME/load, unload, pin and unpin, models/NAME/log, and "
            "snapshots/purge",
        )

    async def _show_state(self, request: GatewayRequest) -> None:
        answer(request, 200, self._state())

    def _state(self) -> bytes:
        shown = status(self._scheduler, self._keeper, time.time())
        return json.dumps(shown).encode("ascii")

    async def _purge(self, request: GatewayRequest) -> None:
        """
        Delete all kept conversations; answered when that is done.
        """
        count, size = await self._keeper.purge()
        done = {"version": VERSION, "deleted": count, "bytes": size}
        answer(request, 200, json.dumps(done).encode("ascii"))

    def _rates(self) -> bytes:
        return json.dumps(token_rates(self._scheduler, time.time())).encode("ascii")

    async def _show_history(
        self, request: GatewayRequest, *, since: float | None
    ) -> None:
        shown = history(self._scheduler, time.time(), since)
        answer(request, 200, msgspec.json.encode(shown))

    async def _stream_log(self, request: GatewayRequest, *, name: str) -> None:
        await self._logs.serve(request, self._model(name))

    def _model(self, name: str) -> str:
        model = self._scheduler.config.names.get(name)
        if model is None:
            raise APIError(
                status=404,
                code="model_not_found",
                message=f"there is no model of that name; "
                f"there are {', '.join(self._scheduler.config.names)}",
            )
        return model

    async def _act(
        self, request: GatewayRequest, *, name: str, verb: str, now: bool
    ) -> None:
        """
        Load, unload, pin or unpin; answered when that is done.
        """
        # The configuration may be another one since the request's head was here.
        model = self._model(name)
        match verb:
            case "load":
                (await self._scheduler.lease(model, QueuedRequest())).release()
            case "unload":
                await self._scheduler.unload(model, now=now)
            case _:
                self._scheduler.pin(model, pinned=verb == "pin")
        state = self._scheduler.states[model]
        done = {
            "version": VERSION,
            "model": model,
            "phase": state.life.phase.value,
            "pin": state.pinned,
        }
        answer(request, 200, json.dumps(done).encode("ascii"))


def _since(target: bytes) -> float | None:
    """
    From when on history is wanted, in seconds of the epoch: ?since=T.
    """
    query = parse_qs(target.partition(b"?")[2], keep_blank_values=True)
    try:
        match query.pop(b"since", []):
            case [] if not query:
                return None
            case [value] if not query and isfinite(since := float(value)):
                return since
    except ValueError:
        pass
    raise APIError(
        status=400,
        code="bad_query",
        message="the query may be since=T, in seconds of the epoch, and nothing else",
    )


def _cuts_answers(target: bytes) -> bool:
    """
    Whether an unload cuts the answers in flight: ?now=1.
    """
    query = parse_qs(target.partition(b"?")[2], keep_blank_values=True)
    match query.pop(b"now", [b"0"]):
        case [b"0" | b"1" as value] if not query:
            return bool(value == b"1")
    raise APIError(
        status=400, code="bad_query", message="the query may be now=1, and nothing else"
    )
