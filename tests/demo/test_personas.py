"""
The demo's children: the command line, and one process from end to end.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import swapgate
from swapgate.demo import DemoError
from swapgate.demo.__main__ import (
    ENGINE_OPTIONS,
    PERSONAS,
    TEMPLATES,
    persona_of,
    run,
)
from swapgate.demo.weights import NAME, SHA256, cache_folder, stamp
from swapgate.engine.options import parse
from tests.demo_rig import MODEL, executable, folder_of, one_line


class PersonaTests(SynchronousTestCase):
    """
    The command line: a persona, then what is the engine's.
    """

    def test_the_rest_is_the_engines(self) -> None:
        """
        Everything after the persona is passed on as it stands.
        """
        self.assertEqual(
            persona_of(["--persona", "general", "--port", "8081", "--alias", "a b"]),
            ("general", ["--port", "8081", "--alias", "a b"]),
        )

    def test_unknown(self) -> None:
        """
        No persona, or one that there is not, is one line that names those there are.
        """
        for arguments in [[], ["--persona"], ["--persona", "poet"], ["--port", "1"]]:
            with self.assertRaises(DemoError) as caught:
                persona_of(arguments)
            self.assertIn(
                "--persona general|japanese|programming",
                one_line(self, caught.exception),
            )

    def test_each_has_its_template(self) -> None:
        """
        Every persona's template ships, and no template is without its persona.
        """
        self.assertEqual(
            {path.name for path in TEMPLATES.iterdir()},
            {f"{name}.jinja" for name in PERSONAS},
        )


class LaunchCase(SynchronousTestCase):
    """
    A machine with an engine on PATH and a warm cache.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.engine = executable(self.folder / "bin/llama-server")
        self.environ = {
            "PATH": str(self.engine.parent),
            "XDG_CACHE_HOME": str(self.folder),
            "HOME": str(self.folder),
        }
        cache = cache_folder(self.environ, sys.platform)
        cache.mkdir(parents=True)
        self.weights = cache / NAME
        self.weights.write_bytes(MODEL)
        # As if joined and verified long ago: these tests need no real model.
        mark = stamp(self.weights, SHA256)
        (cache / f"{NAME}.verified").write_text(mark)
        self.addCleanup(signal.signal, signal.SIGPIPE, signal.getsignal(signal.SIGPIPE))

    def options(self, persona: str, *more: str) -> list[str]:
        """
        What an engine is told for this persona.
        """
        return [
            *("-m", str(self.weights)),
            *("--chat-template-file", str(TEMPLATES / f"{persona}.jinja")),
            *ENGINE_OPTIONS,
            *more,
        ]


class RunTests(LaunchCase):
    """
    Which engine is told what, and what is said when that fails.
    """

    def test_our_engine(self) -> None:
        """
        Where it is installed it serves in this process, whatever is on PATH.
        """
        told: list[Sequence[str]] = []
        run(
            ["--persona", "japanese", "--port", "8081", "--alias", "demo-qwen"],
            self.environ,
            installed=True,
            serve=told.append,
            execute=lambda *_: self.fail("no exec is needed"),
        )
        more = ("--port", "8081", "--alias", "demo-qwen")
        self.assertEqual(told, [self.options("japanese", *more)])

    def test_our_engine_takes_the_options(self) -> None:
        """
        Each is one that swapgate.engine has.
        """
        settings = parse(self.options("general", "--port", "8081", "--alias", "a"))
        self.assertEqual(settings["antiprompt"], ("\n",))
        self.assertEqual(settings["n_predict"], 64)

    def test_exec(self) -> None:
        """
        Where it is missing the llama-server on PATH is told the same.
        """
        calls: list[tuple[Path, list[str], dict[str, str]]] = []
        run(
            ["--persona", "japanese", "--port", "8081", "--alias", "demo-qwen"],
            self.environ,
            installed=False,
            serve=self.fail,
            execute=lambda *call: calls.append(call),
        )
        [(path, argv, environ)] = calls
        self.assertEqual(path, self.engine)
        more = ("--port", "8081", "--alias", "demo-qwen")
        self.assertEqual(argv, [str(self.engine), *self.options("japanese", *more)])
        self.assertEqual(environ, {**self.environ, "LLAMA_ARG_FIT": "off"})

    def test_sigpipe(self) -> None:
        """
        A llama-server does not inherit that Python ignores SIGPIPE.
        """
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        run(
            ["--persona", "general"],
            self.environ,
            installed=False,
            execute=lambda *_: None,
        )
        self.assertEqual(signal.getsignal(signal.SIGPIPE), signal.SIG_DFL)

    def test_users_variables_win(self) -> None:
        """
        A variable that the config passes on is stronger than the demo's own.
        """
        calls: list[tuple[Path, list[str], dict[str, str]]] = []
        run(
            ["--persona", "general"],
            {**self.environ, "LLAMA_ARG_FIT": "on"},
            installed=False,
            execute=lambda *call: calls.append(call),
        )
        self.assertEqual(calls[0][2]["LLAMA_ARG_FIT"], "on")

    def test_exec_fails(self) -> None:
        """
        A file that is no program for this machine is one line with its path.
        """
        executable(self.engine, "\x7fELF and then nothing of the kind")
        with self.assertRaises(DemoError) as caught:
            run(["--persona", "general"], self.environ, installed=False)
        text = one_line(self, caught.exception)
        self.assertIn(f"{self.engine} does not start: Exec format error", text)


class ProcessTests(LaunchCase):
    """
    The module as the gateway starts it: a real process.
    """

    def launch(self, *arguments: str) -> tuple[subprocess.Popen[str], str, str]:
        root = str(Path(swapgate.__file__).parent.parent)
        child = subprocess.Popen(
            [sys.executable, "-m", "swapgate.demo", *arguments],
            env={**self.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said, complained = child.communicate(timeout=30)
        return child, said, complained

    def test_last_words(self) -> None:
        """
        What the user has to put right is one line on stderr, and the status not zero.
        """
        for mistake in (["--persona", "poet"], ["--persona", "general", "--colour"]):
            # With the extra our engine says it, without it the llama-server.
            executable(
                self.engine,
                '#!/bin/sh\necho "swapgate demo: there is no option" >&2\nexit 1\n',
            )
            child, said, complained = self.launch(*mistake)
            self.assertEqual((child.returncode, said), (1, ""))
            self.assertEqual(len(complained.splitlines()), 1, complained)
            self.assertRegex(complained, "^swapgate demo: (usage: |there is no option)")

    def test_imports_next_to_nothing(self) -> None:
        """
        Neither Twisted nor attrs is loaded on the way to the engine.
        """
        code = (
            "import sys, swapgate.demo.__main__;"
            "print(*{name.partition('.')[0] for name in sys.modules})"
        )
        root = str(Path(swapgate.__file__).parent.parent)
        loaded = subprocess.run(
            [sys.executable, "-c", code],
            env={**self.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout.split()
        self.assertIn("swapgate", loaded)
        heavies = ("twisted", "attrs", "attr", "asyncio", "hashlib", "xllamacpp")
        for heavy in heavies:
            self.assertNotIn(heavy, loaded)
