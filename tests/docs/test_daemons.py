"""
What docs/daemons.md promises: examples that are right, and that work.
"""

import re
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from swapgate.config.daemon_kinds import (
    ChildSpec,
    CommandSpec,
)
from swapgate.config.loader import Config, read_config
from swapgate.config.options import KINDS, scoped
from swapgate.daemons.command import Commands
from swapgate.daemons.control import port_answers
from swapgate.daemons.external import ExternalDaemon
from swapgate.engine.options import _OPTIONS, parse
from tests.doubles import owner
from tests.gate import ROOT
from tests.ports import free_port
from tests.stand_ins import StandIns

PAGE = ROOT / "docs" / "daemons.md"
TEXT = PAGE.read_text("utf-8")


def read(text: str) -> Config:
    return read_config(
        text,
        path="/etc/swapgate.cfg",
        environ={"HOME": "/home/me"},
        python="/bin/py",
        platform="linux",
    )


def examples() -> list[str]:
    found: list[str] = re.findall(
        r"^```ini\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    )
    return found


class PageTests(SynchronousTestCase):
    """
    What can be read from the page.
    """

    def test_examples(self) -> None:
        """
        Each is a section that holds, and together they are a configuration.
        """
        kinds = [read(text).models[0].service for text in examples()]
        self.assertEqual(
            [type(kind).__name__ for kind in kinds],
            [
                "ChildSpec",
                "ChildSpec",
                "LaunchdSpec",
                "SystemdSpec",
                "CommandSpec",
                "CommandSpec",
                "RemoteSpec",
                "RemoteSpec",
                "RemoteSpec",
                "RemoteSpec",
            ],
        )
        self.assertEqual(len(read("\n".join(examples())).models), len(kinds))

    def test_the_engines_options(self) -> None:
        """
        Those that are named are those that it takes, and its example is right.
        """
        part = TEXT.partition("### Without a llama-server\n")[2].partition("\n## ")[0]
        named = part.partition("no\nother: ")[2].partition(". Variables")[0]
        options = re.findall(r"`(-[a-z-]+)`", named)
        known = {name: option for option in _OPTIONS for name in option.names}
        self.assertEqual({known[name] for name in options}, set(_OPTIONS))
        self.assertEqual(len(options), len(_OPTIONS))
        [example] = [each for each in examples() if "swapgate.engine" in each]
        [spec] = read(example).models
        assert isinstance(spec.service, ChildSpec)
        python, *words = spec.service.command.argv(8081)
        self.assertEqual([python, *words[:2]], ["/bin/py", "-m", "swapgate.engine"])
        self.assertEqual(parse(words[2:])["port"], 8081)

    def test_every_option(self) -> None:
        """
        None is left out.
        """
        for kind in KINDS:
            self.assertIn(f"\n## {kind}\n", TEXT)
            for option in scoped(kind):
                self.assertIn(f"`{option}", TEXT)


class CommandExampleTests(TestCase):
    """
    The examples with commands, word for word, on another port.
    """

    timeout = 120

    async def test_they_run(self) -> None:
        """
        Each brings its daemon up, and down again.
        """
        tools = StandIns(Path(self.mktemp()).absolute())
        self.addCleanup(tools.sweep)
        ran = 0
        for example in examples():
            if "service = command" not in example:
                continue
            port = free_port()
            local = f"upstream = http://127.0.0.1:{port}"
            [spec] = read(re.sub(r"upstream = .*", local, example)).models
            assert isinstance(spec.service, CommandSpec)
            name = spec.service.start.words[2].removeprefix("deployment/")
            tools.unit(name, port)
            control = Commands(spec, spec.service, reactor, tools.environ)
            daemon = ExternalDaemon(spec, control, reactor)
            gone: Deferred[str] = Deferred()
            daemon.launch(owner(gone.callback))
            while not await port_answers(daemon.upstream, reactor):
                await deferLater(reactor, 0.01)
            daemon.halt()
            self.assertEqual(await gone, "was stopped")
            self.assertEqual(tools.told()[-1]["what"], "exited")
            ran += 1
        self.assertEqual(ran, 2)
