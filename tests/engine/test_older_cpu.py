"""
The engine on an older CPU: no instruction above AVX2 may be needed for an answer.

QEMU plays a Haswell of 2013: what needs a newer CPU dies there of SIGILL.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.engine_rig import SKIP, demo_weights
from tests.gate import qemu
from tests.ports import free_port

# Read by trial.
skip = SKIP

# One answer takes half a minute where nothing else runs.
_PATIENCE_S = 900


class HaswellTests(SynchronousTestCase):
    """
    `python -m swapgate.engine` under qemu-x86_64, up to its first answer.
    """

    def test_an_answer(self) -> None:
        """
        The demo's model loads, answers, and ends with status 0.
        """
        emulator = qemu()
        assert emulator is not None
        port = free_port()
        weights = demo_weights()
        said = Path(self.mktemp()).absolute()
        with said.open("wb") as log:
            engine = subprocess.Popen(
                [
                    *(emulator, "-cpu", "Haswell", sys.executable),
                    *("-m", "swapgate.engine", "-m", str(weights), "--no-warmup"),
                    *("--port", str(port), "-c", "128", "-np", "1", "-t", "1"),
                ],
                stderr=log,
            )
        self.addCleanup(engine.wait)
        self.addCleanup(engine.kill)
        deadline = time.monotonic() + _PATIENCE_S
        while self.ask(port, "GET", "/health")[0] != 200:
            self.assertLess(time.monotonic(), deadline, said.read_text())
            self.assertIsNone(engine.poll(), said.read_text())
            # It needs the CPU more than we do.
            time.sleep(0.2)
        body = json.dumps({"prompt": "Paris", "n_predict": 1})
        status, answer = self.ask(port, "POST", "/completion", body)
        self.assertEqual(status, 200, answer)
        self.assertEqual(json.loads(answer)["tokens_predicted"], 1)
        engine.terminate()
        self.assertEqual(engine.wait(_PATIENCE_S), 0)

    def ask(
        self, port: int, method: str, path: str, body: str | None = None
    ) -> tuple[int, bytes]:
        """
        Status and body; 0 before the port is open.
        """
        connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        with closing(connection):
            headers = {"Content-Type": "application/json"}
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
            except ConnectionRefusedError:
                return 0, b""
            return answer.status, answer.read()
