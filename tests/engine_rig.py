"""
The gateway as its user runs it: twistd, the shipped demo, and real engines.
"""

import atexit
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psutil
from openai import OpenAI
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from swapgate.demo.__main__ import is_installed
from swapgate.demo.weights import cache_folder, ready_weights
from tests.gate import engine_expected
from tests.ports import free_port
from tests.rig import Answer, Client, RigCase

DEMO = Path(__file__).resolve().parent.parent / "etc" / "demo.cfg"
ENGINE = "swapgate.demo"
CHAT = "/v1/chat/completions"
# Text that goes on until it is told to stop: a client's own `stop` replaces the
# persona's end of line, and this one never comes.
ENDLESS = {"stop": ["@@"], "ignore_eos": True}
# How a token looks in a stream: the first delta says null.
TOKEN = b'"content":"'
FRANCE = "What is the capital of France?"
PRINT = "How do I print text in Python?"
STORY = "Tell me a long story about a lighthouse."
_LOOK_S = 0.01

# Why the engine's tests cannot be run here. The gate does not take it for an answer
# where an engine can be had.
SKIP: str | None = None
if not engine_expected():
    SKIP = "there is no wheel of the engine for this machine"
elif not is_installed():
    SKIP = "the extra `demo` is not installed"

T = TypeVar("T")


@cache
def demo_cache() -> str:
    """
    A cache folder that all tests share and that goes when they end.
    """
    folder = TemporaryDirectory(prefix="demo-cache-", dir=Path.cwd())
    atexit.register(folder.cleanup)
    return folder.name


def homes(folder: str) -> dict[str, str]:
    """
    The variables by which a user's cache and state are in this folder.
    """
    return {"HOME": folder, "XDG_CACHE_HOME": folder, "XDG_STATE_HOME": folder}


def demo_weights(folder: str = "") -> Path:
    """
    The demo's model in the cache of this home, or of all tests; joined if need be.
    """
    return ready_weights(cache_folder(homes(folder or demo_cache()), sys.platform))


class Twistd(ProcessProtocol):
    """
    The gateway's process: what it said, and how it ended.
    """

    def __init__(self) -> None:
        self.said = b""
        self.listening: Deferred[None] = Deferred()
        self.ended: Deferred[BaseException | None] = Deferred()
        self.pid = 0

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.pid = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        self.said += data
        if b" starting on " in self.said and not self.listening.called:
            self.listening.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        if not self.listening.called:
            self.listening.errback(RuntimeError(self.said.decode()))
        self.ended.callback(reason.value)


def children_of(pid: int) -> Iterator[int]:
    """
    Its children and theirs; a zombie runs no more.
    """
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            if runs(child.pid):
                yield child.pid


def port_of(engine: int) -> int:
    """
    The port that an engine was told to listen on.
    """
    argv = argv_of(engine)
    return int(argv[argv.index("--port") + 1])


def argv_of(pid: int) -> list[str]:
    """
    Its command line; a process that ends has none any more.
    """
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).cmdline()
    return []


def ask(port: int, path: str, body: Any) -> Answer:
    """
    One request by the standard library; blocks.
    """
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        if body is None:
            connection.request("GET", path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())


def runs(pid: int) -> bool:
    """
    Whether this process runs; a zombie does not.
    """
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class EngineCase(RigCase):
    """
    `twistd swapgate` with etc/demo.cfg, of which only the port is another.

    After each test, whatever it was about: no two daemons lived at one time, none is
    left, and the log knows nothing of what was asked and answered.
    """

    timeout = 120

    def write_config(self, extra: str) -> Path:
        """
        The shipped file in a folder of its own, with a free port.
        """
        self.port = free_port()
        shipped = DEMO.read_text("utf-8")
        self.assertEqual(shipped.count("\nlisten = tcp:11430:"), 1)
        listen = f"\n{extra}\nlisten = tcp:{self.port}:"
        config = Path(self.mktemp()).absolute() / "demo.cfg"
        config.parent.mkdir(parents=True)
        config.write_text(shipped.replace("\nlisten = tcp:11430:", listen), "utf-8")
        return config

    async def launch(self, extra: str = "", cache_home: str = "") -> None:
        """
        Start twistd, the one installed beside this Python, outside the checkout.
        """
        config = self.write_config(extra)
        env = {**os.environ, **homes(cache_home or demo_cache())}
        # What is tested is what was installed.
        env.pop("PYTHONPATH", None)
        self.private: set[str] = set()
        self.daemons: list[int] = []
        self.most_at_once = 0
        self.twistd = Twistd()
        twistd = str(Path(sys.executable).with_name("twistd"))
        argv = [twistd, "-n", "--pidfile=", "swapgate", "--config", str(config)]
        spawn: Any = reactor.spawnProcess
        spawn(self.twistd, twistd, argv, env=env, path=str(config.parent))
        self.addCleanup(self.check_out)
        watch = LoopingCall(self.look)
        watch.start(_LOOK_S)
        self.addCleanup(watch.stop)
        await self.twistd.listening

    def look(self) -> None:
        """
        See who is there at this moment.
        """
        alive = list(children_of(self.twistd.pid))
        self.most_at_once = max(self.most_at_once, len(alive))
        self.daemons += [pid for pid in alive if pid not in self.daemons]

    def end(self) -> float:
        """
        Send SIGTERM; the moment.
        """
        os.kill(self.twistd.pid, signal.SIGTERM)
        return time.monotonic()

    async def check_out(self) -> None:
        """
        Stop the gateway if it still runs, and look at what must always hold.
        """
        if not self.twistd.ended.called:
            self.end()
        await self.twistd.ended
        self.assertEqual([pid for pid in self.daemons if runs(pid)], [])
        self.assertLessEqual(self.most_at_once, 1)
        log = self.twistd.said.decode()
        self.assertNotIn("Traceback", log)
        for text in self.private:
            self.assertNotIn(text, log)

    async def until(self, true: Callable[[], bool]) -> None:
        """
        Wait for what no event tells; the test's timeout is the bound.
        """
        while not true():
            await deferLater(reactor, _LOOK_S)

    def engine(self) -> int | None:
        """
        The pid of the engine that lives at this moment.
        """
        for pid in children_of(self.twistd.pid):
            argv = argv_of(pid)
            # Before its exec it is named as the gateway is.
            if ENGINE in argv and "--port" in argv:
                return pid
        return None

    async def ask_engine(self, path: str, body: Any = None) -> Answer:
        """
        Ask the engine itself, past the gateway.
        """
        pid = self.engine()
        assert pid is not None
        return await deferToThread(ask, port_of(pid), path, body)

    async def is_generating(self) -> bool:
        [slot] = (await self.ask_engine("/slots")).json
        return bool(slot["is_processing"])

    def request(self, model: str, question: str, **more: Any) -> dict[str, Any]:
        """
        The body of a question, which the log must not know.
        """
        self.private.add(question)
        return {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            **more,
        }

    async def question(self, model: str, question: str, **more: Any) -> str:
        """
        What a model says, asked over a bare socket; the log must not know that either.
        """
        answer = await self.ask(CHAT, self.request(model, question, **more))
        self.assertEqual(answer.status, 200, answer.body)
        text = answer.json["choices"][0]["message"]["content"]
        assert isinstance(text, str)
        self.private.add(text)
        return text

    async def stream(self, model: str, question: str, **more: Any) -> Client:
        """
        Ask for a stream over a bare socket.
        """
        client = await self.connect()
        client.send(CHAT, self.request(model, question, stream=True, **more))
        return client

    def official(self, use: Callable[[OpenAI], T]) -> Deferred[T]:
        """
        Let the official client do something, in a thread of its own.
        """

        def work() -> T:
            url = f"http://127.0.0.1:{self.port}/v1"
            with OpenAI(base_url=url, api_key="none", max_retries=0) as client:
                return use(client)

        return deferToThread(work)


def text_of(events: list[Any]) -> str:
    """
    What a stream's events say; the engine's first delta says null.
    """
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event != "[DONE]"
        for choice in event.get("choices", ())
    )
