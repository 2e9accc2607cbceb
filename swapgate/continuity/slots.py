"""
Slots: asks a daemon for its slots, and to save and restore one, as llama-server does.
"""

import json
from typing import Any, Final

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from swapgate.continuity.slot_table import SlotView
from swapgate.upstream.client import UpstreamClient

# An answer is read up to a bound: some builds show each slot's prompt.
_MOST_BYTES: Final = 4 * 2**20
_JSON: Final = ((b"Content-Type", b"application/json"),)
_OK: Final = 200


class Refused(Exception):
    """
    The daemon was asked, and does not do it.

    :ivar status: of its answer; 200 for one that makes no sense.
    """

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}, {words}")
        self.status = status


@frozen
class Transferred:
    """
    What was saved or restored.
    """

    tokens: int
    size: int


class _WholeBody(Protocol):
    """
    Collects a body that is not long.
    """

    transport: Any

    def __init__(self) -> None:
        self.read: Deferred[bytes] = Deferred(
            lambda _: self.transport.abortConnection()
        )
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > _MOST_BYTES and not self.read.called:
            self.read.errback(Refused(_OK, "its answer is too long"))
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.read.called:
            whole = reason.check(ResponseDone, PotentialDataLoss)
            self.read.callback(bytes(self._data)) if whole else self.read.errback(
                reason
            )


@define
class Slots:
    """
    The slots of one daemon, during one life of it.
    """

    _client: UpstreamClient

    async def props(self) -> Any:
        """
        What it says of itself.

        :raises Refused: where it does not.
        """
        return await self._ask(b"GET", b"/props")

    async def list(self) -> list[SlotView]:
        """
        All of them.

        :raises Refused: where it shows none.
        """
        found = await self._ask(b"GET", b"/slots")
        if not isinstance(found, list):
            raise Refused(_OK, "no list of slots")
        return [_view(each) for each in found]

    async def save(self, slot: int, name: str) -> Transferred:
        """
        Save one under this name in the daemon's folder.

        :raises Refused: where it does not.
        """
        return await self._transfer(b"save", slot, name, "n_saved", "n_written")

    async def restore(self, slot: int, name: str) -> Transferred:
        """
        Restore what was saved under this name.

        :raises Refused: where it does not.
        """
        return await self._transfer(b"restore", slot, name, "n_restored", "n_read")

    async def _transfer(
        self, action: bytes, slot: int, name: str, tokens: str, size: str
    ) -> Transferred:
        target = b"/slots/%d?action=%b" % (slot, action)
        body = json.dumps({"filename": name}).encode()
        found = await self._ask(b"POST", target, body)
        return Transferred(_count(found, tokens), _count(found, size))

    async def _ask(self, method: bytes, target: bytes, body: bytes = b"") -> Any:
        headers = _JSON if body else ()
        pieces = (body,) if body else ()
        response = await self._client.ask(method, target, headers, pieces)
        collected = _WholeBody()
        response.connection.deliver_to(collected)
        data = await collected.read
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        if response.status != _OK:
            raise Refused(response.status, _words(found))
        return found


def _words(found: Any) -> str:
    """
    What an error says; no more of it than fits a line.
    """
    error = found.get("error") if isinstance(found, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or "no reason given").partition("\n")[0][:200]


def _count(found: Any, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, int):
        raise Refused(_OK, f"no {name} in its answer")
    return value


def _view(found: Any) -> SlotView:
    values = found if isinstance(found, dict) else {}

    def number(name: str) -> int | None:
        value = values.get(name)
        return value if isinstance(value, int) else None

    slot = number("id")
    if slot is None:
        raise Refused(_OK, "a slot without a number")
    busy = values.get("is_processing") is True
    return SlotView(slot, busy, number("id_task"), number("n_prompt_tokens"))
