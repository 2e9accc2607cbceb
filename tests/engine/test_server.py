"""
The engine's server, with a double for the extension: what it checks, sets and says.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import swapgate
from swapgate.engine import EngineError
from swapgate.engine.options import Settings, parse
from swapgate.engine.server import (
    INSTALL,
    check_model,
    check_port,
    check_slot_folder,
    end_while_loading,
    load_model,
    load_package,
    parameters,
    read_template,
)
from tests.demo_rig import ended_while_loading, folder_of

GOOD = b"GGUF and more"


class Case(SynchronousTestCase):
    """
    A folder with a model in it.
    """

    def setUp(self) -> None:
        self.folder = folder_of(self)
        self.model = self.written("good.gguf", GOOD)

    def written(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def refusal(self, call: Callable[[], object]) -> str:
        """
        The one line of an `EngineError`.
        """
        with self.assertRaises(EngineError) as caught:
            call()
        text = str(caught.exception)
        self.assertEqual(len(text.splitlines()), 1)
        return text


class CheckTests(Case):
    """
    What is looked at before anything is loaded.
    """

    def test_model(self) -> None:
        """
        A GGUF file will do; another, a folder, and none at all are told.
        """
        check_model({"model.path": self.model}, "model.path", "-m")
        check_model({}, "mmproj.path", "--mmproj")
        for path, said in (
            (self.written("bad.gguf", b"not one"), "is no GGUF file; name one with -m"),
            (self.written("empty.gguf", b""), "is no GGUF file"),
            (str(self.folder), "Is a directory; name a GGUF file with -m"),
            (str(self.folder / "none"), "No such file or directory; name"),
        ):
            settings: Settings = {"model.path": path}
            line = self.refusal(partial(check_model, settings, "model.path", "-m"))
            self.assertIn(path, line)
            self.assertIn(said, line)

    def test_template(self) -> None:
        """
        Its text takes the place of its name.
        """
        none: Settings = {}
        read_template(none)
        self.assertEqual(none, {})
        path = self.written("t.jinja", "{{ 'ä' }}".encode())
        settings: Settings = {"chat_template": path}
        read_template(settings)
        self.assertEqual(settings["chat_template"], "{{ 'ä' }}")
        for path, said in (
            (str(self.folder / "none"), "No such file"),
            (self.written("latin1", b"\xe4"), "not UTF-8"),
        ):
            wrong: Settings = {"chat_template": path}
            line = self.refusal(partial(read_template, wrong))
            self.assertIn(f"cannot read {path}: ", line)
            self.assertIn(said, line)

    def test_slot_folder(self) -> None:
        """
        It must be there, and ends with a slash afterwards.
        """
        none: Settings = {}
        check_slot_folder(none)
        self.assertEqual(none, {})
        for end in ("", "/"):
            settings: Settings = {"slot_save_path": f"{self.folder}{end}"}
            check_slot_folder(settings)
            self.assertEqual(settings["slot_save_path"], f"{self.folder}/")
        wrong: Settings = {"slot_save_path": self.model}
        self.assertIn("no such folder", self.refusal(lambda: check_slot_folder(wrong)))

    def test_port(self) -> None:
        """
        A free one will do, and a UNIX socket; one that is taken is told, and an
        address of another machine.
        """
        check_port({"port": 0})
        check_port({"port": 0, "hostnames": (f"{self.folder}/a.sock", "localhost")})
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = self.refusal(lambda: check_port({"port": port}))
        self.assertIn(f"port {port} of 127.0.0.1 is in use; stop the process", line)
        # Of a network that is there for documentation.
        hosts: Settings = {"port": 0, "hostnames": ("192.0.2.1",)}
        line = self.refusal(lambda: check_port(hosts))
        self.assertIn("cannot listen on port 0 of 192.0.2.1: ", line)


class PackageTests(Case):
    """
    The extension: missing, broken, there.
    """

    def test_there(self) -> None:
        """
        The module itself.
        """
        self.assertIs(load_package("swapgate"), swapgate)

    def test_missing(self) -> None:
        """
        The command that installs it.
        """
        line = self.refusal(lambda: load_package("no_such_package_at_all"))
        remedy = f"no_such_package_at_all is not installed; install it with: {INSTALL}"
        self.assertEqual(line, remedy)
        self.assertIn("-m pip install 'swapgate[engine]'", INSTALL)

    def test_broken(self) -> None:
        """
        A library that is missing beneath it is named, and the remedy where known.
        """
        self.addCleanup(sys.path.remove, str(self.folder))
        sys.path.insert(0, str(self.folder))
        for name, library, remedy in (
            ("broken_a", "libgomp.so.1", "apt-get install libgomp1"),
            ("broken_b", "libother.so", "libother.so"),
        ):
            self.written(f"{name}.py", f"raise ImportError('{library}: no')".encode())
            line = self.refusal(partial(load_package, name))
            self.assertIn(f"install what {name} lacks: {library}: no", line)
            self.assertIn(remedy, line)


def double(fails: bool = False) -> Any:
    """
    xllamacpp, as far as it is used.
    """

    def server(params: Any) -> Any:
        if fails:
            raise RuntimeError("Failed to init server")
        return params

    return SimpleNamespace(
        CommonParams=lambda: SimpleNamespace(
            model=SimpleNamespace(), sampling=SimpleNamespace()
        ),
        Server=server,
        ggml_type=SimpleNamespace(GGML_TYPE_F16=1),
    )


class LoadTests(Case):
    """
    What the extension is told, and what is said when it fails.
    """

    def test_parameters(self) -> None:
        """
        Dotted names, members of enumerations, and lists.
        """
        line = ["-m", "a", "--top-k", "1", "-ctk", "f16", "-r", "x", "--alias", "b"]
        params = parameters(double(), parse(line))
        self.assertEqual((params.model.path, params.sampling.top_k), ("a", 1))
        self.assertEqual((params.cache_type_k, params.antiprompt), (1, ["x"]))
        self.assertEqual((params.model_alias, params.fit_params), (["b"], False))

    def test_load(self) -> None:
        """
        The server; or the model that it could not load.
        """
        settings = parse(["-m", "a"])
        self.assertEqual(load_model(double(), settings).model.path, "a")
        line = self.refusal(lambda: load_model(double(fails=True), settings))
        self.assertIn("cannot load a;", line)


class EndTests(SynchronousTestCase):
    """
    How a signal ends it while Python cannot run.
    """

    def test_a_library_without_quick_exit(self) -> None:
        """
        There the signals do what they always do.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda *_: None)
        end_while_loading(SimpleNamespace())
        for number in (signal.SIGTERM, signal.SIGINT):
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)


class ProcessTests(Case):
    """
    Processes, with a stand-in for the extension that keeps the interpreter's lock.
    """

    STAND_IN = """
import ctypes, os, sys
class CommonParams:
    def __init__(self):
        self.model = self.cpuparams = self.sampling = self
class Server:
    def __init__(self, params):
        os.write(1, b"to stdout\\n")
        os.write(2, b"loading\\n")
        if getattr(params, "n_ctx", 0) == 1:
            # The lock is kept: no handler in Python can run.
            ctypes.PyDLL(None).sleep(600)
        os.write(2, b"up\\n")
"""

    def launch(self, *options: str) -> subprocess.Popen[bytes]:
        self.written("xllamacpp.py", self.STAND_IN.encode())
        root = str(Path(swapgate.__file__).parent.parent)
        path = os.pathsep.join([str(self.folder), root])
        engine = subprocess.Popen(
            [sys.executable, "-m", "swapgate.engine", "-m", self.model, *options],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(engine.communicate)
        self.addCleanup(engine.kill)
        return engine

    def told(self, *options: str) -> tuple[int, bytes, bytes]:
        """
        One that ends by itself: its status, and what it said.
        """
        engine = self.launch(*options)
        out, err = engine.communicate(timeout=60)
        return engine.returncode, out, err

    def test_ended_when_up(self) -> None:
        """
        A signal ends it with status 0, and stdout stays silent.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            engine = self.launch("--port", "0")
            assert engine.stderr is not None
            lines = [engine.stderr.readline() for _ in range(3)]
            self.assertEqual(lines, [b"to stdout\n", b"loading\n", b"up\n"])
            engine.send_signal(number)
            self.assertEqual(engine.communicate(timeout=60), (b"", b""))
            self.assertEqual(engine.returncode, 0)

    def test_ended_while_loading(self) -> None:
        """
        A signal ends it at once though no handler in Python can run, and with status 0
        where the C library can do that.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            engine = self.launch("--port", "0", "-c", "1")
            assert engine.stderr is not None
            lines = [engine.stderr.readline() for _ in range(2)]
            self.assertEqual(lines, [b"to stdout\n", b"loading\n"])
            engine.send_signal(number)
            self.assertEqual(engine.communicate(timeout=60), (b"", b""))
            self.assertEqual(engine.returncode, ended_while_loading(number))

    def test_mistakes(self) -> None:
        """
        One line on stderr, nothing on stdout, status 1.
        """
        for options, said in (
            (["--colour"], b"swapgate engine: there is no option '--colour' here"),
            (["-m", "/none"], b"swapgate engine: cannot read /none: "),
            (["--mmproj", "/none"], b"swapgate engine: cannot read /none: "),
            (["--port", "x"], b"swapgate engine: --port 'x' will not do"),
        ):
            status, out, err = self.told(*options)
            self.assertEqual((status, out, err.count(b"\n")), (1, b"", 1))
            self.assertTrue(err.startswith(said), err)
