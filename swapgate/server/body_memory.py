"""
Request bodies: kept in memory, parsed as they arrive, and bounded all together.

1. A body counts against `max_bodies` from its first byte until it is dropped.
2. A body with a fault is counted but not kept: it only gets an error response.
"""

from collections.abc import Sequence

from attrs import define

from swapgate.config.limits import Limits
from swapgate.errors import APIError
from swapgate.server.json_body import BadJSON, BodyFields, BodyParser, fields_at_once

_RETRY_AFTER_S = 5
# Bodies are kept in pieces of about this size, however small they came.
_PIECE = 64 * 1024
# The parser is fed at least so much: chunks may be of one byte each.
_PARSE_AT_LEAST = 4 * 1024
# A request's head, and the objects that are made of it, take no more.
_HEAD_COST = 16 * 1024


@define(eq=False)
class BodyMemory:
    """
    How many bytes the bodies of all requests take, from reading to the response's end.
    """

    taken: int = 0

    def has_room(self, more: int, limits: Limits) -> bool:
        """
        Whether so much more is within `max_bodies`.
        """
        return self.taken + more <= limits.max_bodies_bytes


class Body:
    """
    A request's body: its bytes as they came, and the fields that were parsed of it.

    It counts in `memory` until it is dropped. That is done by hand, at the end of its
    request: a request, its connection, its Deferreds and their failures refer to each
    other, and it would stay until the garbage collector runs.

    :param expected: its length, where that is known.
    """

    def __init__(self, memory: BodyMemory, expected: int | None = None) -> None:
        self.length, self._expected = 0, expected
        self._memory = memory
        self._taken = 0
        # Neither dropped nor at fault.
        self._kept = True
        self._pieces: list[bytearray] = []
        # None while nothing was parsed.
        self._parser: BodyParser | None = None
        self._unparsed = b""

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if not self._kept:
            return
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += data
        else:
            self._pieces.append(bytearray(data))
        self._unparsed += data
        if len(self._unparsed) >= _PARSE_AT_LEAST and self.length != self._expected:
            self._parse()
        self._take()

    @property
    def is_cheap(self) -> bool:
        """
        Whether what comes next is probably the inside of a string.
        """
        return self._parser is not None and self._parser.is_in_string

    def _take(self) -> None:
        kept = self.length if self._kept else 0
        keys = 0 if self._parser is None else self._parser.key_memory
        self._set_taken(_HEAD_COST + kept + keys)

    def _set_taken(self, cost: int) -> None:
        self._memory.taken += cost - self._taken
        self._taken = cost

    def drop(self) -> None:
        """
        Free its memory: its request is over.
        """
        self._kept, self._unparsed = False, b""
        self._pieces.clear()
        self._parser = None
        self._set_taken(0)

    def _parse(self) -> BodyParser:
        parser = self._parser = self._parser or BodyParser()
        unparsed, self._unparsed = self._unparsed, b""
        try:
            parser.feed(unparsed)
        except BadJSON:
            # It will not be sent to a daemon.
            self._kept = False
            self._pieces.clear()
        return parser

    def fields(self) -> BodyFields:
        """
        The fields of the whole body.

        :raises BadJSON: for the first fault in it.
        """
        fields = fields_at_once(self._unparsed) if self._parser is None else None
        if fields is None:
            fields = self._parse().close()
            self._take()
        return fields

    def read(self) -> bytes:
        """
        The whole body, known to be JSON.

        :raises APIError: where it is none.
        """
        self.checked_fields()
        return b"".join(self._pieces)

    def checked_fields(self) -> BodyFields:
        """
        The fields of the whole body.

        :raises APIError: for the first fault in it.
        """
        try:
            return self.fields()
        except BadJSON as error:
            raise APIError(status=400, code="bad_json", message=str(error)) from None

    def replace(self, data: bytes) -> None:
        """
        Send these bytes instead; they count as the body's did.
        """
        self.length, self._pieces = len(data), [bytearray(data)]
        self._parser = None
        self._take()

    def pieces(self) -> Sequence[bytearray]:
        return self._pieces


def too_large(limits: Limits) -> APIError:
    """
    413: one body is more than `max_body`.
    """
    largest = limits.max_body_bytes / 2**20
    return APIError(
        status=413,
        code="request_too_large",
        message=f"the body is larger than {largest:.6g} MiB; send a smaller one",
    )


def bodies_full(limits: Limits) -> APIError:
    """
    503: all bodies together would be more than `max_bodies`.
    """
    most = limits.max_bodies_bytes / 2**20
    return APIError(
        status=503,
        code="bodies_full",
        message=f"the requests that are here take up to {most:.6g} MiB already, as "
        "much as max_bodies allows; try again later",
        retry_after_s=_RETRY_AFTER_S,
    )
