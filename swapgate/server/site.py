"""
Whose connections are these? All of a gateway's, its rules for them, and a line on each.
"""

import time
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.http import Request as HTTPRequest
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from twisted.web.server import Site

from swapgate.config.access import Access
from swapgate.config.limits import Limits
from swapgate.net import flush
from swapgate.server.access_log import shown
from swapgate.server.auth_delay import AuthDelay
from swapgate.server.body_memory import BodyMemory
from swapgate.server.channel import LINGER_S, GatewayChannel
from swapgate.server.connection_limit import ConnectionLimit
from swapgate.server.log_limit import LogLimit
from swapgate.server.request import GatewayRequest

# What some web servers log for one who did not wait for the answer.
_CLIENT_GONE = 499


class GatewaySite(Site):
    """
    The factory of channels; logs a line for each answer.
    """

    protocol: Any = GatewayChannel
    noisy = False
    _log = Logger()
    _closed: Deferred[None] | None = None
    _dated_s, _date = 0, b""

    def __init__(
        self, resource: IResource, *, access: Access, limits: Limits, **kwargs: object
    ) -> None:
        """
        Who is let in and how much is borne may be replaced at any time.
        """
        super().__init__(
            resource,
            GatewayRequest,
            parsePOSTFormSubmission=False,
            timeout=None,
            **kwargs,
        )
        self.access = access
        self.limits = limits
        self.channels: set[Any] = set()
        self.connection_limit = ConnectionLimit()
        self.body_memory = BodyMemory()
        self.auth_delay = AuthDelay()
        self._log_limit = LogLimit(self.reactor, self._say)

    def _say(self, line: str) -> None:
        self._log.warn("{log_line}", log_line=line)

    def date(self) -> bytes:
        """
        The time of day as HTTP writes it, made once a second.
        """
        now_s = int(time.time())
        if now_s != self._dated_s:
            self._dated_s, self._date = now_s, datetimeToString(now_s)
        return self._date

    def buildProtocol(self, addr: IAddress | None) -> Any:
        channel = super().buildProtocol(addr)
        self.channels.add(channel)
        return channel

    def close(self, within_s: float = LINGER_S) -> Deferred[None]:
        """
        Close every connection; fires when none is left.
        """
        self._closed = Deferred()
        closed = self._closed
        for channel in list(self.channels):
            channel.hang_up(within_s)
        self.check_closed()
        return closed

    def check_closed(self) -> None:
        if self._closed is not None and not self.channels:
            self._log_limit.sum_up()
            closed, self._closed = self._closed, None
            closed.callback(None)

    def startFactory(self) -> None:
        """
        Twisted would open its own access log and keep a clock for it.
        """

    def log(self, request: HTTPRequest) -> None:
        # All is written: it goes before the line about it is made.
        flush(request.channel.transport)
        self._log_request(request, request.code)

    def log_unfinished(self, request: GatewayRequest) -> None:
        """
        The connection has gone before the end of the answer.
        """
        if request.log_entry.error is None:
            request.log_entry.error = "client_gone"
        status = request.code if request.startedWriting else _CLIENT_GONE
        self._log_request(request, status)

    def _log_request(self, request: Any, status: int) -> None:
        facts = request.log_entry.facts(self.reactor.seconds())
        self.log_request(request.method, request.uri, status, request.sentLength, facts)

    def log_request(
        self,
        method: bytes,
        target: bytes,
        status: int,
        size: int,
        facts: dict[str, Any],
    ) -> None:
        """
        One line for one request, without its query; of refusals only so many.
        """
        refused = status >= HTTPStatus.BAD_REQUEST and "stream_s" not in facts
        if refused and not self._log_limit.admits(status):
            return
        first, path = shown(method), shown(target.partition(b"?")[0])
        also = "".join(f" {name}={value!r}" for name, value in facts.items())
        # Made here: Twisted takes 5 us for each field of a format.
        self._log.info(
            "{log_line}",
            log_line=f"{first} {path} {status} {size}{also}",
            method=first,
            path=path,
            status=status,
            size=size,
            **facts,
        )
