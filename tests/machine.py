"""
Another machine, whose daemon others run.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.ports import free_port


class Machine(Resource):
    """
    Another machine: what it was asked, by whom; it can be turned off.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str | None]] = []
        self.port = free_port()
        self.health = 200
        self.held: list[Request] = []
        self._channels: set[Any] = set()
        self.hold = False
        # It closes the connection instead of an answer.
        self.hangs_up = False
        self._listening: IListeningPort | None = None
        self._site = Site(self)
        self._site.noisy = False

    def render(self, request: Request) -> bytes | int:
        self._channels.add(request.channel)
        self.asked.append((request.path.decode(), request.getHeader("Authorization")))
        if request.method == b"GET":
            request.setResponseCode(self.health)
            return b"{}"
        if self.hangs_up:
            request.channel.loseConnection()
            return int(NOT_DONE_YET)
        if self.hold:
            self.held.append(request)
            return int(NOT_DONE_YET)
        return b'{"machine": "answers"}'

    def turn_on(self, tls: CertificateOptions | None = None) -> None:
        net: Any = reactor
        here = {"interface": "127.0.0.1"}
        if tls is None:
            self._listening = net.listenTCP(self.port, self._site, **here)
        else:
            self._listening = net.listenSSL(self.port, self._site, tls, **here)

    async def turn_off(self) -> None:
        """
        As by the switch: what is connected is cut off.
        """
        listening, self._listening = self._listening, None
        if listening is None:
            return
        await maybeDeferred(listening.stopListening)
        for channel in self._channels:
            transport = channel.transport
            # Beneath TLS, which may have ended already.
            getattr(transport, "transport", transport).abortConnection()
        self._channels.clear()
        # Both sides notice it within some turns of the reactor.
        for _ in range(3):
            await deferLater(reactor, 0)
