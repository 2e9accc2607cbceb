"""
What etc/launchd and docs/macos.md promise: agents that go with etc/swapgate.cfg.
"""

import os
import plistlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from swapgate import tap
from swapgate.config.daemon_kinds import LaunchdSpec
from swapgate.config.limits import Limits
from swapgate.config.loader import Config, read_config
from swapgate.config.model import ModelSpec
from swapgate.descriptors import needed
from tests.gate import ROOT

ETC = ROOT / "etc"
GATEWAY = ETC / "launchd" / "local.swapgate.plist"
PAGE = ROOT / "docs" / "macos.md"


def plist(path: Path) -> dict[str, Any]:
    """
    What launchd would read there.
    """
    with path.open("rb") as file:
        facts: dict[str, Any] = plistlib.load(file)
    return facts


def config(folder: Path) -> Config:
    """
    The real setup, as it is in `folder`.
    """
    path = folder / "swapgate.cfg"
    return read_config(
        path.read_text("utf-8"),
        path=str(path),
        environ={"HOME": "/Users/YOU"},
        python=sys.executable,
        platform="darwin",
    )


def agent(model: ModelSpec) -> Path:
    """
    The plist of a model.
    """
    assert isinstance(model.service, LaunchdSpec)
    return Path(model.service.plist)


def blocks() -> list[str]:
    """
    The commands that the page shows, a string for each block.
    """
    found = re.findall(r"(?:^    .*\n)+", PAGE.read_text("utf-8"), re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in found]


class AgentTests(SynchronousTestCase):
    """
    The plists, as they are shipped.
    """

    def test_labels_and_paths(self) -> None:
        """
        A label is its file's name; each path is absolute, its user a placeholder.
        """
        files = sorted((ETC / "launchd").iterdir())
        models = {agent(model) for model in config(ETC).models}
        self.assertEqual(set(files), {GATEWAY, *models})
        for path in files:
            facts = plist(path)
            self.assertEqual(f"{facts['Label']}.plist", path.name)
            for key in ("StandardOutPath", "StandardErrorPath"):
                self.assertRegex(facts[key], r"^/Users/YOU/Library/Logs/swapgate/\w")
            self.assertTrue(facts["ProgramArguments"][0].startswith("/"), path)
            for home in re.findall(r"/Users/\w+", path.read_text("utf-8")):
                self.assertEqual(home, "/Users/YOU")
            self.assertEqual((facts["RunAtLoad"], facts["KeepAlive"]), (True, True))
            self.assertGreaterEqual(facts["ThrottleInterval"], 1)

    def test_models(self) -> None:
        """
        Each listens where the gateway asks for it, under its name in the configuration,
        and is ended by launchd before the gateway would have to.
        """
        for model in config(ETC).models:
            facts = plist(agent(model))
            program, *words = facts["ProgramArguments"]
            options = dict(zip(words[::2], words[1::2], strict=True))
            assert model.upstream is not None
            self.assertEqual(program, "/opt/homebrew/bin/llama-server")
            self.assertEqual(options["--port"], str(model.upstream.port))
            self.assertEqual(options["--host"], model.upstream.host)
            self.assertEqual(options["--alias"], model.name)
            self.assertEqual(options["--model"], f"/Users/YOU/models/{model.name}.gguf")
            self.assertIn(f"`{model.name}.gguf`", PAGE.read_text("utf-8"))
            self.assertLess(facts["ExitTimeOut"], model.stop_timeout_s)

    def test_gateway(self) -> None:
        """
        It stays in the foreground, and has the time and the files that it needs.
        """
        facts = plist(GATEWAY)
        twistd, *words = facts["ProgramArguments"]
        self.assertTrue(twistd.endswith("/.venv/bin/twistd"))
        options = ServerOptions()
        options.parseOptions(words[: words.index("swapgate")])
        self.assertTrue(options["nodaemon"])
        self.assertEqual((options["pidfile"], options["logfile"]), ("", "-"))
        self.assertGreaterEqual(
            facts["ExitTimeOut"], config(ETC).shutdown_timeout_s + 5
        )
        for kind in ("SoftResourceLimits", "HardResourceLimits"):
            files = facts[kind]["NumberOfFiles"]
            self.assertGreaterEqual(files, needed(Limits().max_connections))
        path = facts["EnvironmentVariables"]["PATH"].split(":")
        self.assertLessEqual({"/bin", "/usr/bin", "/opt/homebrew/bin"}, {*path})


class PageTests(SynchronousTestCase):
    """
    docs/macos.md, as far as it can be followed on any machine.
    """

    def setUp(self) -> None:
        """
        A home folder with a space in its name, in which step 3 has been done.
        """
        self.home = Path(self.mktemp(), "a home").absolute()
        self.home.mkdir(parents=True)
        (self.home / "swapgate").symlink_to(ROOT)
        [step] = [block for block in blocks() if "sed " in block]
        subprocess.run(
            ["/bin/sh", "-euc", step],
            env={"HOME": str(self.home), "PATH": os.defpath},
            check=True,
        )
        self.folder = self.home / "Library" / "Application Support" / "swapgate"
        self.agents = self.home / "Library" / "LaunchAgents"

    def test_placeholders_are_filled(self) -> None:
        """
        Nothing is left to fill in, and nothing lies about.
        """
        filled = [*self.agents.iterdir(), *(self.folder / "launchd").iterdir()]
        self.assertEqual(len(filled), 4)
        for path in filled:
            self.assertNotIn("YOU", path.read_text("utf-8").partition("<dict>")[2])
            facts = plist(path)
            self.assertTrue(Path(facts["StandardOutPath"]).parent.is_dir())
            self.assertTrue(Path(facts["StandardErrorPath"]).parent.is_dir())

    def test_only_the_gateway_starts_at_login(self) -> None:
        """
        The models' agents are where the configuration says, and macOS does not look.
        """
        self.assertEqual([each.name for each in self.agents.iterdir()], [GATEWAY.name])
        for model in config(self.folder).models:
            self.assertTrue(agent(model).is_file(), model.name)
            self.assertEqual(agent(model).parent, self.folder / "launchd")

    def test_gateway_finds_its_configuration(self) -> None:
        """
        swapgate understands the agent's words after twistd's own.
        """
        words = plist(self.agents / GATEWAY.name)["ProgramArguments"]
        options = tap.Options()
        # Only checked: a gateway may run with this user's state folder.
        with self.assertRaises(SystemExit) as ended:
            options.parseOptions([*words[words.index("swapgate") + 1 :], "--check"])
        self.assertEqual(ended.exception.code, 0)
        self.assertEqual(options.parsed.path, str(self.folder / "swapgate.cfg"))
        self.assertEqual(len(options.parsed.models), 3)

    def test_commands(self) -> None:
        """
        Each block is shell; labels, ports and files in them are those there are.
        """
        text = "".join(blocks())
        subprocess.run(["/bin/sh", "-n"], input=text.encode(), check=True)
        labels = {path.stem for path in (ETC / "launchd").iterdir()}
        self.assertEqual(set(re.findall(r"gui/\$\(id -u\)/([\w.]+)", text)), labels)
        for name in re.findall(r"\betc/[\w./]+\.(?:cfg|plist)", text):
            self.assertTrue((ROOT / name).is_file(), name)
        [listen] = config(ETC).listen
        ports = re.findall(r"127\.0\.0\.1:(\d+)", PAGE.read_text("utf-8"))
        self.assertEqual({*ports}, {listen.split(":")[1]})
        for model in re.findall(r'"model": "(.*?)"', text):
            self.assertIn(model, config(ETC).names)
