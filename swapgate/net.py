"""
Network: endpoints to listen on and to connect to, and writes that leave at once.
"""

import socket
from contextlib import suppress
from typing import Any

from twisted.application.service import Service
from twisted.internet.abstract import FileDescriptor, isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS

from swapgate.config.endpoints import DEFAULT_LISTEN
from swapgate.config.loader import Config
from swapgate.config.values import Upstream

# How much of what the other side has not taken the system may buffer.
_BUFFERED = 128 * 1024


def flush(transport: object) -> None:
    """
    Send what was written now, not at the reactor's next turn.

    What cannot be sent stays queued, and the reactor meets and reports the errors. Does
    nothing under TLS, whose records are made at the reactor's next turn.
    """
    if (
        isinstance(transport, FileDescriptor)
        and transport.connected
        and not transport.disconnecting
        and (transport.dataBuffer or transport._tempDataBuffer)
    ):
        transport.doWrite()


def unsent(transport: Any) -> int:
    """
    How many of the written bytes the system has not taken yet.
    """
    if isinstance(transport, FileDescriptor):
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    if isinstance(transport, ProtocolWrapper):
        tls = isinstance(transport, TLSMemoryBIOProtocol)
        clear = sum(map(len, transport._appSendBuffer)) if tls else 0
        return clear + unsent(transport.transport)
    return 0


def bound_send_buffer(transport: Any) -> None:
    """
    Bound the system's send buffer, so that `unsent` follows what the client takes.

    A large one takes bytes in large steps: 3 MB, Linux's own, stand still for a minute
    while a client takes 20 KB/s of them.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if isinstance(transport, Connection):
        with suppress(OSError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFERED)


def send_now(transport: Any, data: bytes) -> None:
    """
    `transport.write(data)` and `flush(transport)`, faster where nothing is queued.
    """
    if isinstance(transport, FileDescriptor) and not (
        transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting
    ):
        sent = transport.writeSomeData(data)
        # The reactor meets an error again, and reports it.
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)
        flush(transport)


def endpoint_of(
    upstream: Upstream,
    reactor: Any,
    timeout_s: float,
    trust_root: object = None,
) -> IStreamClientEndpoint:
    """
    The endpoint to connect to; an address needs no resolver, and fails at once.

    HostnameEndpoint resolves and IDNA-encodes at every connection, and tells of a
    refusal only after its delay between attempts, 0.3 s.

    :param trust_root: an `IOpenSSLTrustRoot` for https; None: the system's, or the file
        that SSL_CERT_FILE names.
    """
    where = (reactor, upstream.host, upstream.port, timeout_s)
    endpoint: IStreamClientEndpoint
    if isIPAddress(upstream.host):
        endpoint = TCP4ClientEndpoint(*where)
    elif isIPv6Address(upstream.host):
        endpoint = TCP6ClientEndpoint(*where)
    else:
        endpoint = HostnameEndpoint(*where)
    if upstream.scheme == "https":
        policy = BrowserLikePolicyForHTTPS(trust_root)
        creator = policy.creatorForNetloc(upstream.host.encode("ascii"), upstream.port)
        endpoint = wrapClientTLS(creator, endpoint)
    return endpoint


def check_endpoints(config: Config, reactor: Any) -> None:
    """
    Let Twisted parse the endpoint strings: a mistake becomes a ConfigError.
    """
    for endpoint in config.listen:
        try:
            serverFromString(reactor, endpoint)
        # Each kind of endpoint raises its own errors: for a number, a file, a name.
        except Exception as error:
            problem = f"is no endpoint ({error}); write one like {DEFAULT_LISTEN}"
            raise config.error(f"{endpoint!r} {problem}", "listen") from None


class PortService(Service):
    """
    Listens on one endpoint, from its privileged start until it is stopped.

    Twisted's StreamServerEndpointService hides its port, and where an endpoint says
    port 0, only the port knows the number.
    """

    def __init__(
        self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory
    ) -> None:
        self.endpoint, self._factory = endpoint, factory
        #: Fires when the port is open.
        self.opened: Deferred[IListeningPort] = Deferred()

    def privilegedStartService(self) -> None:
        """
        Listen; raise what Twisted's own endpoints fail with, all of them at once.
        """
        super().privilegedStartService()
        opened = self.endpoint.listen(self._factory)
        if opened.called:
            failures: list[Failure] = []
            opened.addErrback(failures.append)
            if failures:
                failures[0].raiseException()
        self.opened = opened

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        self.opened.cancel()
        return self.opened.addCallbacks(
            lambda port: port and port.stopListening(), lambda _: None
        )
