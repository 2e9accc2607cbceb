"""
`python -m swapgate.engine` as a process: loading, serving, ending, and refusing.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from swapgate.daemons.child import TAIL_LINES
from swapgate.engine.options import _CACHE_TYPES, _FLASH_ATTENTION, parse
from swapgate.engine.server import load_package, parameters
from tests.demo_rig import ended_while_loading
from tests.engine_rig import SKIP, ask, demo_weights
from tests.ports import free_port

# Read by trial.
skip = SKIP

# From a cache that may be cold, on a machine that may be busy.
_PATIENCE_S = 120
COMPLETION = "/completion"


class Engine:
    """
    An engine's process, and its port; what it says goes to a file.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.weights = demo_weights()
        self._said = TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "swapgate.engine", "-m", str(self.weights)),
                *("--port", str(self.port), "-c", "2048", "-np", "1", "-t", "1"),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def health(self) -> int:
        """
        The status of /health; 0 before the port is open.
        """
        try:
            return ask(self.port, "/health", None).status
        except ConnectionError:
            return 0

    def until_health(self, wanted: int) -> list[int]:
        """
        Wait for this status: all that were seen until then, each once.
        """
        seen: list[int] = []
        deadline = time.monotonic() + _PATIENCE_S
        while not seen or seen[-1] != wanted:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it says {seen}, then: {self.said()}")
            status = self.health()
            if not seen or seen[-1] != status:
                seen.append(status)
        return seen

    def ask(self, path: str, body: Any = None) -> Any:
        """
        What it answers, which must be a success.
        """
        answer = ask(self.port, path, body)
        if answer.status != 200:
            raise AssertionError(answer.body)
        return answer.json

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, bytes]:
        """
        Signal it: how it ended, and what was on its stdout.
        """
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=_PATIENCE_S)
        return self.process.returncode, out

    def said(self) -> str:
        self._said.seek(0)
        return self._said.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._said.close()


class EngineProcessTests(SynchronousTestCase):
    """
    One process, one model, until it is told to end.
    """

    @contextmanager
    def engine(self, *options: str) -> Iterator[Engine]:
        with closing(Engine(*options)) as engine:
            yield engine

    def test_loading(self) -> None:
        """
        Refused, then 503, then 200; what it says is on stderr alone.
        """
        with self.engine() as engine:
            self.assertEqual(engine.until_health(200)[-2:], [503, 200])
            self.assertEqual(engine.end(), (0, b""))
            self.assertIn("loading model", engine.said())

    def test_ended_while_loading(self) -> None:
        """
        A signal during the load ends it before the model is up, in order.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.engine() as engine:
                engine.until_health(503)
                status = ended_while_loading(number)
                self.assertEqual(engine.end(number), (status, b""))
                self.assertNotIn("model loaded", engine.said())

    def test_ended_in_a_stream(self) -> None:
        """
        A signal in the middle of an answer ends it, with status 0.
        """
        with self.engine("--no-warmup") as engine:
            engine.until_health(200)
            connection = HTTPConnection("127.0.0.1", engine.port, timeout=_PATIENCE_S)
            with closing(connection):
                body = {"prompt": "Once", "stream": True, "ignore_eos": True}
                connection.request(
                    "POST",
                    COMPLETION,
                    json.dumps({**body, "n_predict": 1500}),
                    {"Content-Type": "application/json"},
                )
                answer = connection.getresponse()
                self.assertTrue(answer.readline().startswith(b"data: "))
                self.assertEqual(engine.end(), (0, b""))

    def test_options(self) -> None:
        """
        What the options say is what an answer was made with.
        """
        with self.engine(
            *("--alias", "tiny", "--top-k", "1", "-n", "3", "-r", "\\n", "-r", "@@"),
            *("--no-warmup", "-fa", "off", "-ctk", "q8_0", "-ngl", "0", "--swa-full"),
        ) as engine:
            engine.until_health(200)
            [model] = engine.ask("/v1/models")["data"]
            self.assertEqual(model["id"], "tiny")
            answer = engine.ask(COMPLETION, {"prompt": "Once upon"})
            settings = answer["generation_settings"]
            self.assertEqual(settings["stop"], ["\n", "@@"])
            self.assertEqual(settings["top_k"], 1)
            self.assertEqual(answer["tokens_predicted"], 3)
            [slot] = engine.ask("/slots")
            self.assertEqual(slot["n_ctx"], 2048)

    def test_every_value(self) -> None:
        """
        Each field and each member of an enumeration is one of xllamacpp's.
        """
        xllamacpp = load_package()
        slots = [f"--cache-type-{each}" for each in "kv"]
        for name in _CACHE_TYPES:
            line = [text for option in slots for text in (option, name)]
            parameters(xllamacpp, parse(["-m", "a", *line]))
        for name in _FLASH_ATTENTION:
            parameters(xllamacpp, parse(["-m", "a", "-fa", name]))
        params = parameters(
            xllamacpp,
            parse(
                [
                    *("-m", "a", "--port", "1", "--host", "h", "-a", "b,c", "-c", "2"),
                    *("-t", "3", "-ngl", "all", "-n", "4", "-r", "x", "--top-k", "5"),
                    *("--mmproj", "d", "--jinja", "--chat-template-file", "e"),
                    *("--slot-save-path", "f", "--swa-full", "--rerank"),
                    "--no-warmup",
                ]
            ),
        )
        self.assertEqual(params.model_alias, {"b", "c"})
        self.assertEqual(
            (params.n_gpu_layers, params.mmproj.path, params.hostnames),
            (-2, "d", ["h"]),
        )
        self.assertIs(params.fit_params, False)
        self.assertIs(params.embedding, True)

    def test_embeddings(self) -> None:
        """
        With --embedding it embeds.
        """
        with self.engine("--embedding", "--no-warmup") as engine:
            engine.until_health(200)
            # The demo's model has no pooling: there is one for each token.
            [found] = engine.ask("/embedding", {"content": "Paris"})
            self.assertGreater(len(found["embedding"][0]), 100)

    def test_slots(self) -> None:
        """
        A conversation that was saved is restored by another process, and not
        processed again.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        options = ("--slot-save-path", str(folder), "--swa-full", "--no-warmup")
        asked = {"prompt": "A lighthouse on a hill. " * 40, "n_predict": 1}
        with self.engine(*options) as engine:
            engine.until_health(200)
            first = engine.ask(COMPLETION, asked)["timings"]
            saved = engine.ask("/slots/0?action=save", {"filename": "a.bin"})
            self.assertGreater(saved["n_saved"], 200)
            self.assertTrue((folder / "a.bin").is_file())
            self.assertEqual(engine.end()[0], 0)
        with self.engine(*options) as engine:
            engine.until_health(200)
            engine.ask("/slots/0?action=restore", {"filename": "a.bin"})
            second = engine.ask(COMPLETION, asked)["timings"]
        self.assertGreater(first["prompt_n"], 200)
        self.assertLess(second["prompt_n"], 10)

    def test_a_damaged_model(self) -> None:
        """
        One line names the file, and those around it say what is wrong.
        """
        damaged = Path(self.mktemp()).absolute()
        with demo_weights().open("rb") as file:
            damaged.write_bytes(file.read(100_000))
        with self.engine("-m", str(damaged)) as engine:
            self.assertEqual(engine.process.wait(_PATIENCE_S), 1)
            # As far as the gateway keeps them for its 409.
            shown = "\n".join(engine.said().splitlines()[-TAIL_LINES:])
            self.assertIn(f"swapgate engine: cannot load {damaged}; what", shown)
            self.assertIn("error loading model", shown)

    def test_a_port_that_is_taken(self) -> None:
        """
        One line, and nothing was loaded.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with self.engine("--port", str(port)) as engine:
                self.assertEqual(engine.process.wait(_PATIENCE_S), 1)
                [line] = engine.said().splitlines()
                self.assertIn(f"port {port} of 127.0.0.1 is in use", line)
