"""
What docs/clients.md promises: examples that are right.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import Config
from tests.browsers import BRAVE, CHROME, SAFARI, fields
from tests.config.test_loader import MODEL, read
from tests.gate import ROOT
from tests.rig import Answer, RigCase
from tests.rig_twistd import TwistdCase

TEXT = (ROOT / "docs" / "clients.md").read_text("utf-8")
NAMES = ("gemma-4-e4b", "qwen2.5-14b", "phi-4-14b")


# The stand-in knows no API but OpenAI's.
STAND_IN_SPEAKS = ("openai", "ollama")


def examples(kind: str) -> list[str]:
    """
    The blocks of this language.
    """
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def configurations() -> list[Config]:
    models = "".join(MODEL.replace("[model a]", f"[model {name}]") for name in NAMES)
    return [read(example + models) for example in examples("ini")]


def run(*argv: str) -> tuple[int, str]:
    """
    Run this to its end: its status, and what it wrote.
    """
    done = subprocess.run(
        argv,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


class PageTests(SynchronousTestCase):
    """
    What can be read from the page.
    """

    def test_examples(self) -> None:
        """
        A second port, rules, apps, a container on macOS, and one on Linux.
        """
        second, rules, apps, mac, linux = configurations()
        ports = [re.findall(r"tcp:(\d+):", endpoint) for endpoint in second.listen]
        self.assertEqual(ports, [["11430"], ["11434"]])
        browsers = (BRAVE, CHROME, SAFARI)
        chosen = [rules.routing.model_for(fields(each)) for each in browsers]
        self.assertEqual(chosen, [*NAMES])
        self.assertEqual(rules.routing.model_for({}), NAMES[0])
        self.assertEqual(
            apps.access.origins,
            {"app://obsidian.md", "tauri://localhost", "vscode-webview://*"},
        )
        for config in (mac, linux):
            self.assertEqual(config.access.hosts, {"host.docker.internal"})
        self.assertEqual(len(linux.listen), 2)

    def test_what_browsers_send(self) -> None:
        """
        The table has the brands and versions of the headers that the tests have.
        """
        for browser, name in ((BRAVE, "Brave"), (CHROME, "Google Chrome")):
            self.assertIn(f'`"{name}"`', TEXT)
            self.assertIn(f'"{name}";v=', browser["Sec-CH-UA"])
        self.assertIn(f"`{' '.join(SAFARI['User-Agent'].split()[-2:])}`", TEXT)
        self.assertIn(f"`{' '.join(CHROME['User-Agent'].split()[-2:])}`", TEXT)

    def test_other_formats(self) -> None:
        """
        JSON and TOML are what they claim to be, and Python can be compiled.
        """
        compatible, by_ollama, copilot = map(json.loads, examples("json"))
        providers = compatible["language_models"]["openai_compatible"]
        self.assertEqual(providers["swapgate"]["api_url"], "http://127.0.0.1:11430/v1")
        settings = by_ollama["language_models"]["ollama"]
        self.assertEqual(settings["api_url"], "http://127.0.0.1:11430")
        [provider] = copilot
        self.assertEqual(provider["vendor"], "customendpoint")
        [codex] = map(tomllib.loads, examples("toml"))
        self.assertIn(codex["model_provider"], codex["model_providers"])
        for number, program in enumerate(examples("python")):
            compile(program, f"example {number}", "exec")

    def test_addresses(self) -> None:
        """
        Each is the gateway's, with a path that it answers, or one that is explained.
        """
        found = set(re.findall(r"http://127\.0\.0\.1:(\d+)([a-z0-9/]*)", TEXT))
        self.assertEqual({port for port, _ in found}, {"11430", "11434"})
        paths = {path.removeprefix("/v1") for _, path in found}
        ollama = {f"/api/{name}" for name in ("tags", "show", "chat", "generate")}
        chats = {"/chat/completions", "/messages", "/responses"}
        self.assertEqual(paths, {"", "/models", "/infill", *chats, *ollama})

    def test_links(self) -> None:
        """
        Those within the page lead somewhere.
        """
        titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
        anchors = {
            re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
            for title in titles
        }
        for link in re.findall(r"\]\(#([^)]*)\)", TEXT):
            self.assertIn(link, anchors)


class RunTests(TwistdCase):
    """
    Examples that are run as they are, but for the port.
    """

    # Two, which may not be the same text.
    listen = ("tcp:0:interface=127.0.0.1", "tcp:port=0:interface=127.0.0.1")
    timeout = 60

    async def begin(self) -> None:
        await self.serve(self.text(**{"qwen2.5-14b": ""}))

    def local(self, text: str, port: str) -> str:
        return text.replace("127.0.0.1:11430", f"127.0.0.1:{port}")

    async def test_curl(self) -> None:
        """
        Each line is answered, on both ports.
        """
        await self.begin()
        [block] = [text for text in examples("sh") if "curl" in text]
        commands = block.strip().split("\n\n")
        self.assertEqual(len(commands), 9)
        for port in self.ports:
            for command in commands:
                line = f"{self.local(command, port)} -sS -w '\\n%{{http_code}}'"
                status, said = await deferToThread(run, "/bin/sh", "-c", line)
                answer, _, code = said.rpartition("\n")
                self.assertEqual((status, code), (0, "200"), said)
                if '"messages"' in command and "-N" not in command:
                    self.assertIn("Paris.", answer)
                if "-N" in command:
                    self.assertIn(
                        "[DONE]" if "/v1" in command else '"done":true', answer
                    )
        await self.terminate()

    async def test_python(self) -> None:
        """
        Each program prints its answer, where its package is installed.
        """
        await self.begin()
        ran = []
        for program in examples("python"):
            [package] = re.findall(r"^from (\w+) import", program)
            if package not in STAND_IN_SPEAKS or find_spec(package) is None:
                continue
            local = self.local(program, self.ports[0])
            # Some leave a socket to the garbage collector.
            quiet = (sys.executable, "-W", "ignore", "-c", local)
            status, said = await deferToThread(run, *quiet)
            self.assertEqual((status, said.strip()), (0, "Paris."), said)
            ran.append(package)
        self.assertIn("openai", ran)
        await self.terminate()


class ErrorTests(RigCase):
    """
    The table of errors: a load fails after its client was told of the wait.
    """

    general = "keepalive = 100 ms"
    timeout = 60

    async def test_rows(self) -> None:
        """
        Each path of the table: 200, the wait and the error as it says, a proper end.
        """
        part = TEXT.partition("## What is seen of a wait, and of an error\n")[2]
        rows = re.findall(r"^\| (`/.*?) \| (.*?) \| .*?`(.*?)`", part, re.MULTILINE)
        wanted = [
            (path, wait, error)
            for paths, wait, error in rows
            for path in re.findall(r"`(.*?)`", paths)
        ]
        self.assertEqual(len(wanted), 6)
        names = [f"m{number}" for number in range(len(wanted))]
        self.memory = dict.fromkeys(names, "1 GB")
        await self.start(**dict.fromkeys(names, "--load-time 9 --exit-after 1"))
        body = {"stream": True, "prompt": "?"}
        body["messages"] = [{"role": "user", "content": "?"}]
        asked = [
            Deferred.fromCoroutine(self.ask(path, {"model": name, **body}))
            for name, (path, _, _) in zip(names, wanted, strict=True)
        ]
        answers: list[Answer] = await gatherResults(asked)
        for (path, wait, error), answer in zip(wanted, answers, strict=True):
            with self.subTest(path=path):
                first, *_, last = filter(None, answer.body.decode().split("\n"))
                self.assertEqual(answer.status, 200)
                self.assertEqual(first.startswith(":"), wait == "a comment")
                if error.startswith("event"):
                    self.assertIn(f"\n{error}\n", answer.body.decode())
                else:
                    self.assertTrue(last.startswith(error.partition(":")[0]), last)
                self.assertIn("could not be loaded", last)
