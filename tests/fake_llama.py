"""
A stand-in for llama-server: a real process with the engine's manners, and faults.

    python tests/fake_llama.py --port 8081 --load-time 0.3 --journal /tmp/journal

The command line (see `options`) chooses how the process lives and dies; the object
under `x_fake` in a request's JSON body (see `Wish`) how that request is answered, or
`--wish` where a request has none, as one that was translated.
What happened is told in the journal, one JSON object a line; a plain answer tells
in `x_request` what reached the daemon.

One thread a connection and nothing but the standard library: it is up in 50 ms.
One file, though a long one, because it is run as a script, by its path.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any, NamedTuple, NoReturn

BORN = time.monotonic()
JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")
PIECE = b"x" * 65536


class Wish(NamedTuple):
    """
    What one request asks of its answer. An unknown name is answered 400.
    """

    # Before the answer.
    die_before_answer: int = 0  # SIGKILL at the first n such, counted in --state
    bad_response: str | None = None  # these bytes (latin-1) are the answer; then close
    delay_s: float = 0.0  # silence before the status line

    # Its head.
    status: int = 200
    reason: str = "OK"
    headers: dict[str, str] = {}

    # A plain answer.
    body: Any = None  # instead of ours: text as it is, anything else as JSON
    plain_bytes: int | None = None  # so many bytes without a newline, instead
    chunked: bool = False  # chunks in place of a Content-Length
    missing: int | None = None  # `then` happens so many bytes before the end

    # A stream.
    comments: int = 0  # `:` lines before the first token
    first_token_delay_s: float = 0.0  # silence after the headers
    tokens: int = 3
    token_bytes: int = 4
    timed: bool = False  # a token's text is when it was sent, as in x_sent_ns
    interval_s: float = 0.0
    crlf: bool = False
    after: int | None = None  # after so many tokens `scrap` is sent, `then` happens
    no_done: bool = False
    after_done_hold_s: float = 0.0  # between [DONE] and the final chunk

    # How an answer ends early.
    scrap: str = ""  # a key of SCRAPS
    then: str = "close"  # close (FIN), reset (RST), die (SIGKILL), stall (silence)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SCRAPS = {
    "": b"",
    "half_line": chunked(b'data: {"choices":[{"index":0,"de'),
    "open_event": chunked(b'data: {"choices":[{"index":0,"delta":{}}]}\n'),
    "half_chunk": b'1000\r\ndata: {"choices"',
    "bad_chunk": b"no size\r\n: what follows is no chunk\r\n",
}

# One answer that fits every API: chat, completions, embeddings.
MESSAGE = {"role": "assistant", "content": "Paris."}
ANSWER = {
    "id": "fake-1",
    "object": "chat.completion",
    "created": 1,
    "choices": [
        {"index": 0, "message": MESSAGE, "text": "Paris.", "finish_reason": "stop"}
    ],
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
}
# What the last chunk of a stream and every plain answer carry.
COUNTS = {
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    "timings": {
        "cache_n": 0,
        "prompt_n": 7,
        "prompt_ms": 1.5,
        "predicted_n": 3,
        "predicted_per_second": 90.5,
    },
}
LOADING = {"message": "Loading model", "type": "unavailable_error", "code": 503}


class Request(NamedTuple):
    """
    One request as it arrived.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        found = [v for n, v in self.headers if n.lower() == name]
        return found[0] if found else ""

    def told(self) -> dict[str, Any]:
        """
        What a test may want to know about it.
        """
        return {
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body_length": len(self.body),
            "body_sha256": hashlib.sha256(self.body).hexdigest(),
        }


class Daemon:
    """
    The process: its options, its journal, its end.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.journal = -1
        if args.journal:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self.journal = os.open(args.journal, flags, 0o600)

    def note(self, what: str, **facts: Any) -> None:
        """
        Add a line to the journal; one write, so that processes may share the file.
        """
        if self.journal >= 0:
            entry = {"what": what, "name": self.args.name, "pid": os.getpid()}
            entry |= {"at": time.monotonic(), **facts}
            os.write(self.journal, json.dumps(entry).encode() + b"\n")

    @property
    def loaded(self) -> bool:
        since = time.monotonic() - BORN
        return not self.args.never_healthy and since >= self.args.load_time

    def terminated(self, *_: object) -> None:
        """
        SIGTERM: like the engine, end at once, in the middle of answers too.
        """
        self.note("sigterm")
        if not self.args.ignore_sigterm:
            threading.Timer(self.args.stop_time, self.leave, [0]).start()

    def leave(self, status: int) -> NoReturn:
        if self.args.last_words:
            os.write(2, self.args.last_words.encode() + b"\n")
        self.note("exited", status=status)
        os._exit(status)

    def dies_now(self, times: int) -> bool:
        """
        Whether fewer than `times` daemons that share `--state` died of this before.
        """
        if not self.args.state:
            return True
        deaths = os.open(self.args.state, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        dies = os.fstat(deaths).st_size < times
        if dies:
            os.write(deaths, b"+")
        os.close(deaths)
        return dies


class Connection:
    """
    One client's requests, one after the other.
    """

    def __init__(self, sock: socket.socket, daemon: Daemon) -> None:
        self.sock, self.daemon = sock, daemon
        self.reader = sock.makefile("rb")

    def serve(self) -> None:
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := self.read_request():
                self.answer(request)
                if (
                    self.daemon.args.http_version
                    or "close" in request.header("connection").lower()
                ):
                    break
        except OSError:
            pass
        finally:
            self.reader.close()
            self.sock.close()

    def read_request(self) -> Request | None:
        line = self.reader.readline().decode("latin-1")
        if not line.endswith("\r\n"):
            return None
        method, target, _ = line.split(" ", 2)
        headers = []
        while (line := self.reader.readline().decode("latin-1")).strip():
            name, value = line.split(":", 1)
            headers.append((name, value.strip()))
        request = Request(method, target, headers, b"")
        length = int(request.header("content-length") or 0)
        return request._replace(body=self.reader.read(length))

    # What goes out.

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def chunk(self, data: bytes) -> None:
        self.sock.sendall(chunked(data))

    def pause(self, seconds: float | None) -> None:
        """
        Wait (None: for ever), unless the client goes.
        """
        if seconds is not None and seconds <= 0:
            return
        until = None if seconds is None else time.monotonic() + seconds
        self.sock.settimeout(seconds)
        try:
            if not self.sock.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(None)
        # The next request is already here, so nothing tells of a hang-up any more.
        time.sleep(1e6 if until is None else max(0.0, until - time.monotonic()))

    def head(self, request: Request, wish: Wish, *headers: tuple[str, str]) -> None:
        version = self.daemon.args.http_version or "1.1"
        lines = [f"HTTP/{version} {wish.status} {wish.reason}", "Server: llama.cpp"]
        lines += [f"{n}: {v}" for n, v in (*headers, *wish.headers.items())]
        if origin := request.header("origin"):
            lines.append(f"Access-Control-Allow-Origin: {origin}")
            lines.append("Access-Control-Allow-Credentials: true")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    # What is answered.

    def answer(self, request: Request) -> None:
        path = request.target.partition("?")[0]
        if path == "/health" or not self.daemon.loaded:
            self.answer_health(request, path)
            return
        try:
            asked: dict[str, Any] = json.loads(request.body or b"{}")
            wish = Wish(**asked.get("x_fake", self.daemon.args.wish))
        except (ValueError, TypeError, AttributeError) as error:
            broken = {"code": 500, "message": str(error), "type": "server_error"}
            status = 500 if isinstance(error, ValueError) else 400
            self.plain(request, Wish(status=status, body={"error": broken}), {})
            return
        told = request.told()
        self.daemon.note("begun", model=asked.get("model"), **told)
        try:
            if wish.die_before_answer and self.daemon.dies_now(wish.die_before_answer):
                os.kill(os.getpid(), signal.SIGKILL)
            self.pause(wish.delay_s)
            if wish.bad_response is not None:
                self.send(wish.bad_response.encode("latin-1"))
                raise ConnectionAbortedError
            if asked.get("stream") and wish.status == 200:
                self.stream(request, wish, path)
            else:
                ours = ANSWER | COUNTS | {"x_request": told}
                ours["model"] = self.daemon.args.name
                self.plain(request, wish, ours)
        except ConnectionAbortedError:  # by us
            raise
        except ConnectionError:
            self.daemon.note("client_gone", model=asked.get("model"))
            raise
        self.daemon.note("finished", model=asked.get("model"))

    def answer_health(self, request: Request, path: str) -> None:
        wish = Wish(body={"status": "ok"})
        if not self.daemon.loaded:
            wish = Wish(status=503, body={"error": LOADING})
        self.daemon.note("asked", path=path, status=wish.status)
        self.plain(request, wish, {})

    def plain(self, request: Request, wish: Wish, ours: dict[str, Any]) -> None:
        """
        An answer in one piece, and like the engine's without a final newline.
        """
        body = wish.body if wish.body is not None else ours
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        size = len(data) if wish.plain_bytes is None else wish.plain_bytes
        framing = ("Content-Length", str(size))
        if wish.chunked:
            framing = ("Transfer-Encoding", "chunked")
        self.head(request, wish, JSON_TYPE, framing)
        if request.method == "HEAD":
            return
        send = self.chunk if wish.chunked else self.send
        left = size - (wish.missing or 0)
        while left > 0:
            piece = (data if wish.plain_bytes is None else PIECE)[:left]
            send(piece)
            left -= len(piece)
        if wish.missing is not None:
            self.break_off(wish)
        if wish.chunked:
            self.send(b"0\r\n\r\n")

    def stream(self, request: Request, wish: Wish, path: str) -> None:
        """
        Server-sent events, a write for each.
        """
        end = "\r\n" if wish.crlf else "\n"
        # The engine names its events in this API only.
        name = f"event: content_block_delta{end}" if path == "/v1/messages" else ""
        common = {"id": "fake-1", "object": "chat.completion.chunk", "created": 1}
        common["model"] = self.daemon.args.name

        def say(data: str) -> None:
            self.chunk(f"{name}data: {data}{end}{end}".encode())

        event_stream = ("Content-Type", "text/event-stream")
        self.head(request, wish, event_stream, ("Transfer-Encoding", "chunked"))
        for _ in range(wish.comments):
            self.chunk(f": still reading{end}{end}".encode())
        self.pause(wish.first_token_delay_s)
        began = time.monotonic()
        for n in range(wish.tokens):
            if n == wish.after:
                self.break_off(wish)
            if wish.interval_s:
                self.pause(began + n * wish.interval_s - time.monotonic())
            sent_ns = time.monotonic_ns()
            text = f"{sent_ns if wish.timed else n} ".ljust(wish.token_bytes, "x")
            delta = {"content": text} if n else {"role": "assistant", "content": text}
            choice = {"index": 0, "delta": delta, "text": text, "finish_reason": None}
            sent = {"x_sent_ns": sent_ns}
            say(json.dumps(common | {"choices": [choice]} | sent))
        if wish.after is not None:
            self.break_off(wish)
        last = {"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}
        say(json.dumps(common | {"choices": [last]} | COUNTS))
        if not wish.no_done:
            say("[DONE]")
        self.pause(wish.after_done_hold_s)
        self.send(b"0\r\n\r\n")

    def break_off(self, wish: Wish) -> NoReturn:
        """
        End an answer early, in the way that was asked for.
        """
        self.send(SCRAPS[wish.scrap])
        if wish.then == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if wish.then == "stall":
            self.pause(None)
        if wish.then == "reset":
            at_once = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.daemon.note("broken_off", then=wish.then)
        raise ConnectionAbortedError


def options() -> argparse.ArgumentParser:
    """
    How the process lives and dies.
    """
    parser = argparse.ArgumentParser(description="A stand-in for llama-server.")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--host", default="127.0.0.1")
    add("--name", "--alias", default="fake", help="the model named in answers")
    add("--journal", metavar="FILE", help="append what happens, as JSON lines")
    add("--state", metavar="FILE", help="where die_before_answer counts its deaths")
    add("--load-time", type=float, default=0.0, metavar="S", help="503 until then")
    add("--never-healthy", action="store_true")
    add("--listen-late", type=float, default=0.0, metavar="S", help="refuse till then")
    add("--stop-time", type=float, default=0.0, metavar="S", help="SIGTERM to exit")
    add("--ignore-sigterm", action="store_true")
    add("--exit-after", type=float, metavar="S")
    add("--exit-status", type=int, default=1)
    add("--last-words", default="", metavar="TEXT", help="on stderr, when it exits")
    add("--http-version", metavar="1.N", help="close after each answer of HTTP/1.N")
    add("--wish", type=json.loads, default={}, metavar="JSON", help="see above")
    add("--grandchild", action="store_true", help="leave a child in the same group")
    return parser


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def main() -> None:
    """
    Listen, and serve until something ends the process.
    """
    inherited = [fd for fd in range(256) if is_open(fd)]
    args = options().parse_args()
    daemon = Daemon(args)
    signal.signal(signal.SIGTERM, daemon.terminated)
    daemon.note(
        "started",
        argv=sys.argv,
        env=sorted(os.environ),
        fds=inherited,
        sid=os.getsid(0),
        pgid=os.getpgid(0),
    )
    if args.grandchild:
        sleeper = os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
        daemon.note("grandchild", grandchild=sleeper)
    if args.exit_after is not None:
        threading.Timer(args.exit_after, daemon.leave, [args.exit_status]).start()
    time.sleep(args.listen_late)
    listener = socket.create_server((args.host, args.port), backlog=4096)
    daemon.note("listening", port=args.port)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=Connection(sock, daemon).serve, daemon=True).start()


if __name__ == "__main__":
    main()
