"""
Request bodies: kept in memory, read in turns, and bounded each and all together.

A body counts against `max_bodies` from its first byte until it is dropped.
"""

from collections.abc import Sequence

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from swapgate.config.limits import Limits
from swapgate.errors import APIError, busy
from swapgate.server.json_body import (
    BadJSON,
    BodyFields,
    StrictReader,
    fields_at_once,
)

# A request's head, and the objects that are made of it, take no more.
_HEAD_COST = 16 * 1024
# How long a body is read before others have their turn.
_TURN_S = 0.005


@define(eq=False)
class BodyMemory:
    """
    How many bytes the bodies of all requests take, from reading to the response's end.
    """

    taken: int = 0

    def check_room(self, more: int, limits: Limits) -> None:
        """
        :raises APIError: where so much more would be too much.
        """
        if self.taken + more > limits.max_bodies_bytes:
            most = limits.max_bodies_bytes / 2**20
            raise busy(
                "bodies_full",
                f"the requests that are here take up to {most:.6g} MiB already, as "
                "much as max_bodies allows; try again later",
            )


def check_size(size: int, limits: Limits) -> None:
    """
    :raises APIError: where one body is more than `max_body`.
    """
    if size > limits.max_body_bytes:
        largest = limits.max_body_bytes / 2**20
        raise APIError(
            status=413,
            code="request_too_large",
            message=f"the body is larger than {largest:.6g} MiB; send a smaller one",
        )


class Body:
    """
    A request's body, as it came.

    It counts in `memory` until it is dropped. That is done by hand, at the end of its
    request: a request, its connection, its Deferreds and their failures refer to each
    other, and it would stay until the garbage collector runs.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._taken = memory, 0
        self._data, self._dropped = bytearray(), False

    @property
    def length(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        if not self._dropped:
            self._data += data
            self._take(_HEAD_COST + len(self._data))

    def _take(self, cost: int) -> None:
        self._memory.taken += cost - self._taken
        self._taken = cost

    def drop(self) -> None:
        """
        Free its memory: its request is over.
        """
        self._data, self._dropped = bytearray(), True
        self._take(0)

    async def fields(self, clock: IReactorTime) -> BodyFields:
        """
        The fields of the whole body.

        :raises APIError: for the first fault in it.
        """
        fields = fields_at_once(self._data)
        if fields is not None:
            return fields
        reader, taken = StrictReader(self._data), self._taken
        turns = reader.read()
        try:
            while True:
                ends_s = clock.seconds() + _TURN_S
                while clock.seconds() < ends_s:
                    next(turns)
                self._take(taken + reader.key_memory)
                await deferLater(clock, 0)
        except StopIteration as end:
            self._take(taken)
            found: BodyFields = end.value
            return found
        except BadJSON as error:
            raise APIError(status=400, code="bad_json", message=str(error)) from None

    async def read(self, clock: IReactorTime) -> bytes:
        """
        The whole body, known to be JSON.

        :raises APIError: where it is none.
        """
        await self.fields(clock)
        return bytes(self._data)

    def replace(self, data: bytes, limits: Limits) -> None:
        """
        Send these bytes instead; they count as the body's did.

        :raises APIError: where they are too many.
        """
        check_size(len(data), limits)
        self._memory.check_room(len(data) - len(self._data), limits)
        self._data = bytearray(data)
        self._take(_HEAD_COST + len(data))

    def pieces(self) -> Sequence[bytearray]:
        return (self._data,) if self._data else ()
