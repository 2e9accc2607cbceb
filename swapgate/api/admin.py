"""
Administration: /swapgate/state, /swapgate/events, and loading or unloading a model.
"""

import json
import re
import time
from urllib.parse import parse_qs

from twisted.internet.interfaces import IReactorTime

from swapgate.api.events import StateBroadcast
from swapgate.api.openai import check_content_type
from swapgate.api.responses import allow_only, answer
from swapgate.api.status import VERSION, status
from swapgate.errors import APIError
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest
from swapgate.server.target import Target

_ACTION = re.compile(r"/swapgate/models/(.+)/(load|unload)")


class Admin:
    """
    Answers what is below /swapgate/.
    """

    def __init__(self, scheduler: Scheduler, clock: IReactorTime) -> None:
        self._scheduler = scheduler
        self._events = StateBroadcast(self._state, scheduler, clock)

    async def serve(self, request: GatewayRequest, target: Target) -> None:
        """
        Answer, or raise the `APIError` that refuses.
        """
        if target.path == "/swapgate/state":
            allow_only(request, target, b"GET", b"HEAD")
            answer(request, 200, self._state())
        elif target.path == "/swapgate/events":
            allow_only(request, target, b"GET")
            await self._events.serve(request)
        elif match := _ACTION.fullmatch(target.path):
            allow_only(request, target, b"POST")
            await self._act(request, target, match[1], match[2])
        else:
            raise APIError(
                status=404,
                code="not_found",
                message="below /swapgate/ there are state, events, models/NAME/load "
                "and models/NAME/unload",
            )

    def _state(self) -> bytes:
        return json.dumps(status(self._scheduler, time.time())).encode("ascii")

    async def _act(
        self, request: GatewayRequest, target: Target, name: str, action: str
    ) -> None:
        """
        Load or unload; answered when that is done.
        """
        # A page of another site cannot send this type without a preflight.
        check_content_type(request.head.first(b"content-type"))
        model = self._scheduler.config.names.get(name)
        if model is None:
            raise APIError(
                status=404,
                code="model_not_found",
                message=f"there is no model of that name; "
                f"there are {', '.join(self._scheduler.config.names)}",
            )
        now = _cuts_answers(target.raw)
        if action == "load":
            (await self._scheduler.lease(model, QueuedRequest())).release()
        else:
            await self._scheduler.unload(model, now=now)
        phase = self._scheduler.states[model].life.phase.value
        done = {"version": VERSION, "model": model, "phase": phase}
        answer(request, 200, json.dumps(done).encode("ascii"))


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
