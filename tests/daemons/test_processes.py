"""
Processes: real ones, zombies too, and the listener on a port.
"""

import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from swapgate.daemons import processes

REMEDY = "stop that process, or give the model another port"
_LISTEN = (
    "import socket, sys;"
    "s = socket.create_server(('127.0.0.1', 0), reuse_port=True);"
    "print(s.getsockname()[1], flush=True); sys.stdin.read()"
)
# Its first thread ends, and another one goes on.
_LEAVES_A_THREAD = (
    "import ctypes, threading, time;"
    "threading.Thread(target=time.sleep, args=(60,)).start();"
    "print(flush=True); ctypes.CDLL(None).pthread_exit(None)"
)
# A shell that waits for what it has started.
_WRAPPER = f'{sys.executable} -c "{_LISTEN}"; true'


class OneProcessTests(SynchronousTestCase):
    """
    A process from its start to its end.
    """

    def test_one_life(self) -> None:
        """
        It runs until it is dead, be it a zombie; a later one of its pid is another.
        """
        with subprocess.Popen(["sleep", "60"]) as child:
            process = processes.find(child.pid)
            assert process is not None
            self.assertTrue(processes.runs(process))
            self.assertEqual(
                processes.born(process), processes.born(psutil.Process(child.pid))
            )
            child.kill()
            # Dead, and not waited for.
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.assertIsNone(processes.find(child.pid))
            self.assertFalse(processes.runs(process))
        self.assertIsNone(processes.find(child.pid))
        self.assertFalse(processes.runs(process))

    def test_a_thread_that_is_left(self) -> None:
        """
        A zombie runs as long as one of its threads does: memory and ports are theirs.
        """
        with subprocess.Popen(
            [sys.executable, "-c", _LEAVES_A_THREAD], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            process = psutil.Process(child.pid)
            if sys.platform.startswith("linux"):
                while process.status() != psutil.STATUS_ZOMBIE:
                    pass
            self.assertTrue(processes.runs(process))
            self.assertIsNotNone(processes.find(child.pid))
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.assertFalse(processes.runs(process))

    def test_a_group(self) -> None:
        """
        A group lives as long as one of its processes does; a zombie does not.
        """
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
            self.assertTrue(processes.group_lives(child.pid))
            processes.signal_group(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.assertFalse(processes.group_lives(child.pid))
        self.assertFalse(processes.group_lives(child.pid))

    def test_too_few_descriptors(self) -> None:
        """
        What the system cannot tell of is taken for alive.
        """
        with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                lives = processes.group_lives(child.pid)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertTrue(lives)
            child.kill()


class PortTests(TestCase):
    """
    The process that listens on a port.
    """

    timeout = 60

    def listener(self, *argv: str) -> tuple[int, int]:
        """
        A process in a session of its own, and the port that it, or its child, has.
        """
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def clean_up() -> None:
            processes.signal_group(process.pid, signal.SIGKILL)
            process.communicate()

        self.addCleanup(clean_up)
        assert process.stdout is not None
        return process.pid, int(process.stdout.readline())

    def test_its_own(self) -> None:
        """
        What it listens on itself is its own, and so is what its child listens on.
        """
        for argv in (
            (sys.executable, "-c", _LISTEN),
            ("sh", "-c", _WRAPPER),
        ):
            pid, port = self.listener(*argv)
            self.assertIsNone(processes.port_conflict(pid, port))

    def test_a_strangers(self) -> None:
        """
        Where another process listens, it is not its own.
        """
        pid, _ = self.listener(sys.executable, "-c", _LISTEN)
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            port = stranger.getsockname()[1]
            said = f"another process listens on port {port}; {REMEDY}"
            self.assertEqual(processes.port_conflict(pid, port), said)

    def test_a_stranger_beside_it(self) -> None:
        """
        A port that two share is not its own alone.
        """
        pid, port = self.listener(sys.executable, "-c", _LISTEN)
        with socket.create_server(("127.0.0.1", port), reuse_port=True):
            said = f"another process listens on port {port}; {REMEDY}"
            self.assertEqual(processes.port_conflict(pid, port), said)

    def holds(self, pid: int, port: int) -> bool:
        return processes.PortHolder(reactor, pid, port).holds()

    def test_held(self) -> None:
        """
        A port is held while the process, or its child, listens there; a stranger beside
        it changes nothing.
        """
        for argv in (
            (sys.executable, "-c", _LISTEN),
            ("sh", "-c", _WRAPPER),
        ):
            pid, port = self.listener(*argv)
            with socket.create_server(("127.0.0.1", port), reuse_port=True):
                self.assertTrue(self.holds(pid, port))
                self.assertFalse(self.holds(pid, port + 1))
                self.assertFalse(self.holds(os.getpid(), 9))

    def test_a_socket_that_is_shared(self) -> None:
        """
        A process that has inherited the listener is no stranger, though it has left the
        family.
        """
        pid, port = self.listener(
            sys.executable,
            "-c",
            "import subprocess;"
            + _LISTEN.replace(
                "print(",
                "s.set_inheritable(True);"
                "subprocess.run('setsid sleep 60 & echo $! >pid', shell=True,"
                " close_fds=False, stdin=subprocess.DEVNULL,"
                " stdout=subprocess.DEVNULL);"
                "print(",
            ),
        )
        self.addCleanup(os.kill, int(Path("pid").read_text()), signal.SIGKILL)
        self.assertIsNone(processes.port_conflict(pid, port))

    def test_gone(self) -> None:
        """
        A process that has ended listens on nothing.
        """
        with subprocess.Popen(["true"]) as child:
            pass
        said = processes.port_conflict(child.pid, 9)
        self.assertEqual(
            said, "the daemon itself does not listen on port 9; see its command"
        )

    def test_who_listens(self) -> None:
        """
        A process that can be looked into is named; else it is said how to find it.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            name = psutil.Process().name()
            said = f"process {os.getpid()}, {name!r}"
            self.assertEqual(processes.who_listens(port), said)
        self.assertEqual(processes.who_listens(port), f"`lsof -i :{port}` tells which")
