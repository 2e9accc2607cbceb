"""
etc/swapgate.cfg: three models on macOS, and each option for all of them explained.
"""

import re
from itertools import combinations

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.daemon_kinds import LaunchdSpec
from swapgate.config.expand import Expander
from swapgate.config.limits import Limits
from swapgate.config.loader import Config, read_config
from swapgate.config.model import ModelSpec
from swapgate.config.options import GENERAL, default, scoped
from swapgate.config.values import Upstream
from tests.browsers import BRAVE, CHROME, SAFARI, fields
from tests.gate import ROOT


class RealSetupTests(SynchronousTestCase):
    """
    Three models on macOS, as agents of launchd.
    """

    path = ROOT / "etc" / "swapgate.cfg"

    def read(self, text: str) -> Config:
        """
        `text` in the place of the real file.
        """
        return read_config(
            text,
            path=str(self.path),
            environ={"HOME": "/home/me", "SWAPGATE_KEY": "sk-1-0123456789ab"},
            python="/bin/py",
            platform="darwin",
        )

    def test_three_models(self) -> None:
        """
        Three launchd agents and the names that the browsers send.
        """
        config = self.read(self.path.read_text("utf-8"))
        self.assertEqual(config.listen, ("tcp:11430:interface=127.0.0.1",))
        self.assertEqual(config.budget_bytes, 21_800_000_000)
        agents = self.path.parent / "launchd"
        self.assertEqual(
            config.models,
            tuple(
                ModelSpec(
                    name=name,
                    aliases=aliases,
                    memory_bytes=memory,
                    service=LaunchdSpec(plist=f"{agents}/local.llama.{agent}.plist"),
                    upstream=Upstream(scheme="http", host="127.0.0.1", port=port),
                    snapshot_dir=f"{config.state_dir}/slots/{agent}",
                )
                for name, aliases, memory, agent, port in (
                    (
                        "gemma-4-e4b",
                        ("model.gguf", "gemma"),
                        8_200_000_000,
                        "gemma4",
                        8081,
                    ),
                    ("qwen2.5-14b", ("Qwen 2.5",), 15_200_000_000, "qwen25", 8082),
                    ("phi-4-14b", ("phi-4",), 15_200_000_000, "phi4", 8083),
                )
            ),
        )
        self.assertEqual(config.shutdown_timeout_s, 15.0)
        self.assertEqual(
            config.state_dir, "/home/me/Library/Application Support/swapgate"
        )

    def test_one_at_a_time(self) -> None:
        """
        Each model fits, and no two do.
        """
        config = self.read(self.path.read_text("utf-8"))
        sizes = [model.memory_bytes for model in config.models]
        self.assertLessEqual(max(sizes), config.budget_bytes)
        for pair in combinations(sizes, 2):
            self.assertGreater(sum(pair), config.budget_bytes)

    def test_each_browser_has_a_model(self) -> None:
        """
        By what it really sends; everybody else has none but by name.
        """
        routing = self.read(self.path.read_text("utf-8")).routing
        for browser, model in (
            (BRAVE, "gemma-4-e4b"),
            (CHROME, "qwen2.5-14b"),
            (SAFARI, "phi-4-14b"),
        ):
            self.assertEqual(routing.model_for(fields(browser)), model)
        self.assertIsNone(routing.model_for({}))

    def test_examples_in_comments(self) -> None:
        """
        What stands there commented out is right too.
        """
        lines = self.path.read_text("utf-8").splitlines()
        options = tuple(f"# {name} =" for name in scoped(GENERAL))
        start = lines.index("# [model tiny]")
        text = "\n".join(
            line.removeprefix("# ") if n >= start or line.startswith(options) else line
            for n, line in enumerate(lines)
        )
        text = text.replace("\n#\nWithout an", "\n#\n# Without an")
        config = self.read(text[: text.index("# Without an")])
        self.assertEqual(config.names["tiny"], "tiny")
        self.assertEqual(
            config.state_dir, "/home/me/Library/Application Support/swapgate"
        )
        self.assertEqual(
            config.access.key_files, (f"{self.path.parent}/swapgate.keys",)
        )
        self.assertEqual([key.name for key in config.access.keys], ["SWAPGATE_KEY"])
        self.assertEqual(config.access.hosts, {"box.lan"})
        self.assertEqual(len(config.access.origins), 2)
        self.assertTrue(config.access.models_need_key)
        self.assertEqual(config.routing.default_model, "gemma-4-e4b")
        self.assertEqual(config.models[1].extra_paths, {"/v1/tomorrow", "/api/chat"})
        self.assertEqual(config.models[0].first_token_timeout_s, 300.0)
        self.assertEqual(config.limits, Limits(max_connections_per_address=256))

    def test_defaults(self) -> None:
        """
        Each option of [swapgate] stands here, set or commented out, with its default
        if it has one.
        """
        text = self.path.read_text("utf-8")
        expander = Expander(folder="/", python="", environ={})
        for name, option in scoped(GENERAL).items():
            [value] = re.findall(rf"(?m)^(?:# )?{name} = (.*)$", text)
            if isinstance(option.default, str):
                said = option.type.reading(expander, value)
                self.assertEqual(said, default(name), name)
