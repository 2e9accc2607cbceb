"""
Network: ports, endpoints, and writes that leave at once.
"""

from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.error import CannotListenError, ConnectionLost
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from swapgate.config.values import Upstream
from swapgate.net import PortService, endpoint_of, flush, send_now, unsent


class Socket(FileDescriptor):
    """
    A transport whose system takes as many bytes as the test says.
    """

    connected = 1

    def __init__(self, *takes: int | Exception) -> None:
        super().__init__(MemoryReactorClock())
        self.takes = list(takes)
        self.sent = b""

    def writeSomeData(self, data: bytes) -> int | Exception:  # noqa: N802
        takes = self.takes.pop(0) if self.takes else 0
        if isinstance(takes, int):
            self.sent += data[:takes]
            return min(takes, len(data))
        return takes


class SendTests(SynchronousTestCase):
    """
    Bytes that leave at once.
    """

    def test_all_of_it(self) -> None:
        """
        Nothing stays behind.
        """
        socket = Socket(99)
        send_now(socket, b"hello")
        self.assertEqual((socket.sent, socket.dataBuffer), (b"hello", b""))
        self.assertEqual(socket._tempDataBuffer, [])

    def test_a_part_of_it(self) -> None:
        """
        The rest waits for the reactor, in its order before what comes later.
        """
        socket = Socket(2, 0)
        send_now(socket, b"hello")
        self.assertEqual(socket.sent, b"he")
        send_now(socket, b" world")
        self.assertEqual(socket.sent, b"he")
        socket.takes = [99]
        socket.doWrite()
        self.assertEqual(socket.sent, b"hello world")

    def test_an_error(self) -> None:
        """
        Is left for the reactor to meet: nothing is lost and nothing is raised.
        """
        socket = Socket(ConnectionLost(), ConnectionLost())
        send_now(socket, b"hello")
        self.assertEqual(socket.sent, b"")
        self.assertEqual(socket.reactor.getWriters(), [socket])
        socket.takes = [99]
        socket.doWrite()
        self.assertEqual(socket.sent, b"hello")

    def test_unsent(self) -> None:
        """
        What waits here, and nothing that the system has taken.
        """
        socket = Socket(3)
        socket.write(b"abcdefgh")
        self.assertEqual(unsent(socket), 8)
        socket.doWrite()
        self.assertEqual(unsent(socket), 5)
        socket.write(b"ij")
        self.assertEqual(unsent(socket), 7)
        self.assertEqual(unsent(StringTransport()), 0)
        wrapper = ProtocolWrapper(cast(Any, None), cast(Any, None))
        wrapper.transport = cast(Any, socket)
        self.assertEqual(unsent(wrapper), 7)

    def test_flush(self) -> None:
        """
        What was written is sent, unless the transport is closing or closed.
        """
        for state, sent in (
            ({}, b"hello"),
            ({"disconnecting": True}, b""),
            ({"connected": 0}, b""),
        ):
            socket = Socket(99)
            socket.write(b"hello")
            vars(socket).update(state)
            flush(socket)
            self.assertEqual(socket.sent, sent)

    def test_other_transports(self) -> None:
        """
        What is no socket, TLS for one, is only written to.
        """
        transport = StringTransport()
        send_now(transport, b"hello")
        flush(transport)
        self.assertEqual(transport.value(), b"hello")


class EndpointTests(SynchronousTestCase):
    """
    Where to connect to.
    """

    def test_kinds(self) -> None:
        """
        Only a name goes by a resolver.
        """
        for host, kind in (
            ("127.0.0.1", TCP4ClientEndpoint),
            ("::1", TCP6ClientEndpoint),
            ("localhost", HostnameEndpoint),
        ):
            upstream = Upstream(scheme="http", host=host, port=1)
            endpoint = endpoint_of(upstream, MemoryReactorClock(), 1.0)
            self.assertIsInstance(endpoint, kind)


@implementer(IStreamServerEndpoint)
class Endpoint:
    """
    A plugin's: it listens when the test says so.
    """

    def __init__(self) -> None:
        self.opened: Deferred[IListeningPort] = Deferred()

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        return self.opened


class PortServiceTests(SynchronousTestCase):
    """
    A port, open while its service runs.
    """

    def test_open(self) -> None:
        """
        From the privileged start until the stop; it tells its address.
        """
        reactor = MemoryReactorClock()
        endpoint = TCP4ServerEndpoint(reactor, 11430)
        service = PortService(endpoint, Factory())
        self.assertNoResult(service.opened)
        service.privilegedStartService()
        service.startService()
        self.assertEqual([server[0] for server in reactor.tcpServers], [11430])
        port: Any = service.opened.result
        self.assertEqual(port.getHost().port, 11430)
        closed: list[bool] = []
        port.stopListening = lambda: closed.append(True)
        self.successResultOf(service.stopService())
        # Once more does nothing.
        self.successResultOf(service.stopService())
        self.assertEqual(closed, [True])

    def test_failure(self) -> None:
        """
        Is raised at once.
        """
        endpoint = Endpoint()
        endpoint.opened.errback(Failure(CannotListenError("", 1, OSError())))
        service = PortService(endpoint, Factory())
        self.assertRaises(CannotListenError, service.privilegedStartService)
        self.successResultOf(service.stopService())

    def test_later_failure(self) -> None:
        """
        Is told to those that wait for the port; the service can still be stopped.
        """
        endpoint = Endpoint()
        service = PortService(endpoint, Factory())
        service.privilegedStartService()
        endpoint.opened.errback(Failure(CannotListenError("", 1, OSError())))
        waiting = gatherResults([service.opened])
        self.failureResultOf(waiting, FirstError)
        self.successResultOf(service.stopService())

    def test_stopped_before_it_is_open(self) -> None:
        """
        The attempt is cancelled.
        """
        cancelled: list[object] = []
        endpoint = Endpoint()
        endpoint.opened = Deferred(cancelled.append)
        service = PortService(endpoint, Factory())
        service.privilegedStartService()
        self.successResultOf(service.stopService())
        self.assertEqual(cancelled, [endpoint.opened])
