"""
Daemons that others run: their life here, their keys, and what is verified of them.
"""

from pathlib import Path

from twisted.internet import reactor
from twisted.internet.ssl import (
    Certificate,
    trustRootFromCertificates,
)
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseNeverReceived

from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.values import Upstream
from swapgate.daemons.remote import Remote
from swapgate.upstream.client import UpstreamClient
from tests.authority import Authority
from tests.config.test_secrets import KEY, KeyFileCase, remote
from tests.doubles import owner
from tests.machine import Machine
from tests.upstream import Reader


class LifeTests(KeyFileCase):
    """
    What the fleet sees of it.
    """

    def test_life(self) -> None:
        """
        There when it is wanted, gone when it is not; nothing is done to it.
        """
        spec = remote()
        assert isinstance(spec.service, RemoteSpec)
        daemon = Remote(spec, spec.service)
        self.assertIs(daemon.outlives_gateway, True)
        for end in (daemon.halt, daemon.kill):
            reasons: list[str] = []
            self.assertIs(
                self.successResultOf(daemon.adopt(owner(reasons.append))), False
            )
            self.assertIs(daemon.running, False)
            daemon.launch(owner(reasons.append))
            self.assertEqual((daemon.running, reasons), (True, []))
            self.assertTrue(daemon.serving)
            self.assertIsNone(self.successResultOf(daemon.preflight()))
            self.assertFalse(self.successResultOf(daemon.answers()))
            self.assertFalse(daemon.relaunch())
            self.assertIsNone(daemon.port_conflict())
            self.assertEqual(daemon.upstream, spec.upstream)
            end()
            end()
            self.assertEqual((daemon.running, reasons), (False, ["is left alone"]))
        self.assertEqual(daemon.last_words(), "")

    def test_key(self) -> None:
        """
        It is the upstream's, and a file is read again for each life.
        """
        path = self.key_file()
        service = RemoteSpec(api_key_file=path)
        daemon = Remote(remote(service), service)
        for key in (KEY, "sk-another"):
            Path(path).write_text(key)
            daemon.launch(owner(lambda _: None))
            self.assertEqual(daemon.upstream.api_key, key)
            self.assertNotIn("sk-", repr(daemon.upstream) + daemon.upstream.url)
            daemon.halt()

    def test_no_key(self) -> None:
        """
        Without its key nothing is asked of it.
        """
        path = self.key_file(mode=0o644)
        service = RemoteSpec(api_key_file=path)
        daemon = Remote(remote(service), service)
        reasons: list[str] = []
        daemon.launch(owner(reasons.append))
        said = f"its api_key: {path} is open to others; run chmod 600 {path}"
        self.assertEqual((daemon.running, reasons), (False, [said]))


class TLSTests(TestCase):
    """
    https, by a client alone.
    """

    timeout = 120

    def setUp(self) -> None:
        self.authority = Authority()
        self.machine = Machine()
        self.addCleanup(self.machine.turn_off)

    def client(self, *trusted: Authority, host: str = "127.0.0.1") -> UpstreamClient:
        upstream = Upstream(
            scheme="https", host=host, port=self.machine.port, api_key=KEY
        )
        roots = [Certificate.loadPEM(authority.pem) for authority in trusted]
        trust = trustRootFromCertificates(roots) if roots else None
        client = UpstreamClient(upstream, reactor, trust)
        self.addCleanup(client.close)
        return client

    async def refused(self, client: UpstreamClient) -> str:
        """
        Neither a key nor a prompt is sent; what the health poll has shown.
        """
        with self.assertRaises(ResponseNeverReceived):
            await client.get_status("/health")
        with self.assertRaises(ResponseNeverReceived):
            await client.ask(b"POST", b"/v1/x", [], [b"a prompt"])
        self.assertEqual(self.machine.asked, [])
        return client.last_probe

    async def test_trusted(self) -> None:
        """
        By address and by name, with the key at each request.
        """
        self.machine.turn_on(self.authority.server("127.0.0.1", "localhost"))
        for host in ("127.0.0.1", "localhost"):
            client = self.client(Authority(), self.authority, host=host)
            self.assertEqual(await client.get_status("/health"), 200)
            response = await client.ask(b"POST", b"/v1/x", [], [b"a prompt"])
            self.assertEqual(response.status, 200)
            reader = Reader()
            response.connection.deliver_to(reader)
            self.assertIn(b"answers", await reader.whole)
        self.assertEqual({key for _, key in self.machine.asked}, {f"Bearer {KEY}"})
        self.assertEqual(len(self.machine.asked), 4)

    async def test_untrusted(self) -> None:
        """
        An unknown authority, or another one than the configured.
        """
        self.machine.turn_on(self.authority.server("127.0.0.1"))
        for trusted in ((), (Authority(),)):
            shown = await self.refused(self.client(*trusted))
            self.assertEqual(
                shown, "GET /health: TLS failed: certificate verify failed"
            )

    async def test_of_another_host(self) -> None:
        """
        A good certificate, but not that host's.
        """
        self.machine.turn_on(self.authority.server("example.net"))
        for host in ("127.0.0.1", "localhost"):
            shown = await self.refused(self.client(self.authority, host=host))
            self.assertIn("certificate", shown)
