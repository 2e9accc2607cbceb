"""
The command line and the wiring, here and in processes that end by themselves.
"""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from swapgate.service import Swapgate
from swapgate.tap import Options, makeService

ROOT = Path(__file__).resolve().parent.parent
TWISTD = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile="]
GOOD = """
[swapgate]
listen = tcp:0:interface=127.0.0.1
[model a]
service = child
command = true ${port}
"""
MODEL_A = GOOD[GOOD.index("[model a]") :]


def environment(**more: str) -> dict[str, str]:
    """
    As in a user's shell, but with the checkout importable, another home folder and no
    configuration.
    """
    names = ("PATH", "LANG", "TMPDIR", "HOME")
    kept = {k: v for k, v in os.environ.items() if k in names}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | more


class Case(SynchronousTestCase):
    """
    Configurations in a folder of the test's own, which is its home as well: a gateway
    may run at home.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        before = dict(os.environ)
        self.addCleanup(os.environ.update, before)
        os.environ["HOME"] = str(self.folder)
        os.environ.pop("XDG_STATE_HOME", None)

    def written(self, text: str, name: str = "test.cfg") -> str:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


class OptionsTests(Case):
    """
    The command line, in this process.
    """

    def refusal(self, *argv: str) -> str:
        """
        The one line with which the process would end, with status 1.
        """
        with self.assertRaises(SystemExit) as raised:
            Options().parseOptions(list(argv))
        line = raised.exception.code
        self.assertIsInstance(line, str)
        self.assertNotIn("\n", line)
        return str(line)

    def test_read(self) -> None:
        """
        The configuration is there when the options are parsed.
        """
        options = Options()
        options.parseOptions(["--config", self.written(GOOD)])
        self.assertEqual([model.name for model in options.parsed.models], ["a"])

    def test_a_mistake(self) -> None:
        """
        File, line, section, option and remedy.
        """
        path = self.written("[swapgate]\nlisten_on = 1\n")
        line = self.refusal("--config", path)
        self.assertIn("has no model", line)
        path = self.written(GOOD.replace("listen", "lissten"))
        line = self.refusal("--config", path)
        self.assertTrue(line.startswith(f"{path}:3: [swapgate] lissten: "), line)
        self.assertIn("did you mean listen?", line)

    def test_no_such_log_format(self) -> None:
        """
        That is a mistake in the command, not in the configuration.
        """
        with self.assertRaises(UsageError) as raised:
            Options().parseOptions(["--logformat", "xml"])
        self.assertIn("text or json", str(raised.exception))

    def test_no_endpoint_of_twisteds(self) -> None:
        """
        What Twisted cannot make a port of is a mistake like any other.
        """
        for endpoint in (
            "tcp:foo",
            "bogus:1",
            "tcp:1:colour=red",
            "ssl:1:privateKey=/nowhere/key.pem",
        ):
            with self.subTest(endpoint=endpoint):
                path = self.written(
                    GOOD.replace("tcp:0:interface=127.0.0.1", f"{endpoint}\nopen = yes")
                )
                line = self.refusal("--check", "--config", path)
                self.assertTrue(line.startswith(f"{path}: [swapgate] listen: "), line)
                self.assertIn(endpoint, line)
                self.assertIn("tcp:11430", line)

    def test_a_key_that_others_may_read(self) -> None:
        """
        A key file is looked at before anything starts.
        """
        key = self.folder / "a.key"
        key.write_text("sk-secret")
        key.chmod(0o644)
        path = self.written(
            f"{GOOD}[model far]\nservice = remote\nupstream = http://127.0.0.1:9\n"
            f"api_key = file:{key}\n"
        )
        said = f"{key} is open to others; run chmod 600 {key}"
        line = self.refusal("--check", "--config", path)
        self.assertEqual(line, f"{path}: [model far] api_key: {said}")
        key.chmod(0o600)
        options = Options()
        options.parseOptions(["--config", path])
        self.assertNotIn("secret", repr(options.parsed))

    def test_no_such_file(self) -> None:
        """
        A file that is named must be there.
        """
        path = str(self.folder / "none.cfg")
        self.assertIn(f"no configuration file at {path}", self.refusal("-c", path))

    def test_unreadable(self) -> None:
        """
        A folder, or bytes that are not UTF-8.
        """
        path = self.folder / "latin1.cfg"
        path.write_bytes(b"# \xe4\n")
        self.assertIn("UTF-8", self.refusal("-c", str(path)))
        self.assertIn("is a directory", self.refusal("-c", str(self.folder)).lower())

    def test_a_relative_path(self) -> None:
        """
        It is seen from where the command is given, and known by its whole name.
        """
        options = Options()
        options.parseOptions(["-c", os.path.relpath(self.written(GOOD))])
        self.assertEqual(options.parsed.path, str(self.folder / "test.cfg"))


class MakeServiceTests(Case):
    """
    The wiring, in this process.
    """

    def make(self, text: str) -> Swapgate:
        the_reactor: Any = reactor
        self.patch(the_reactor, "seconds", the_reactor.seconds)
        options = Options()
        options.parseOptions(["--config", self.written(text)])
        service = makeService(options)
        assert isinstance(service, Swapgate)
        return service

    def test_nothing_is_started(self) -> None:
        """
        A service for each port, none of them running.
        """
        two = "listen = tcp:0:interface=127.0.0.1\n  tcp:0:interface=localhost"
        service = self.make(re.sub("listen = .*", two, GOOD))
        self.assertEqual([bool(port.running) for port in service], [False, False])

    def test_signals_at_the_start(self) -> None:
        """
        Before the first port opens SIGHUP and SIGTERM kill nothing any more; what they
        ask for is done when the reactor runs.
        """
        for number in (signal.SIGHUP, signal.SIGTERM):
            before = signal.signal(number, signal.SIG_DFL)
            self.addCleanup(signal.signal, number, before)
        the_reactor: Any = reactor
        later: list[Any] = []
        self.patch(the_reactor, "callFromThread", later.append)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = GOOD.replace("tcp:0:", f"tcp:{port}:")
            service = self.make(text.replace("[model", "state_dir = s\n[model"))
            self.addCleanup(service._state.release)
            self.assertRaises(SystemExit, service.privilegedStartService)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(later, [the_reactor.stop, service.reload])

    def test_monotonic_clock(self) -> None:
        """
        A step of the wall clock moves no timeout.
        """
        self.make(GOOD)
        the_reactor: Any = reactor
        self.assertIs(the_reactor.seconds, time.monotonic)

    def test_descriptors(self) -> None:
        """
        As many as the system allows.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        self.make(GOOD)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))

    def test_backlog(self) -> None:
        """
        As many wait to be accepted as the endpoint says, else 1,024.
        """
        listen = "listen = tcp:0:interface=127.0.0.1"
        for text, backlog in (
            (GOOD, 1024),
            (GOOD.replace(listen, f"{listen}:backlog=9"), 9),
        ):
            listening: Any = self.make(text).services[0]
            self.assertEqual(listening.endpoint._backlog, backlog)

    def test_limits(self) -> None:
        """
        As configured, and as reloaded; within what there are descriptors for.
        """
        site = (service := self.make(GOOD))._site
        self.assertEqual(site.limits.max_body_bytes, 64 * 2**20)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertEqual(site.limits.max_connections, min(8192, (hard - 48) // 2))
        more = "[swapgate]\nmax_body = 1 MiB\nmax_connections = 7"
        self.written(GOOD.replace("[swapgate]", more))
        service.reload()
        self.assertEqual(site.limits.max_body_bytes, 2**20)
        self.assertEqual(site.limits.max_connections, 7)

    def test_too_few_descriptors(self) -> None:
        """
        No more clients are promised than can be served, and that is in the log.
        """
        options = Options()
        options.parseOptions(["--config", self.written(GOOD)])
        with capturedLogs() as logged:
            service = Swapgate(options.parsed, reactor, descriptors=10240)
        self.assertEqual(service._site.limits.max_connections, 5096)
        [event] = [event for event in logged if "granted" in event]
        self.assertEqual(
            formatEvent(event),
            "10240 descriptors are granted, of 16432 that max_connections = 8192 may "
            "need: at most 5096 clients are let in",
        )

    def test_stopped_while_a_port_opens(self) -> None:
        """
        A plugin's endpoint may take its time: to stop meanwhile is no failure of it.
        """
        for fails, told in ((True, ["cannot listen"]), (False, [])):
            options = Options()
            options.parseOptions(["--config", self.written(GOOD)])
            service = Swapgate(options.parsed, Reactor(), descriptors=512)
            opened: Deferred[IListeningPort] = Deferred()
            [port] = service
            port.endpoint = SimpleNamespace(listen=lambda _, opened=opened: opened)
            before = signal.getsignal(signal.SIGHUP)
            self.addCleanup(signal.signal, signal.SIGHUP, before)
            service.privilegedStartService()
            with capturedLogs() as logged:
                service.startService()
                if fails:
                    opened.errback(CannotListenError("", 1, OSError()))
                self.successResultOf(service.stopService())
            said = [event["log_format"] for event in logged if "log_failure" in event]
            self.assertEqual(said, told)
            self.assertEqual(len(self.flushLoggedErrors()), len(told))

    def test_launchd(self) -> None:
        """
        The real setup can be wired, though its daemons cannot be started yet.
        """
        self.make((ROOT / "etc" / "swapgate.cfg").read_text("utf-8"))


class Reactor(MemoryReactorClock):
    """
    One whose threads are done before they are begun.
    """

    def getThreadPool(self) -> Any:
        return SimpleNamespace(callInThreadWithCallback=self.call_now)

    def callFromThread(self, function: Any, *args: Any) -> None:
        function(*args)

    def call_now(self, tell: Any, function: Any, *args: Any) -> None:
        tell(True, function(*args))


class CommandTests(Case):
    """
    Commands that end by themselves.
    """

    def run_twistd(self, *argv: str, **env: str) -> tuple[int, str, str]:
        """
        Status, output and errors of `twistd swapgate`.
        """
        ended = subprocess.run(
            [*TWISTD, "swapgate", *argv],
            cwd=self.folder,
            env=environment(**{"HOME": str(self.folder), **env}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    def test_mistakes(self) -> None:
        """
        Status 1 and one line on stderr, before anything is started.
        """
        for text in (
            "[swapgate]\n",
            GOOD.replace("listen", "listne"),
            GOOD.replace("tcp:0", "tcp:none"),
            GOOD.replace("child", "chidl"),
            GOOD + "memory = 3 XB\n",
            GOOD + MODEL_A,
            "[swapgate]\nmemory_budget = 1 GB\n" + MODEL_A + "memory = 2 GB\n",
            GOOD.replace("${port}", "${NOT_SET}"),
        ):
            with self.subTest(text=text):
                path = self.written(text)
                status, out, err = self.run_twistd("--config", path)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(err, rf"\A{re.escape(path)}.*;.*\n\Z")

    def test_none_found(self) -> None:
        """
        Without a file it says where it looked, in one line.
        """
        home = str(self.folder)
        named = f"{home}/named.cfg"
        status, out, err = self.run_twistd(HOME=home, SWAPGATE_CONFIG=named)
        self.assertEqual((status, out, err.count("\n")), (1, "", 1))
        for path in (named, home, "/etc/swapgate.cfg"):
            self.assertIn(path, err)

    def test_found_by_the_environment(self) -> None:
        """
        $SWAPGATE_CONFIG names the file where no option does.
        """
        path = self.written(GOOD, "named.cfg")
        status, out, err = self.run_twistd("--check", SWAPGATE_CONFIG=path)
        said, _, more = out.partition("\n")
        self.assertEqual((status, said, err), (0, f"{path}: good, 1 model", ""))
        # Its command is no llama-server's.
        self.assertIn("a: conversations are not kept: snapshot_dir is not set", more)

    def test_check(self) -> None:
        """
        It says that the real setup is good, and starts nothing: its port is taken.
        """
        path = str(ROOT / "etc" / "swapgate.cfg")
        status, out, err = self.run_twistd("--check", "--config", path)
        self.assertEqual((status, out, err), (0, f"{path}: good, 3 models\n", ""))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            path = self.written(GOOD.replace("tcp:0", f"tcp:{port}"))
            self.assertEqual(self.run_twistd("--check", "-c", path)[0], 0)

    def test_port_taken(self) -> None:
        """
        It ends at once, with status 1, and says which port it is.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            path = self.written(GOOD.replace("tcp:0", f"tcp:{port}"))
            status, out, err = self.run_twistd("--config", path)
        self.assertEqual(status, 1)
        said = f"cannot listen on 127.0.0.1, port {port}: it is in use ("
        self.assertIn(said, out + err)
        self.assertIn("stop that process, or change listen", out + err)

    def test_a_second_run(self) -> None:
        """
        In the same folder, as a user runs it: one line, instead of twistd's advice to
        use another pid file. A configuration can still be checked.
        """
        path = self.written(GOOD.replace("[model", "state_dir = s\n[model"))
        argv = [*TWISTD[:2], "swapgate", "--config", path]
        env = environment(HOME=str(self.folder))
        first = subprocess.Popen(
            argv, cwd=self.folder, env=env, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(first.communicate)
        self.addCleanup(first.kill)
        assert first.stdout is not None
        welcome = next(line for line in first.stdout if " serves a" in line)
        self.assertRegex(
            welcome,
            r"http://127\.0\.0\.1:(\d+)/v1 serves a; point a client there, "
            r"or open http://127\.0\.0\.1:\1/ in a browser\n\Z",
        )
        second = subprocess.run(
            argv,
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((second.returncode, second.stdout), (1, ""))
        said = f"swapgate runs already: process {first.pid} has the folder "
        self.assertTrue(second.stderr.startswith(said), second.stderr)
        self.assertEqual(second.stderr.count("\n"), 1)
        self.assertEqual(self.run_twistd("--check", "--config", path)[0], 0)
