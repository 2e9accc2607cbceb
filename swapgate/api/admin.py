"""
The administration: what goes on, and a hand on it.
"""

import json
import re
import time
from urllib.parse import parse_qs

from twisted.internet.interfaces import IReactorTime

from swapgate.api.events import Events
from swapgate.api.openai import check_content_type
from swapgate.api.responses import allow_only, answer
from swapgate.api.status import status
from swapgate.errors import APIError
from swapgate.fleet.lease import QueuedRequest
from swapgate.fleet.scheduler import Scheduler
from swapgate.server.request import GatewayRequest
from swapgate.server.target import Target

_ACTION = re.compile(r"/swapgate/models/(.+)/(load|unload)")


class Admin:
    """
    Everything below /swapgate/.
    """

    def __init__(self, scheduler: Scheduler, clock: IReactorTime) -> None:
        self._scheduler = scheduler
        self._events = Events(self._state, scheduler, clock)

    async def serve(self, request: GatewayRequest, target: Target) -> None:
        """
        Answer, or refuse.
        """
        if target.path == "/swapgate/state":
            allow_only(request, target, b"GET", b"HEAD")
            answer(request, 200, self._state())
        elif target.path == "/swapgate/events":
            allow_only(request, target, b"GET")
            await self._events.serve(request)
        elif action := _ACTION.fullmatch(target.path):
            allow_only(request, target, b"POST")
            await self._act(request, target, action[1], action[2])
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
        self, request: GatewayRequest, target: Target, name: str, what: str
    ) -> None:
        """
        Load or unload; answered when that is done.
        """
        # No page of a foreign site can send this unasked.
        check_content_type(request.getHeader(b"Content-Type"))
        model = self._scheduler.config.names.get(name)
        if model is None:
            raise APIError(
                status=404,
                code="model_not_found",
                message=f"there is no model of that name; "
                f"there are {', '.join(self._scheduler.config.names)}",
            )
        now = _read_now(target.raw)
        if what == "load":
            (await self._scheduler.lease(model, QueuedRequest())).release()
        else:
            await self._scheduler.unload(model, now=now)
        phase = self._scheduler.states[model].life.phase.value
        done = {"version": 1, "model": model, "phase": phase}
        answer(request, 200, json.dumps(done).encode("ascii"))


def _read_now(target: bytes) -> bool:
    """
    Whether answers are to be cut: ?now=1.
    """
    query = parse_qs(target.partition(b"?")[2], keep_blank_values=True)
    match query.pop(b"now", [b"0"]):
        case [b"0" | b"1" as value] if not query:
            return bool(value == b"1")
    raise APIError(
        status=400, code="bad_query", message="the query may be now=1, and nothing else"
    )
