"""
Site: the factory of client connections, the limits that they share, the access log.

No log line has a query, a header or a body in it.
"""

import time
from collections.abc import Container
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from twisted.web.server import Site

from swapgate.config.access import Access
from swapgate.config.limits import Limits
from swapgate.server.access_log import shown
from swapgate.server.auth_delay import AuthDelay
from swapgate.server.body_memory import BodyMemory
from swapgate.server.channel import LINGER_S, GatewayChannel
from swapgate.server.connection_limit import ConnectionLimit
from swapgate.server.log_limit import LogLimit
from swapgate.server.request import GatewayRequest

# What nginx logs for a client that closed before its response.
_CLIENT_CLOSED = 499


class GatewaySite(Site):
    """
    The factory of channels; logs a line for each request.
    """

    protocol: Any = GatewayChannel
    noisy = False
    _log = Logger()
    _closed: Deferred[None] | None = None
    _dated_s, _lines = 0, b""

    def __init__(
        self,
        resource: IResource,
        *,
        access: Access,
        limits: Limits,
        pages: Container[str] = (),
        **kwargs: object,
    ) -> None:
        """
        :param access: names, origins and keys; like `limits` replaced at a reload.
        :param pages: the paths of the gateway's own pages and their files.
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
        self.pages = pages
        self.channels: set[Any] = set()
        self.connection_limit = ConnectionLimit()
        self.body_memory = BodyMemory()
        self.auth_delay = AuthDelay()
        # Twisted makes a Logger each time that one is taken from an object.
        self._info = self._log.info
        self._log_limit = LogLimit(
            self.reactor, lambda line: self._log.warn("{log_line}", log_line=line)
        )

    def lines(self) -> bytes:
        """
        The headers of every response, made once a second.
        """
        now_s = int(time.time())
        if now_s != self._dated_s:
            self._dated_s = now_s
            self._lines = b"Server: swapgate\r\nDate: " + datetimeToString(now_s)
        return self._lines

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
            channel.close_within(within_s)
        self.check_closed()
        return closed

    def check_closed(self) -> None:
        """
        A connection has closed: if it was the last one, `close` is done.
        """
        if self._closed is not None and not self.channels:
            self._log_limit.sum_up()
            closed, self._closed = self._closed, None
            closed.callback(None)

    def startFactory(self) -> None:
        """
        Twisted would open its own access log, and a LoopingCall for its dates.
        """

    def log(self, request: Any) -> None:
        self.log_line(request, request.code, request.sentLength)

    def log_unfinished(self, request: GatewayRequest) -> None:
        """
        Log a request whose connection was lost before the end of its response.
        """
        if request.log_entry.error is None:
            request.log_entry.error = "client_gone"
        status = request.code if request.startedWriting else _CLIENT_CLOSED
        self.log_line(request, status, request.sentLength)

    def log_line(self, request: GatewayRequest, status: int, size: int) -> None:
        """
        Write one line for a request; `LogLimit` bounds those of refused ones.
        """
        facts = request.log_entry.facts(self.reactor.seconds())
        refused = status >= HTTPStatus.BAD_REQUEST and "stream_s" not in facts
        if refused and not self._log_limit.admits(status):
            return
        verb, path = shown(request.method), shown(request.uri.partition(b"?")[0])
        fields = "".join([f" {name}={value!r}" for name, value in facts.items()])
        # Formatted here: Twisted takes 5 us for each field.
        self._info(
            "{log_line}",
            log_line=f"{verb} {path} {status} {size}{fields}",
            method=verb,
            path=path,
            status=status,
            size=size,
            **facts,
        )
