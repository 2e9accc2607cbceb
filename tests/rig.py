"""
The gateway with real sockets and child processes, inside the test's own reactor.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from swapgate.config.loader import read_config
from swapgate.config.secrets import read_keys
from swapgate.service import Swapgate

FAKE = Path(__file__).parent / "fake_llama.py"
# A model's section, for the stand-in daemon.
MODEL = """
[model {name}]
memory = {memory}
service = child
command = ${{python}} {fake} --port ${{port}} --name {name} --journal {journal} \
--state {state} {options}
"""


def whole_lines(file: Path) -> list[str]:
    """
    The lines of a file that others write to: not the one that they are at.
    """
    text = file.read_text() if file.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def told_in(journal: Path, what: str = "", name: str = "") -> list[dict[str, Any]]:
    """
    What daemons wrote into their journal: all, or this, or of this one.
    """
    return [
        entry
        for entry in map(json.loads, whole_lines(journal))
        if what in ("", entry["what"]) and name in ("", entry["name"])
    ]


@define
class Answer:
    """
    A response as it came over the wire.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """
        The error, in the OpenAI shape and no other.
        """
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert isinstance(error, dict)
        return error


@define(eq=False)
class Client(Protocol):
    """
    A raw connection: what it heard, in which pieces, and how it was closed.
    """

    #: What it calls the gateway.
    host: str = ""
    pieces: list[bytes] = field(factory=list)
    taken: int = 0
    reason: Failure | None = None
    _waiting: Deferred[None] | None = None
    transport: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    @property
    def heard(self) -> bytes:
        """
        What came and was not taken as an answer yet.
        """
        return b"".join(self.pieces)[self.taken :]

    async def more(self) -> None:
        """
        Wait for the next piece or the end.
        """
        assert self.reason is None, f"closed after {self.heard!r}"
        self._waiting = Deferred()
        await self._waiting

    async def until(self, text: bytes, count: int = 1) -> bytes:
        while self.heard.count(text) < count:
            await self.more()
        return self.heard

    async def closed(self) -> bytes:
        """
        All that was heard when the other side had closed.
        """
        while self.reason is None:
            await self.more()
        return self.heard

    def send(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        version: str = "1.1",
        **headers: str,
    ) -> None:
        """
        Send a request; bytes as they are, anything else as JSON.
        """
        lines = [
            f"{method or ('GET' if body is None else 'POST')} {path} HTTP/{version}"
        ]
        data = b""
        sent = {"Host": self.host}
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent |= {"Content-Type": "application/json"}
            sent |= {"Content-Length": str(len(data))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines += [f"{name}: {value}" for name, value in sent.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """
        Take the next whole answer from the connection.
        """
        await self.until(b"\r\n\r\n")
        head, _, rest = self.heard.partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in lines)
        }
        begin = self.taken + len(head) + 4
        if head_only:
            body, size = b"", 0
        elif "content-length" in headers:
            size = int(headers["content-length"])
            while len(self.heard) < len(head) + 4 + size:
                await self.more()
            body = b"".join(self.pieces)[begin : begin + size]
        elif headers.get("transfer-encoding") == "chunked":
            while not self.heard[len(head) + 4 :].endswith(b"0\r\n\r\n"):
                await self.more()
            rest = self.heard[len(head) + 4 :]
            body, size = unchunked(rest), len(rest)
        else:
            body = (await self.closed())[len(head) + 4 :]
            size = len(body)
        self.taken = begin + size
        return Answer(int(status_line.split()[1]), headers, body)


def unchunked(data: bytes) -> bytes:
    """
    The chunks joined, whether or not the last one is there.
    """
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        body, data = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


class RigCase(TestCase):
    """
    A gateway before stand-in daemons, of which one fits at a time.
    """

    timeout = 240
    # Options of the daemons, by model; every test may change its own.
    models: dict[str, str] = {"a": "", "b": "", "c": ""}
    extra: dict[str, str] = {}
    memory: dict[str, str] = {}
    general = ""
    listen: tuple[str, ...] = ("tcp:0:interface=127.0.0.1",)
    # The gateway's; some of its timers may be held, see `tests.held_timers`.
    reactor: Any = reactor

    def setUp(self) -> None:
        self.journal = Path(self.mktemp()).absolute()
        self.state = Path(self.mktemp()).absolute()
        self.folder = Path(self.mktemp()).absolute()
        self.service: Swapgate | None = None

    def head(self) -> str:
        """
        What a configuration says of the gateway itself.
        """
        listen = "\n  ".join(self.listen)
        return (
            f"[swapgate]\nlisten = {listen}\nstate_dir = {self.folder}\n"
            f"memory_budget = 10 GB\n{self.general}\n"
        )

    def text(self, **models: str) -> str:
        """
        A configuration; `models` are names and options of their daemons.
        """
        text = self.head()
        for name, options in (models or self.models).items():
            text += MODEL.format(
                name=name,
                fake=FAKE,
                journal=self.journal,
                state=self.state,
                options=options,
                memory=self.memory.get(name, "8 GB"),
            )
            text += self.extra.get(name, "") + "\n"
        return text

    async def start(self, **models: str) -> None:
        """
        Start the gateway before these daemons.
        """
        await self.serve(self.text(**models))

    async def serve(self, text: str) -> None:
        """
        Start the gateway with this configuration.
        """
        self.assertNotIn("tcp:11430", text, "the port of whoever runs the tests")
        config = read_config(
            text,
            path=str(self.journal.parent / "test.cfg"),
            environ=os.environ,
            python=sys.executable,
            platform=sys.platform,
        )
        self.service = Swapgate(read_keys(config), self.reactor, descriptors=65536)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.stop)
        [listening] = self.service.services
        address = (await listening.opened).getHost()
        self.port = getattr(address, "port", 0)

    async def stop(self) -> None:
        if self.service is not None:
            service, self.service = self.service, None
            await service.stopService()

    async def connect(self) -> Client:
        client = Client(f"127.0.0.1:{self.port}")
        factory = Factory.forProtocol(lambda: client)
        factory.noisy = False
        await self.endpoint().connect(factory)
        self.addCleanup(self.hang_up, client)
        return client

    def endpoint(self) -> Any:
        """
        Where the gateway is reached.
        """
        return HostnameEndpoint(reactor, "127.0.0.1", self.port)

    async def hang_up(self, client: Client) -> None:
        if client.reason is None:
            client.transport.abortConnection()
            await client.closed()

    async def ask(self, path: str, body: Any = None, **options: Any) -> Answer:
        """
        One request on a connection of its own.
        """
        client = await self.connect()
        client.send(path, body, **options)
        return await client.answer(head_only=options.get("method") == "HEAD")

    async def chat(self, model: str, **wish: Any) -> Answer:
        return await self.ask("/v1/chat/completions", {"model": model, "x_fake": wish})

    async def begin_stream(self, model: str, **wish: Any) -> Client:
        """
        Ask for a stream, on a connection of its own.
        """
        client = await self.connect()
        body = {"model": model, "stream": True, "x_fake": wish}
        client.send("/v1/chat/completions", body)
        return client

    def told(self, what: str = "", name: str = "") -> list[dict[str, Any]]:
        """
        What the daemons wrote into their journal.
        """
        return told_in(self.journal, what, name)

    async def until_told(self, what: str, name: str = "", count: int = 1) -> Any:
        """
        Wait for the journal; the test's timeout is the bound.
        """
        while len(found := self.told(what, name)) < count:
            await deferLater(reactor, 0.01)
        return found[count - 1]


def events_of(body: bytes) -> list[Any]:
    """
    The data of a stream's events, [DONE] and all.
    """
    found = []
    for event in body.decode().split("\n\n"):
        for line in event.splitlines():
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
                found.append(data if data == "[DONE]" else json.loads(data))
    return found


def text_of(body: bytes) -> str:
    """
    What a stream's deltas say.
    """
    return "".join(
        choice["delta"].get("content", "")
        for event in events_of(body)
        if event != "[DONE]"
        for choice in event.get("choices", ())
    )
