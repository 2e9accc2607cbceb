"""
Where do bytes go, and how do they leave at once?
"""

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import FileDescriptor, isIPAddress, isIPv6Address
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.client import BrowserLikePolicyForHTTPS

from swapgate.config.endpoints import DEFAULT_LISTEN
from swapgate.config.ini import ConfigError
from swapgate.config.loader import Config
from swapgate.config.values import Upstream

# Of what a client has not taken yet, so much is in the system's hands.
_BUFFERED = 128 * 1024


def flush(transport: object) -> None:
    """
    Send what was written now, not a reactor turn later.

    What cannot be sent stays queued, and errors are left for the reactor to meet. Under
    TLS nothing happens: its records are made at the reactor's next turn.
    """
    if (
        isinstance(transport, FileDescriptor)
        and transport.connected
        and not transport.disconnecting
    ):
        transport.doWrite()


def unsent(transport: Any) -> int:
    """
    How many bytes that were written has the other side's system not taken yet?
    """
    if isinstance(transport, FileDescriptor):
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    if isinstance(transport, TLSMemoryBIOProtocol):
        clear = sum(map(len, transport._appSendBuffer))
        return clear + unsent(transport.transport)
    return 0


def bound_send_buffer(transport: Any) -> None:
    """
    Have the system buffer little of what the other side has not taken.

    A large buffer takes bytes in large steps: 3 MB of Linux's own stand still for
    a minute while 20 KB/s of them are taken.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if isinstance(transport, Connection):
        with suppress(OSError):
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFERED)


def send_now(transport: Any, data: bytes) -> None:
    """
    `transport.write(data)` and `flush(transport)`, with less work where nothing waits.
    """
    if isinstance(transport, FileDescriptor) and not (
        transport.dataBuffer or transport._tempDataBuffer or transport.disconnecting
    ):
        sent = transport.writeSomeData(data)
        # An error is met again, and reported, by the reactor.
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
    Where to connect to. An address goes by no resolver, and is refused at once.

    HostnameEndpoint resolves and IDNA-encodes at every connection, and tells of a
    refusal only after its delay between attempts, 0.3 s.

    :param trust_root: who vouches for an https host, an `IOpenSSLTrustRoot`; None:
        whom the system trusts, or the file that SSL_CERT_FILE names.
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
    Let Twisted read the endpoint strings: a mistake in one is a line like any other.
    """
    for endpoint in config.listen:
        try:
            serverFromString(reactor, endpoint)
        # Each kind of endpoint stumbles in its own way: over a number, a file, a name.
        except Exception as error:
            raise ConfigError(
                f"{endpoint!r} is no endpoint ({error}); "
                f"write one like {DEFAULT_LISTEN}",
                path=config.path,
                section="swapgate",
                option="listen",
            ) from None
