"""
How a start of `twistd swapgate` ends: an exit status and a line, daemonised or not.
"""

import fcntl
import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.test_tap import GOOD, TWISTD, Case, environment

# How long a process may take at most; it is known by its end, not by the clock.
_AT_MOST_S = 60


class StartTests(Case):
    """
    Each way, with and without -n.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pidfile = self.folder / "twistd.pid"
        self.log = self.folder / "twistd.log"
        # Open in the process that serves, and in no other when we have closed ours.
        self.alive, self.life = os.pipe()
        self.addCleanup(os.close, self.alive)

    def run_twistd(self, text: str, *, daemon: bool) -> tuple[int, str]:
        """
        Exit status, and what was said on both outputs.
        """
        foreground = [] if daemon else ["-n"]
        argv = [TWISTD[0], *foreground, f"--pidfile={self.pidfile}"]
        argv += [f"--logfile={self.log}", "swapgate", "--config", self.written(text)]
        ended = subprocess.run(
            argv,
            cwd=self.folder,
            env=environment(HOME=str(self.folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_AT_MOST_S,
            pass_fds=(self.life,),
            check=False,
        )
        return ended.returncode, ended.stdout

    def fails(self, text: str, said: str) -> None:
        """
        Both ways it ends with status 1, says this, and leaves nothing.
        """
        for daemon in (False, True):
            with self.subTest(daemon=daemon):
                status, output = self.run_twistd(text, daemon=daemon)
                self.assertEqual(status, 1, output)
                self.assertIn(said, output)
                self.assertNotIn("Traceback", output)
                self.assertFalse(self.pidfile.exists())
                if "An error has occurred" in output:
                    # Twisted shows its beginning, and says where all of it is.
                    self.assertIn(said, self.log.read_text())
                else:
                    self.assertEqual(output.count("\n"), 1, output)

    def state(self) -> str:
        return f"[swapgate]\nstate_dir = {self.folder}/state"

    def test_a_mistake(self) -> None:
        """
        In the configuration.
        """
        self.fails(GOOD.replace("listen", "lissten"), "did you mean listen?")

    def test_port_taken(self) -> None:
        """
        Another server listens there.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = GOOD.replace("tcp:0", f"tcp:{port}")
            self.fails(
                text.replace("[swapgate]", self.state()), f"127.0.0.1, port {port}"
            )

    def test_nowhere_to_listen(self) -> None:
        """
        The address is none of this machine.
        """
        text = GOOD.replace("127.0.0.1", "192.0.2.1\nopen = yes")
        self.fails(text.replace("[swapgate]", self.state()), "192.0.2.1")

    def test_no_port(self) -> None:
        """
        The number is none of a port, or the name none of a host.
        """
        text = GOOD.replace("[swapgate]", self.state())
        self.fails(text.replace("tcp:0", "tcp:80000"), "cannot listen")
        self.fails(text.replace("127.0.0.1", "a..b\nopen = yes"), "cannot listen")

    def test_folder_taken(self) -> None:
        """
        Another gateway has the state folder.
        """
        folder = self.folder / "state"
        folder.mkdir()
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = GOOD.replace("[swapgate]", self.state())
            self.fails(text, " runs ")

    def test_no_folder(self) -> None:
        """
        The state folder cannot be made.
        """
        Path(self.folder, "state").write_text("a file")
        text = GOOD.replace("[swapgate]", self.state())
        self.fails(text, "the state folder cannot be used")

    def test_it_starts(self) -> None:
        """
        A daemonised start exits with 0, and prints nothing, when the port is open;
        SIGTERM ends what it has started, and its pid file.
        """
        text = GOOD.replace("[swapgate]", self.state())
        self.assertEqual(self.run_twistd(text, daemon=True), (0, ""))
        pid = int(self.pidfile.read_text())
        self.assertIn(" starting on ", self.log.read_text())
        os.kill(pid, signal.SIGTERM)
        os.close(self.life)
        self.assertEqual(os.read(self.alive, 1), b"")
        self.assertFalse(self.pidfile.exists())
        self.assertIn("Server Shut Down", self.log.read_text())
