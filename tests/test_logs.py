"""
Logs: events as text and as JSON, and the file that they go to.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from errno import ENOSPC
from io import StringIO
from pathlib import Path
from socket import socketpair

from twisted.logger import Logger, LogPublisher, textFileLogObserver
from twisted.python.failure import Failure
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]
from twisted.trial.unittest import SynchronousTestCase

from swapgate.logs import EventLog, open_log_file
from tests.rig_twistd import TwistdCase


class Full(StringIO):
    """
    A file on a disk that is.
    """

    def flush(self) -> None:
        raise OSError(ENOSPC, "no space left on device")

    def close(self) -> None:
        """
        It stays open, and full.
        """


class EventLogTests(SynchronousTestCase):
    """
    One event after the other.
    """

    def setUp(self) -> None:
        self.file = StringIO()
        self.log = EventLog("text", self.file)
        self.logger = Logger("here", observer=self.log)

    def test_text(self) -> None:
        """
        The time, from whom, and what; further lines are indented.
        """
        self.logger.info("{a} is\n{b}", a=1, b="\x1b[2J\r\u2028\x00ä")
        said = self.file.getvalue()
        datetime.fromisoformat(said.split()[0])
        self.assertEqual(
            said.partition(" ")[2],
            "[here#info] 1 is\n\t\\x1b[2J\\r\\u2028\\x00ä\n",
        )

    def test_a_request(self) -> None:
        """
        The access log's lines go a shorter way than Twisted's, to the same end.
        """
        twisted_way = StringIO()
        also = textFileLogObserver(twisted_way)
        logger = Logger("here", observer=LogPublisher(self.log, also))
        logger.info("{log_line}", log_line="GET / 200", status=200)
        self.assertEqual(self.file.getvalue(), twisted_way.getvalue())

    def test_json(self) -> None:
        """
        One object a line, with what an event says of itself.
        """
        self.log.logformat = "json"
        self.logger.error("{a} is\n{b}", a=1, b="\x1b", c=1.5, d=object(), text="no")
        [line] = self.file.getvalue().splitlines()
        facts = json.loads(line)
        datetime.fromisoformat(facts.pop("time"))
        self.assertEqual(
            facts,
            {
                "level": "error",
                "from": "here",
                "text": "1 is\n\x1b",
                "a": 1,
                "b": "\x1b",
                "c": 1.5,
            },
        )

    def test_a_pipe_that_nobody_reads(self) -> None:
        """
        Is not waited for: what it cannot take is lost, and what comes later is not.
        """
        for ends in (os.pipe(), [end.detach() for end in socketpair()]):
            with os.fdopen(ends[0], "rb") as read, os.fdopen(ends[1], "w") as file:
                logger = Logger(observer=EventLog("text", file))
                self.assertFalse(os.get_blocking(ends[1]))
                os.set_blocking(ends[0], False)
                for number in range(20_000):
                    logger.info("event {number} of many", number=number)
                said = read.read()
                self.assertNotIn(b"event 19999 of many\n", said)
                logger.info("a later one")
                self.assertTrue(read.read().endswith(b"] a later one\n"))

    def test_a_failure(self) -> None:
        """
        Its traceback is there in both.
        """
        for form in ("text", "json"):
            self.log.logformat = form
            self.logger.failure("a bug", Failure(KeyError("spam")))
        text, _, as_json = self.file.getvalue().partition("\n{")
        self.assertIn("a bug\n\tTraceback", text)
        facts = json.loads("{" + as_json)
        self.assertEqual(facts["text"], "a bug")
        self.assertIn("KeyError: 'spam'", facts["failure"])

    def test_nothing_to_say(self) -> None:
        """
        Nothing is written.
        """
        for form in ("text", "json"):
            self.log.logformat = form
            self.logger.info("")
        self.assertEqual(self.file.getvalue(), "")

    def test_a_log_that_cannot_be_written(self) -> None:
        """
        Loses the event, and nothing else.
        """

        for file in (Full(), StringIO()):
            log = EventLog("text", file)
            file.close()
            Logger("here", observer=log).info("lost")


class LogFileTests(SynchronousTestCase):
    """
    What twistd logs to, by its own command line.
    """

    def setUp(self) -> None:
        self.calls: list[Callable[[], None]] = []
        before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def open(self, *argv: str) -> object:
        options = ServerOptions()
        options.parseOptions(argv)
        return open_log_file(options, self)

    def test_the_terminal(self) -> None:
        """
        In the foreground, unless a file is named.
        """
        self.assertIs(self.open("-n"), sys.stdout)
        self.assertIs(self.open("-n", "--logfile=-"), sys.stdout)

    def test_not_ours(self) -> None:
        """
        Syslog, an observer of the user's, and what twistd refuses.
        """
        self.assertIsNone(self.open("--syslog"))
        self.assertIsNone(self.open("--logger=twisted.logger.globalLogPublisher"))
        self.assertIsNone(self.open("--logfile=-"))

    def test_rotated(self) -> None:
        """
        A file is rotated at SIGUSR1, in the reactor's thread, and written on.
        """
        path = Path(self.mktemp())
        file = self.open("-n", f"--logfile={path}")
        logger = Logger("here", observer=EventLog("text", file))
        logger.info("first")
        signal.raise_signal(signal.SIGUSR1)
        [rotate] = self.calls
        rotate()
        logger.info("second")
        self.assertIn("first", path.with_suffix(".1").read_text())
        self.assertTrue(path.read_text().endswith("[here#info] second\n"))

    def test_a_handler_of_the_users(self) -> None:
        """
        Is left alone.
        """
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        self.open("-n", f"--logfile={self.mktemp()}")
        self.assertIs(signal.getsignal(signal.SIGUSR1), signal.SIG_IGN)

    def test_the_usual_file(self) -> None:
        """
        A daemon that is told nothing logs to twistd.log in its folder.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder)
        self.open()
        self.assertTrue(Path("twistd.log").exists())


class TwistdTests(TwistdCase):
    """
    A gateway under twistd.
    """

    def logged(self) -> list[dict[str, object]]:
        lines = [line for line in self.gateway.log.splitlines() if line[0] == "{"]
        return [json.loads(line) for line in lines]

    async def test_json(self) -> None:
        """
        Each line is an object, after a reload with another format too; a request is
        one, with its times.
        """
        text = self.text(a="--load-time 0.3")
        await self.serve(text)
        await self.ask("/health")
        self.assertEqual(self.logged(), [])
        in_json = text.replace("[swapgate]", "[swapgate]\nlogformat = json")
        self.config.write_text(in_json)
        self.gateway.signal("HUP")
        await self.gateway.until("is in effect")
        await self.chat("a")
        await self.gateway.until(r'"method": "POST"')
        await self.terminate()
        [request] = [facts for facts in self.logged() if "method" in facts]
        self.assertEqual(
            [request[name] for name in ("path", "status", "model")],
            ["/v1/chat/completions", 200, "a"],
        )
        self.assertGreaterEqual(float(str(request["load_s"])), 0.3)
        self.assertGreater(int(str(request["size"])), 0)

    async def test_the_command_line(self) -> None:
        """
        It has the last word.
        """
        self.shell = 'set -- "$@" --logformat json; exec'
        await self.serve(self.text(a=""))
        await self.ask("/health")
        await self.terminate()
        self.assertEqual(len(self.logged()), len(self.gateway.log.splitlines()))
        self.assertIn("/health", [facts.get("path") for facts in self.logged()])
