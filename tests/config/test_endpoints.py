"""
Endpoint strings: their shape, their backlog, and which of them other machines reach.
"""

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.endpoints import (
    DEFAULT_LISTEN,
    is_public,
    listen,
    own_port,
    with_backlog,
)
from swapgate.config.ini import BadValue

LOCAL = "tcp:11430:interface=127.0.0.1"


class ListenTests(SynchronousTestCase):
    """
    `listen`.
    """

    def test_right(self) -> None:
        """
        One endpoint a line.
        """
        self.assertEqual(listen(DEFAULT_LISTEN), (LOCAL,))
        self.assertEqual(listen("tcp:1\n\n unix:/x "), ("tcp:1", "unix:/x"))

    def test_wrong(self) -> None:
        """
        What has not the shape of one, and the same twice.
        """
        for text, said in {
            "11430": f"'11430' is no endpoint; write one like {LOCAL}",
            "tcp:": f"'tcp:' is no endpoint; write one like {LOCAL}",
            "tcp:1\ntcp:1": "'tcp:1' stands here twice; keep one of the two",
        }.items():
            error = self.assertRaises(BadValue, listen, text)
            self.assertEqual(str(error), said)


class BacklogTests(SynchronousTestCase):
    """
    How many may wait to be accepted.
    """

    def test_backlog(self) -> None:
        """
        As many as the endpoint says, by name or in its place; else as many as we do.
        Twisted understands either.
        """
        for endpoint, backlog in {
            "tcp:0": 7,
            "tcp:0:backlog=7": 7,
            "tcp:0:127.0.0.1": 7,
            "tcp:0:interface=127.0.0.1": 7,
            "tcp:interface=127.0.0.1:port=0": 7,
            "tcp:0:127.0.0.1:5": 5,
            "tcp:0:interface=127.0.0.1:backlog=5": 5,
            "tcp6:0": 7,
            "tcp6:0:5": 5,
            "tcp6:0:interface=\\:\\:1": 7,
            "unix:/run/swapgate": 7,
            "unix:/run/swapgate:660": 7,
            "unix:/run/swapgate:660:5": 5,
            "unix:/run/swapgate:mode=660:backlog=5": 5,
        }.items():
            endpoint_of: Any = serverFromString(
                MemoryReactor(), with_backlog(endpoint, 7)
            )
            self.assertEqual(endpoint_of._backlog, backlog, endpoint)
        for endpoint, backlog in {
            "ssl:0:privateKey=k.pem": 7,
            "ssl:0:k.pem:c.pem:TLSv1_METHOD:127.0.0.1": 7,
            "ssl:0:k.pem:c.pem:TLSv1_METHOD:127.0.0.1:5": 5,
            "tls:/etc/certs:0": 7,
            "tls:/etc/certs:0:5": 5,
            "systemd:domain=INET:index=0": 5,
            "haproxy:tcp:0": 5,
        }.items():
            said = endpoint if backlog == 5 else f"{endpoint}:backlog=7"
            self.assertEqual(with_backlog(endpoint, 7), said)


class PublicTests(SynchronousTestCase):
    """
    What an endpoint exposes.
    """

    def test_endpoints(self) -> None:
        """
        Whatever is not surely this machine's own is public.
        """
        for endpoint, public in {
            LOCAL: False,
            "tcp:80:127.0.0.1": False,
            "TCP:80:interface=localhost": False,
            "tcp:interface=127.9.9.9:port=80": False,
            "tcp6:80:interface=\\:\\:1": False,
            "tcp:80:interface=127.0.0.1:backlog=5": False,
            "ssl:443:privateKey=k.pem:certKey=c.pem:interface=127.0.0.1": False,
            "tls:/etc/certs:tcp\\:443\\:interface=127.0.0.1": True,
            "unix:/run/swapgate": False,
            "unix:address=/run/swapgate:mode=660": False,
            "tcp:80": True,
            "tcp:80:": True,
            "tcp:80:interface=": True,
            "tcp:80:0.0.0.0": True,
            "tcp:80:interface=0.0.0.0": True,
            "tcp:80:interface=127.0.0.1:interface=0.0.0.0": True,
            "tcp:80:interface=192.168.1.5": True,
            "tcp:80:interface=localhost.example": True,
            "tcp:80:backlog=127.0.0.1": True,
            "tcp6:80": True,
            "tcp6:80:interface=\\:\\:": True,
            "ssl:443": True,
            "ssl:443:127.0.0.1": True,
            "tls:/etc/certs:443": True,
            "systemd:domain=INET:index=0": True,
            "haproxy:unix:/run/x": True,
            "tcp:80:interface=127.0.0.1\\": False,
            "tcp:80:interface=127.0.0.1\\:interface=0.0.0.0": True,
        }.items():
            with self.subTest(endpoint):
                self.assertIs(is_public(endpoint), public)

    def test_own_port(self) -> None:
        """
        Where it is reached by loopback.
        """
        for endpoint, port in (
            ("tcp:81", 81),
            ("tcp:81:interface=127.0.0.1", 81),
            ("tcp:port=81:interface=localhost", 81),
            ("tcp:81:0.0.0.0", 81),
            ("TCP:81:127.0.0.1:50", 81),
            (r"tcp6:81:interface=\:\:", 81),
            (r"ssl:81:privateKey=k:interface=\:\:1", 81),
            ("tls:/certificates:81", 81),
            ("tcp:81:interface=192.168.1.5", None),
            ("tcp:81:interface=gate.lan", None),
            ("tcp:port=http", None),
            ("unix:/run/81", None),
            ("systemd:domain=INET:index=0", None),
        ):
            with self.subTest(endpoint=endpoint):
                self.assertEqual(own_port(endpoint), port)
