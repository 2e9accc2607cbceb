"""
Daemons that others run: their life here, their keys, and what is verified of them.
"""

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.ssl import (
    Certificate,
    trustRootFromCertificates,
)
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseNeverReceived, readBody
from twisted.web.http_headers import Headers

from swapgate.config import ConfigError, ModelSpec, Upstream
from swapgate.daemons.remote import Remote, read_key, read_keys
from swapgate.ini import BadValue
from swapgate.models import RemoteSpec
from swapgate.upstream import BodyProducer, UpstreamClient
from tests.authority import Authority
from tests.doubles import config_of
from tests.machine import Machine

KEY = "sk-a-secret"


def remote(service: RemoteSpec | None = None, **options: Any) -> ModelSpec:
    upstream = Upstream(scheme="https", host="big.example.net", port=443)
    return ModelSpec(
        name="r",
        memory_bytes=0,
        service=service or RemoteSpec(),
        upstream=upstream,
        **options,
    )


class Case(SynchronousTestCase):
    """
    With key files in a folder of the test's own.
    """

    def key_file(self, content: str | bytes = KEY, mode: int = 0o600) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)


class KeyFileTests(Case):
    """
    Keys that are kept in files.
    """

    def refusal(self, path: str) -> str:
        """
        Why there is no key in a file, without a word of what is in it.
        """
        error = str(self.assertRaises(BadValue, read_key, path))
        self.assertNotIn("secret", error)
        return error

    def test_read(self) -> None:
        """
        The final newline that editors write is no part of it.
        """
        for mode in (0o600, 0o400, 0o700):
            self.assertEqual(read_key(self.key_file(f"{KEY}\n", mode)), KEY)

    def test_open_to_others(self) -> None:
        """
        Whoever else could read or change it, and how to put an end to that.
        """
        for mode in (0o640, 0o604, 0o620, 0o644, 0o666):
            path = self.key_file(mode=mode)
            said = f"{path} is open to others; run chmod 600 {path}"
            self.assertEqual(self.refusal(path), said)

    def test_no_key(self) -> None:
        """
        A header must hold it: one word, of characters that show.
        """
        for content in ("", "\n", "sk-secret 2", "sk-secret\nx", "sécret", b"secret\0"):
            self.assertIn("holds no key", self.refusal(self.key_file(content)))

    def test_no_file(self) -> None:
        """
        None there, or something that is none; nothing waits for it.
        """
        folder = Path(self.mktemp()).absolute()
        self.assertIn("(No such file or directory)", self.refusal(str(folder)))
        folder.mkdir()
        self.assertIn("is no file", self.refusal(str(folder)))
        pipe = folder / "pipe"
        os.mkfifo(pipe, 0o600)
        self.assertIn("is no file", self.refusal(str(pipe)))

    def test_keys_of_a_configuration(self) -> None:
        """
        Another key makes another model; one that cannot be had is a mistake.
        """
        path = self.key_file()
        config = config_of(remote(), remote(RemoteSpec(api_key_file=path)))
        first = read_keys(config)
        self.assertEqual(first, read_keys(config))
        self.assertEqual(first.models[0], config.models[0])
        self.assertNotIn("secret", repr(first))
        Path(path).write_text("sk-another")
        self.assertNotEqual(first, read_keys(config))
        Path(path).chmod(0o644)
        error = str(self.assertRaises(ConfigError, read_keys, config))
        place = "/test.cfg: [model r] api_key: "
        self.assertEqual(
            error, f"{place}{path} is open to others; run chmod 600 {path}"
        )


class LifeTests(Case):
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
        self.assertIs(daemon.lasting, True)
        for end in (daemon.halt, daemon.kill):
            reasons: list[str] = []
            self.assertIs(self.successResultOf(daemon.adopt(reasons.append)), False)
            self.assertIs(daemon.running, False)
            daemon.launch(reasons.append)
            self.assertEqual((daemon.running, reasons), (True, []))
            self.assertIsNone(daemon.impostor())
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
            daemon.launch(lambda _: None)
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
        daemon.launch(reasons.append)
        said = f"its api_key: {path} is open to others; run chmod 600 {path}"
        self.assertEqual((daemon.running, reasons), (False, [said]))


class TLSTests(TestCase):
    """
    https, by a client alone.
    """

    timeout = 30

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
        self.addCleanup(client._pool.closeCachedConnections)
        return client

    async def refused(self, client: UpstreamClient) -> str:
        """
        Neither a key nor a prompt is sent; what the health poll has shown.
        """
        with self.assertRaises(ResponseNeverReceived):
            await client.get_status("/health")
        body = BodyProducer([b"a prompt"])
        with self.assertRaises(ResponseNeverReceived):
            await client.ask(b"POST", b"/v1/x", Headers(), body)
        self.assertEqual(self.machine.asked, [])
        return client.shown

    async def test_trusted(self) -> None:
        """
        By address and by name, with the key at each request.
        """
        self.machine.turn_on(self.authority.server("127.0.0.1", "localhost"))
        for host in ("127.0.0.1", "localhost"):
            client = self.client(Authority(), self.authority, host=host)
            self.assertEqual(await client.get_status("/health"), 200)
            body = BodyProducer([b"a prompt"])
            exchange = await client.ask(b"POST", b"/v1/x", Headers(), body)
            self.assertEqual(exchange.response.code, 200)
            self.assertIn(b"answers", await readBody(exchange.response))
        self.assertEqual({key for _, key in self.machine.asked}, {f"Bearer {KEY}"})
        self.assertEqual(len(self.machine.asked), 4)

    async def test_untrusted(self) -> None:
        """
        An authority that nobody knows, or another one.
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
