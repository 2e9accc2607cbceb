"""
The demo's children: engine found, model joined, and one process from end to end.
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr
from io import StringIO
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
from swapgate.demo.engine import INSTALL, find_engine, packaged_folder
from swapgate.demo.weights import (
    NAME,
    SHA256,
    assemble_packaged,
    cache_folder,
    ready_weights,
    stamp,
)

MODEL = b"GGUF and two hundred and fifty million bytes more"
MODEL_SHA256 = hashlib.sha256(MODEL).hexdigest()


def folder_of(case: SynchronousTestCase) -> Path:
    folder = Path(case.mktemp()).absolute()
    folder.mkdir(parents=True)
    return folder


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def one_line(case: SynchronousTestCase, error: DemoError) -> str:
    """
    The error's text, which must stand in one line to be a child's last words.
    """
    text = str(error)
    case.assertEqual(len(text.splitlines()), 1)
    return text


class EngineTests(SynchronousTestCase):
    """
    The llama-server on PATH wins; the packaged one brings its libraries' folder.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.packaged = executable(self.folder / "package/llama-server").parent

    def test_first_on_path(self) -> None:
        """
        The first on PATH is taken, with the environment as it was.
        """
        (self.folder / "a").mkdir()
        first = executable(self.folder / "b/llama-server")
        executable(self.folder / "c/llama-server")
        path = os.pathsep.join(str(self.folder / name) for name in "abc")
        self.assertEqual(
            find_engine({"PATH": path, "HOME": "/h"}, self.packaged, "linux", "x86_64"),
            (first, {"PATH": path, "HOME": "/h"}),
        )

    def test_only_what_runs(self) -> None:
        """
        Folders, and files that may not be executed, are passed over.
        """
        (self.folder / "a/llama-server").mkdir(parents=True)
        executable(self.folder / "b/llama-server").chmod(0o644)
        path = os.pathsep.join(str(self.folder / name) for name in "ab")
        engine, _ = find_engine({"PATH": path}, self.packaged, "linux", "x86_64")
        self.assertEqual(engine, self.packaged / "llama-server")

    def test_not_from_the_working_folder(self) -> None:
        """
        An empty entry in PATH does not run whatever lies in the current folder.
        """
        here = Path.cwd()
        executable(self.folder / "llama-server")
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)
        with self.assertRaises(DemoError):
            find_engine({"PATH": ""}, None, "linux", "x86_64")

    def test_packaged(self) -> None:
        """
        The packaged engine finds the libraries beside it.
        """
        self.assertEqual(
            find_engine({"PATH": "/nowhere"}, self.packaged, "linux", "x86_64"),
            (
                self.packaged / "llama-server",
                {"PATH": "/nowhere", "LD_LIBRARY_PATH": str(self.packaged)},
            ),
        )

    def test_none(self) -> None:
        """
        Without an engine one line says what to install here.
        """
        for system, machine, remedy in [
            ("darwin", "arm64", "brew install llama.cpp"),
            ("linux", "x86_64", INSTALL),
            ("linux", "aarch64", "build llama.cpp and put its llama-server on PATH"),
        ]:
            with self.assertRaises(DemoError) as caught:
                find_engine({"PATH": "/nowhere"}, self.folder / "gone", system, machine)
            text = one_line(self, caught.exception)
            self.assertIn("no llama-server on PATH", text)
            self.assertIn(remedy, text)

    def test_package_is_found_without_import(self) -> None:
        """
        A package's binaries lie in its bin folder; a missing package is None.
        """
        self.assertEqual(
            packaged_folder("swapgate"), Path(swapgate.__file__).parent / "bin"
        )
        self.assertIsNone(packaged_folder("no_such_package_at_all"))


class CacheFolderTests(SynchronousTestCase):
    """
    The joined model lies where the platform keeps what can be made again.
    """

    def test_by_platform(self) -> None:
        """
        XDG_CACHE_HOME when it is absolute, ~/.cache, ~/Library/Caches on macOS.
        """
        for environ, system, folder in [
            ({"HOME": "/h"}, "linux", "/h/.cache/swapgate"),
            ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", "/x/swapgate"),
            ({"HOME": "/h", "XDG_CACHE_HOME": "x"}, "linux", "/h/.cache/swapgate"),
            ({"XDG_CACHE_HOME": "/x"}, "linux", "/x/swapgate"),
            ({"HOME": "/h"}, "darwin", "/h/Library/Caches/swapgate"),
        ]:
            self.assertEqual(cache_folder(environ, system), Path(folder))

    def test_homeless(self) -> None:
        """
        Without any of them one line names the variables.
        """
        with self.assertRaises(DemoError) as caught:
            cache_folder({}, "linux")
        self.assertIn(
            "neither HOME nor XDG_CACHE_HOME", one_line(self, caught.exception)
        )


class WeightsTests(SynchronousTestCase):
    """
    The model is joined once, whole or not at all.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self) / "cache"
        self.joined = 0

    def assemble(self, target: Path) -> None:
        self.joined += 1
        target.write_bytes(MODEL)

    def ready(self) -> Path:
        return ready_weights(self.folder, self.assemble, MODEL_SHA256)

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def test_joined_once(self) -> None:
        """
        The first launch joins the model, the second finds it; nothing else is left.
        """
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertEqual(self.ready(), self.folder / NAME)
        self.assertEqual(self.joined, 1)
        self.assertEqual(self.left(), {NAME, f"{NAME}.lock", f"{NAME}.verified"})

    def test_warm_launch_reads_no_model(self) -> None:
        """
        With its marker in place the file is not read again: an unreadable one passes.
        """
        self.folder.mkdir()
        (self.folder / NAME).write_bytes(b"as long as the marker says so")
        mark = stamp(self.folder / NAME, MODEL_SHA256)
        (self.folder / f"{NAME}.verified").write_text(mark)
        self.ready()
        self.assertEqual(self.joined, 0)

    def test_without_marker(self) -> None:
        """
        A whole file whose marker is lost is hashed, kept, and marked again.
        """
        self.ready()
        (self.folder / f"{NAME}.verified").unlink()
        self.ready()
        self.assertEqual(self.joined, 1)
        self.assertIn(f"{NAME}.verified", self.left())

    def test_truncated(self) -> None:
        """
        A file cut short since it was verified is replaced, whatever its time.
        """
        target = self.ready()
        verified = target.stat().st_mtime_ns
        target.write_bytes(MODEL[:10])
        os.utime(target, ns=(verified, verified))
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertEqual(self.joined, 2)

    def test_corrupt(self) -> None:
        """
        A file of the right length with other bytes and another time is replaced.
        """
        target = self.ready()
        changed = target.stat().st_mtime_ns + 1
        target.write_bytes(MODEL[::-1])
        os.utime(target, ns=(changed, changed))
        self.assertEqual(self.ready().read_bytes(), MODEL)

    def test_another_model(self) -> None:
        """
        A marker for another sha256, left by an older demo, counts for nothing.
        """
        self.ready()
        other = hashlib.sha256(b"new").hexdigest()

        def assemble(target: Path) -> None:
            target.write_bytes(b"new")

        target = ready_weights(self.folder, assemble, other)
        self.assertEqual(target.read_bytes(), b"new")

    def test_left_over_part(self) -> None:
        """
        What a killed join left behind does not end up in the model.
        """
        self.folder.mkdir()
        (self.folder / f"{NAME}.part").write_bytes(b"x" * 1000)
        self.assertEqual(self.ready().read_bytes(), MODEL)
        self.assertNotIn(f"{NAME}.part", self.left())

    def test_wrong_sum(self) -> None:
        """
        A package with other bytes is refused, in one line, and leaves nothing behind.
        """
        for complaint in (None, ValueError("sha256"), FileNotFoundError("part02")):

            def assemble(target: Path, complaint: Exception | None = complaint) -> None:
                target.write_bytes(b"not the model")
                if complaint is not None:
                    raise complaint

            with self.assertRaises(DemoError) as caught:
                ready_weights(self.folder, assemble, MODEL_SHA256)
            text = one_line(self, caught.exception)
            self.assertIn("damaged", text)
            self.assertIn(INSTALL, text)
            self.assertEqual(self.left(), {f"{NAME}.lock"})

    def test_failed_join_keeps_the_old_file(self) -> None:
        """
        A join that fails half-way never touches the file under its own name.
        """
        self.folder.mkdir()
        (self.folder / NAME).write_bytes(b"old")

        def assemble(target: Path) -> None:
            target.write_bytes(MODEL[:5])
            raise OSError(28, "No space left on device")

        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder, assemble, MODEL_SHA256)
        self.assertIn("No space left on device", one_line(self, caught.exception))
        self.assertEqual((self.folder / NAME).read_bytes(), b"old")

    def test_cache_cannot_be_made(self) -> None:
        """
        A cache folder that cannot be made is one line with its place and the reason.
        """
        self.folder.write_text("a file")
        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder / "below", self.assemble, MODEL_SHA256)
        text = one_line(self, caught.exception)
        self.assertIn(str(self.folder / "below"), text)
        self.assertIn("Not a directory", text)

    def test_three_at_once(self) -> None:
        """
        Of three that come together one joins, and the others wait for it.
        """
        all_here = threading.Barrier(3)
        found: list[bytes] = []

        def launch() -> None:
            all_here.wait(10)
            found.append(self.ready().read_bytes())

        # flock tells open files apart, not processes: threads are as good here.
        threads = [threading.Thread(target=launch) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        self.assertEqual(found, [MODEL] * 3)
        self.assertEqual(self.joined, 1)

    def test_package(self) -> None:
        """
        The package is told where to write, and the user why this launch takes longer.
        """
        package = folder_of(self) / "a_model_package_for_this_test.py"
        package.write_text(
            "def assemble(target, overwrite):\n"
            f"    assert overwrite and target.write_bytes({MODEL!r})\n"
        )
        sys.path.insert(0, str(package.parent))
        self.addCleanup(sys.path.remove, str(package.parent))
        self.addCleanup(sys.modules.pop, package.stem)
        target = package.with_name("model.part")
        with redirect_stderr(StringIO()) as complained:
            assemble_packaged(target, package.stem)
        self.assertEqual(target.read_bytes(), MODEL)
        self.assertEqual(
            complained.getvalue(),
            f"swapgate demo: joining the model in {target.parent}\n",
        )

    def test_package_missing(self) -> None:
        """
        Without the model's package one line says what to install.
        """

        def assemble(target: Path) -> None:
            assemble_packaged(target, "no_such_package_at_all")

        with self.assertRaises(DemoError) as caught:
            ready_weights(self.folder, assemble, MODEL_SHA256)
        self.assertIn(INSTALL, one_line(self, caught.exception))


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


class RunTests(LaunchCase):
    """
    What is handed to exec, and what is said when that fails.
    """

    def test_exec(self) -> None:
        """
        The engine gets the model, the persona's template, then the caller's options.
        """
        calls: list[tuple[Path, list[str], dict[str, str]]] = []
        run(
            ["--persona", "japanese", "--port", "8081", "--alias", "demo-qwen"],
            self.environ,
            packaged=None,
            execute=lambda *call: calls.append(call),
        )
        [(path, argv, environ)] = calls
        self.assertEqual(path, self.engine)
        self.assertEqual(
            argv,
            [
                *(str(self.engine), "-m", str(self.weights)),
                *("--chat-template-file", str(TEMPLATES / "japanese.jinja")),
                *ENGINE_OPTIONS,
                *("--port", "8081", "--alias", "demo-qwen"),
            ],
        )
        self.assertEqual(environ, {**self.environ, "LLAMA_ARG_FIT": "off"})

    def test_sigpipe(self) -> None:
        """
        The engine does not inherit that Python ignores SIGPIPE.
        """
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        run(
            ["--persona", "general"],
            self.environ,
            packaged=None,
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
            packaged=None,
            execute=lambda *call: calls.append(call),
        )
        self.assertEqual(calls[0][2]["LLAMA_ARG_FIT"], "on")

    def test_exec_fails(self) -> None:
        """
        A file that is no program for this machine is one line with its path.
        """
        executable(self.engine, "\x7fELF and then nothing of the kind")
        with self.assertRaises(DemoError) as caught:
            run(["--persona", "general"], self.environ, packaged=None)
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

    def test_becomes_the_engine(self) -> None:
        """
        The engine runs under the pid that was started, with every option as given.
        """
        executable(self.engine, '#!/bin/sh\necho "$$"\nprintf "<%s>" "$@"\nexit 7\n')
        child, said, complained = self.launch(
            *("--persona", "general", "--port", "8081", "--alias", "two words")
        )
        pid, _, options = said.partition("\n")
        self.assertEqual(int(pid), child.pid)
        self.assertIn("<-r><\n>", options)
        self.assertTrue(options.endswith("<--port><8081><--alias><two words>"))
        self.assertEqual((child.returncode, complained), (7, ""))

    def test_last_words(self) -> None:
        """
        What the user has to put right is one line on stderr, and the status not zero.
        """
        child, said, complained = self.launch("--persona", "poet")
        self.assertEqual(child.returncode, 1)
        self.assertEqual(said, "")
        self.assertEqual(len(complained.splitlines()), 1)
        self.assertTrue(complained.startswith("swapgate demo: usage: "))

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
        for heavy in ("twisted", "attrs", "attr", "asyncio", "hashlib"):
            self.assertNotIn(heavy, loaded)
