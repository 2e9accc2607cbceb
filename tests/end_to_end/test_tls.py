"""
The gateway behind TLS, as Twisted's endpoint strings have it.
"""

import json
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.task import deferLater

from swapgate.net import unsent
from tests.authority import Authority
from tests.rig import Client, RigCase, events_of


class TLSCase(RigCase):
    """
    A gateway with a certificate for both of its names.
    """

    name = "127.0.0.1"

    def setUp(self) -> None:
        super().setUp()
        authority = Authority()
        self.trust = trustRootFromCertificates([Certificate.loadPEM(authority.pem)])
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        pem = folder / "swapgate.pem"
        pem.write_bytes(authority.server_pem("127.0.0.1", "localhost"))
        self.listen = (self.listen_on(folder, pem),)

    def listen_on(self, folder: Path, pem: Path) -> str:
        return f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"

    def endpoint(self) -> Any:
        options = optionsForClientTLS(self.name, self.trust)
        tcp = HostnameEndpoint(reactor, "127.0.0.1", self.port)
        return wrapClientTLS(options, tcp)


class SSLTests(TLSCase):
    """
    `ssl:`.
    """

    async def test_token_by_token(self) -> None:
        """
        Each is there before the next one is made; the end comes at once.
        """
        await self.start(a="")
        client = await self.begin_stream("a", tokens=5, interval_s=0.2)
        for n in range(1, 6):
            heard = await client.until(b"x_sent_ns", n)
            self.assertEqual(heard.count(b"x_sent_ns"), n)
        answer = await client.answer()
        self.assertEqual(events_of(answer.body)[-1], "[DONE]")
        # The connection stays.
        client.send("/health")
        self.assertEqual((await client.answer()).status, 200)

    async def test_what_is_not_taken(self) -> None:
        """
        Known under TLS too, and the system buffers little of it.
        """
        await self.start(a="")
        client = await self.connect()
        # It reads until the TLS handshake is done.
        client.send("/health")
        await client.answer()
        client.transport.pauseProducing()
        behaviour = {"plain_bytes": 30_000_000}
        client.send("/v1/chat/completions", {"model": "a", "x_fake": behaviour})
        assert self.service is not None
        [channel] = self.service._site.channels
        while not unsent(channel.transport):
            await deferLater(reactor, 0.01)
        below = channel.transport.transport
        buffered = below.socket.getsockopt(SOL_SOCKET, SO_SNDBUF)
        # Linux counts its own part, too.
        self.assertIn(buffered, (128 * 1024, 256 * 1024))

    async def test_a_held_stream_that_fails(self) -> None:
        """
        Ends after its error, and its body takes no memory any more.
        """
        self.general = "keepalive = 50 ms\nload_timeout = 500 ms"
        await self.start(a="--never-healthy")
        client = await self.begin_stream("a")
        assert self.service is not None
        [told] = events_of((await client.closed()).replace(b"\r\n", b"\n"))
        self.assertEqual(told["error"]["code"], "model_load_failed")
        # As soon as the gateway knows that the client has closed as well.
        while self.service._site.body_memory.taken:
            await deferLater(reactor, 0.01)

    async def test_a_large_body(self) -> None:
        """
        Nothing of it is lost.
        """
        await self.start(a="")
        body = {"model": "a", "pad": "x" * 3_000_000}
        answer = await self.ask("/v1/chat/completions", body)
        self.assertEqual(answer.json["x_request"]["body_length"], len(json.dumps(body)))

    async def test_refusals(self) -> None:
        """
        They arrive whole, before the end: of access, of the API, of what is not HTTP.
        """
        await self.start(a="")
        for host, status in (
            ("evil.example", 403),
            ("127.0.0.1", 421),
            (f"127.0.0.1:{self.port}", 404),
        ):
            client = await self.connect()
            client.send("/v1/nothing", Host=host)
            self.assertEqual((await client.answer()).status, status)
            if status != 404:
                await self.assert_ended_well(client)
        # Also while the client is still sending.
        body = {"model": "a", "pad": "x" * 3_000_000}
        answer = await self.ask("/v1/chat/completions", body, Host="evil.example")
        self.assertEqual(answer.status, 403)
        self.assertEqual(self.told(), [])
        client = await self.connect()
        client.transport.write(b"how do you do\r\n\r\n")
        self.assertEqual((await client.answer()).status, 400)
        await self.assert_ended_well(client)

    async def assert_ended_well(self, client: Client) -> None:
        """
        TLS has an end of its own, without which all may have been cut off.
        """
        await client.closed()
        assert client.reason is not None
        self.assertTrue(client.reason.check(ConnectionDone), client.reason)

    async def test_own_page(self) -> None:
        """
        Its origin is https.
        """
        await self.start(a="")
        own = f"127.0.0.1:{self.port}"
        for origin, status in ((f"https://{own}", 200), (f"http://{own}", 403)):
            answer = await self.ask("/health", Origin=origin)
            self.assertEqual(answer.status, status)

    async def test_without_tls(self) -> None:
        """
        A client without TLS gets nothing.
        """
        await self.start(a="")
        plain = HostnameEndpoint(reactor, "127.0.0.1", self.port)
        self.patch(self, "endpoint", lambda: plain)
        client = await self.connect()
        client.send("/health")
        self.assertNotIn(b"HTTP", await client.closed())


class TLSTests(TLSCase):
    """
    `tls:`, which finds the certificate by the name that a client asks for.
    """

    name = "localhost"

    def listen_on(self, folder: Path, pem: Path) -> str:
        return f"tls:{folder}:0:interface=127.0.0.1"

    async def test_stream(self) -> None:
        """
        It is the same there.
        """
        await self.start(a="")
        client = await self.begin_stream("a", tokens=3, interval_s=0.2)
        for n in range(1, 4):
            heard = await client.until(b"x_sent_ns", n)
            self.assertEqual(heard.count(b"x_sent_ns"), n)
        await client.answer()
