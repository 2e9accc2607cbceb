"""
The bodies of requests: kept in memory, read on the way, and bounded all together.
"""

from collections.abc import Sequence

from attrs import define

from swapgate.config.limits import Limits
from swapgate.errors import APIError
from swapgate.server.json_body import BadJSON, BodyFields, BodyParser

_RETRY_AFTER_S = 5
# Bodies are kept in pieces of about this size, however small they came.
_PIECE = 64 * 1024
# Chunks of one byte each are no reason to begin reading so often.
_READ_AT_LEAST = 4 * 1024
# A request's head, and the objects that are made of it, take no more.
_HEAD_COST = 16 * 1024


@define(eq=False)
class BodyMemory:
    """
    What all requests take that are being read or waited for, in bytes.
    """

    taken: int = 0

    def has_room(self, more: int, limits: Limits) -> bool:
        """
        Whether so much more is within `max_bodies`.
        """
        return self.taken + more <= limits.max_bodies_bytes


class Body:
    """
    A request's body: its bytes as they came, read for its wish on the way.

    It counts in `memory` until it is dropped. That is done by hand, at the end of its
    request: in the many references between a request, its connection, its Deferreds and
    their failures it would stay until the garbage collector comes by.
    """

    def __init__(self, memory: BodyMemory) -> None:
        self.length = 0
        self._memory = memory
        self._taken = 0
        self._dropped = False
        self._pieces: list[bytearray] = []
        self._reader = BodyParser()
        self._unread = bytearray()
        self._fault: BadJSON | None = None

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if self._dropped or self._fault is not None:
            return
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))
        self._unread += data
        if len(self._unread) >= _READ_AT_LEAST:
            self._read()
        self._take(self._cost)

    @property
    def _cost(self) -> int:
        kept = self.length if self._fault is None else 0
        return _HEAD_COST + kept + self._reader.key_memory

    def _take(self, cost: int) -> None:
        self._memory.taken += cost - self._taken
        self._taken = cost

    def drop(self) -> None:
        """
        Forget all of it: nobody will ask for it any more.
        """
        self._dropped = True
        self._pieces.clear()
        self._unread.clear()
        self._reader = BodyParser()
        self._take(0)

    def _read(self) -> None:
        unread, self._unread = self._unread, bytearray()
        try:
            self._reader.feed(bytes(unread))
        except BadJSON as fault:
            # Nobody will want these bytes.
            self._fault = fault
            self._pieces.clear()

    def fields(self) -> BodyFields:
        """
        What the whole body asks for.

        :raises BadJSON: for the first fault in it.
        """
        self._read()
        if self._fault is not None:
            raise self._fault
        fields = self._reader.close()
        self._take(self._cost)
        return fields

    def pieces(self) -> Sequence[bytearray]:
        return self._pieces


def too_large(limits: Limits) -> APIError:
    """
    For one body that is more than `max_body`.
    """
    largest = limits.max_body_bytes / 2**20
    return APIError(
        status=413,
        code="request_too_large",
        message=f"the body is larger than {largest:.6g} MiB; send a smaller one",
    )


def bodies_full(limits: Limits) -> APIError:
    """
    For a body that would make all of them more than `max_bodies`.
    """
    most = limits.max_bodies_bytes / 2**20
    return APIError(
        status=503,
        code="bodies_full",
        message=f"the requests that are here take up to {most:.6g} MiB already, as "
        "much as max_bodies allows; try again later",
        retry_after_s=_RETRY_AFTER_S,
    )
