"""
Kinds of daemon: the options of each, read and refused.
"""

from posixpath import normpath

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import (
    ChildSpec,
    CommandSpec,
    LaunchdSpec,
    RemoteSpec,
    SystemdSpec,
)
from swapgate.config.expand import Command
from swapgate.config.ini import ConfigError
from tests.config.test_model import (
    CHILD,
    COMMAND,
    LAUNCHD,
    REMOTE,
    SYSTEMD,
    Refusing,
    read,
)


class ServiceTests(SynchronousTestCase):
    """
    A section that is in order.
    """

    def test_child(self) -> None:
        """
        A child runs in the config's folder, at its upstream's port if it has one.
        """
        model = read(CHILD)
        self.assertEqual(model.name, "a")
        self.assertEqual(model.memory_bytes, 8 * 10**9)
        self.assertIsNone(model.upstream)
        assert isinstance(model.service, ChildSpec)
        self.assertEqual(model.service.cwd, "/etc")
        self.assertEqual(model.service.command.argv(5), ("llama-server", "--port", "5"))
        for host in ("127.0.0.1", "localhost", "[::1]"):
            model = read(f"{CHILD}upstream = http://{host}:81\n")
            assert isinstance(model.service, ChildSpec)
            self.assertEqual(model.service.command.argv(5)[-1], "81")

    def test_fixed_port(self) -> None:
        """
        With an upstream the command may leave its port unsaid.
        """
        model = read(
            "[model a]\nservice = child\ncommand = serve\nupstream = http://[::1]:81\n"
        )
        assert isinstance(model.service, ChildSpec)
        self.assertEqual(model.service.command.argv(81), ("serve",))

    def test_launchd(self) -> None:
        """
        An agent has its plist, whole.
        """
        self.assertEqual(read(LAUNCHD).service, LaunchdSpec(plist="/etc/x"))
        self.assertEqual(
            read(LAUNCHD + "label = local.x\nverbs = load\n").service,
            LaunchdSpec(plist="/etc/x", label="local.x", verbs="load"),
        )

    def test_systemd(self) -> None:
        """
        A unit of this user's, or of the system's.
        """
        self.assertEqual(read(SYSTEMD).service, SystemdSpec(unit="x.service"))
        self.assertEqual(
            read(SYSTEMD + "scope = system\n").service,
            SystemdSpec(unit="x.service", scope="system"),
        )

    def test_command(self) -> None:
        """
        Commands are words, as a child's is; the port is the upstream's.
        """
        service = read(COMMAND + "status = ./is-up ${port}\nenv = A=1\n").service
        self.assertEqual(
            service,
            CommandSpec(
                start=Command(words=("run", "a b", "81")),
                stop=Command(words=("end", "{{.X}}")),
                status=Command(words=("/etc/is-up", "81")),
                env=(("A", "1"),),
                cwd="/etc",
            ),
        )
        service = read(COMMAND).service
        assert isinstance(service, CommandSpec)
        self.assertIsNone(service.status)

    def test_remote(self) -> None:
        """
        It may be anywhere, and takes nothing of what there is to share out.
        """
        model = read(REMOTE)
        self.assertEqual(model.service, RemoteSpec())
        self.assertEqual((model.memory_bytes, model.health), (0, "/health"))
        for host in ("ray.default.svc.cluster.local", "192.168.1.2", "[fe80::1]"):
            self.assertEqual(
                read(REMOTE.replace("big.example.net", host)).memory_bytes, 0
            )

    def test_api_key(self) -> None:
        """
        From a variable or a file, and never shown.
        """
        model = read(REMOTE + "api_key = ${KEY}\n")
        self.assertEqual(model.service, RemoteSpec(api_key="sk-secret"))
        self.assertNotIn("secret", repr(model))
        for path in ("~/key", "/home/me/key", "../home/me/key", "${HOME}/key"):
            service = read(REMOTE + f"api_key = file:{path}\n").service
            assert isinstance(service, RemoteSpec)
            assert service.api_key_file is not None
            self.assertIsNone(service.api_key)
            self.assertEqual(normpath(service.api_key_file), "/home/me/key")


class MistakeTests(Refusing):
    """
    A section that is not in order: one line each.
    """

    def test_service(self) -> None:
        """
        Which kinds there are.
        """
        self.refuses(
            {
                "[model a]\ncommand = x\n": (
                    "1: [model a] needs service; "
                    "write service = child, launchd, systemd, command or remote"
                ),
                "[model a]\nservice = launchctl\n": (
                    "2: [model a] service: 'launchctl' is unknown; "
                    "did you mean launchd? "
                    "write child, launchd, systemd, command or remote"
                ),
                "[model a]\nservice = docker\n": (
                    "2: [model a] service: 'docker' is unknown; "
                    "write child, launchd, systemd, command or remote"
                ),
            }
        )

    def test_child(self) -> None:
        """
        A child needs a command and a port on this machine that both know of.
        """
        where = "is not where a child listens; write http://127.0.0.1:PORT"
        self.refuses(
            {
                "[model a]\nservice = child\n": (
                    "1: [model a] needs command; "
                    "write command = llama-server --port ${port} ..."
                ),
                "[model a]\nservice = child\ncommand = x 'y\n": (
                    "3: [model a] command: no closing quotation; "
                    "close each quote, or escape it with \\"
                ),
                "[model a]\nservice = child\ncommand = x $${port}\n": (
                    "3: [model a] command: never says ${port}; write it where the "
                    "daemon takes its port, or say with upstream which one it takes"
                ),
                CHILD + "upstream = https://127.0.0.1:81\n": (
                    f"4: [model a] upstream: https://127.0.0.1:81 {where}"
                ),
                CHILD + "upstream = http://192.168.1.2:81\n": (
                    f"4: [model a] upstream: http://192.168.1.2:81 {where}"
                ),
                CHILD + "upstream = http://127.0.0.1:81/v1\n": (
                    "4: [model a] upstream: 'http://127.0.0.1:81/v1' has more than "
                    "a host and a port; write http://HOST:PORT"
                ),
            }
        )

    def test_launchd(self) -> None:
        """
        An agent needs its plist, and its address.
        """
        self.refuses(
            {
                "[model a]\nservice = launchd\nupstream = http://127.0.0.1:81\n": (
                    "1: [model a] needs plist; write plist = PATH"
                ),
                "[model a]\nservice = launchd\nplist = x\n": (
                    "1: [model a] needs upstream; "
                    "write upstream = http://127.0.0.1:PORT"
                ),
                LAUNCHD + "verbs = start\n": (
                    "5: [model a] verbs: 'start' is unknown; write bootstrap or load"
                ),
                LAUNCHD + "label = a b\n": (
                    "5: [model a] label: 'a b' is no service's name; write one word"
                ),
                "[model a]\nservice = launchd\nplist = ~you/x\n": (
                    "3: [model a] plist: '~you/x' is another user's home; "
                    "write the whole path"
                ),
            }
        )

    def test_systemd_and_command(self) -> None:
        """
        What they need, and what cannot be meant.
        """
        at = "write upstream = http://127.0.0.1:PORT"
        self.refuses(
            {
                "[model a]\nservice = systemd\nupstream = http://127.0.0.1:81\n": (
                    "1: [model a] needs unit; write unit = NAME.service"
                ),
                "[model a]\nservice = systemd\nunit = x\n": (
                    f"1: [model a] needs upstream; {at}"
                ),
                "[model a]\nservice = systemd\nunit = --now\n": (
                    "3: [model a] unit: '--now' is no service's name; write one word"
                ),
                SYSTEMD + "scope = me\n": (
                    "5: [model a] scope: 'me' is unknown; write user or system"
                ),
                "[model a]\nservice = command\nstart = x\nstop = y\n": (
                    f"1: [model a] needs upstream; {at}"
                ),
                COMMAND.replace("start", "status"): (
                    "1: [model a] needs start; write start = docker start NAME"
                ),
                COMMAND.replace("stop", "status"): (
                    "1: [model a] needs stop; write stop = docker stop NAME"
                ),
                COMMAND + "scope = user\n": (
                    "6: [model a] scope: is no option here; "
                    "it belongs to service = systemd"
                ),
                CHILD + "health = /\n": (
                    "4: [model a] health: is no option here; "
                    "it belongs to service = launchd, systemd, command or remote"
                ),
            }
        )

    def test_remote(self) -> None:
        """
        It needs an address that can be looked up, and has no memory.
        """
        self.refuses(
            {
                "[model a]\nservice = remote\n": (
                    "1: [model a] needs upstream; write upstream = http://HOST:PORT"
                ),
                REMOTE.replace("big", "my_big"): (
                    "3: [model a] upstream: 'my_big.example.net' is no name that can "
                    "be looked up; write letters, digits and hyphens between dots, "
                    "or an address"
                ),
                REMOTE.replace("big", "ab--cd"): (
                    "3: [model a] upstream: 'ab--cd.example.net' is no name that can "
                    "be looked up; write letters, digits and hyphens between dots, "
                    "or an address"
                ),
                CHILD + "api_key = ${KEY}\n": (
                    "4: [model a] api_key: is no option here; "
                    "it belongs to service = remote"
                ),
            }
        )

    def test_hosts(self) -> None:
        """
        Whatever runs the daemon, Twisted must be able to look its host up.
        """
        for section, line in ((COMMAND, 4), (LAUNCHD, 4), (SYSTEMD, 4)):
            for host in ("my_llama", "ab--cd", "x" * 64):
                text = section.replace("127.0.0.1", host)
                said = f"{line}: [model a] upstream: '{host}' is no name that can be "
                with self.subTest(text=text):
                    found = str(self.assertRaises(ConfigError, read, text))
                    self.assertIn(said.partition(" ")[2], found)
            for host in ("llama-1", "xn--bcher-kva", "127.0.0.1", "[::1]", "a.b"):
                read(section.replace("127.0.0.1", host))

    def test_api_key(self) -> None:
        """
        What is written instead of a variable or a file is not repeated.
        """
        where = "4: [model a] api_key: "
        wrong = (
            "does not belong here itself; write ${NAME} for a variable of the "
            "environment, and nothing else, or file:PATH"
        )
        no_key = "holds no key; it must be one word of plain ASCII"
        table = dict.fromkeys(
            (
                "sk-secret",
                "Bearer ${KEY}",
                "${KEY}${KEY}",
                "$KEY",
                "${sk-secret}",
                "FILE:/x",
            ),
            where + wrong,
        )
        table |= {
            "${NONE}": f"{where}${{NONE}} is not set in the environment; set it",
            "${dir}": f"{where}${{dir}} is not set in the environment; set it",
            "${NO}": f"{where}${{NO}} {no_key}",
            "${LINES}": f"{where}${{LINES}} {no_key}",
            "file:": f"{where}names no file; write file:PATH",
        }
        self.refuses(
            {f"{REMOTE}api_key = {key}\n": said for key, said in table.items()}
        )
        self.assertNotIn("secret", "".join(table.values()))
