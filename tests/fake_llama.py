"""
A stand-in for llama-server: a real process with the engine's manners, and faults.

    python tests/fake_llama.py --port 8081 --load-time 0.3 --journal /tmp/journal

The command line (see `options`) chooses how the process lives and dies; the object
under `x_fake` in a request's JSON body (see `Wish`) how that request is answered, or
`--wish` where a request has none, as one of a real client, or one that was translated;
the shape is that of the API that was asked (see `Shape`).
What happened is told in the journal, one JSON object a line; a plain answer tells
in `x_request` what reached the daemon.

One thread a connection and nothing but the standard library: it is up in 50 ms.
One file, though a long one, because it is run as a script, by its path.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    sees: bool = True  # else an image is answered 500, as without --mmproj
    calls_tools: bool = False  # a request with tools by a call of the first of them

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
    text: str | None = None  # said instead, token_bytes characters at a time
    text_file: str | None = None  # the file that has such a text
    reasoning: str = ""  # a chat's, before it, in the same way
    timed: bool = False  # a token's text is when it was sent, as in x_sent_ns
    interval_s: float = 0.0
    crlf: bool = False
    after: int | None = None  # after so many tokens `scrap` is sent, `then` happens
    no_done: bool = False
    after_done_hold_s: float = 0.0  # between [DONE] and the final chunk

    # How an answer ends early.
    scrap: str = ""  # a key of SCRAPS
    then: str = "close"  # close (FIN), reset (RST), die (SIGKILL), stall (silence)

    def said(self) -> tuple[list[str], list[str]]:
        """
        A stream's reasoning and text, in pieces.
        """
        text = self.text
        if self.text_file is not None:
            # pathlib would cost some of the 50 ms.
            with open(self.text_file, encoding="utf-8") as file:  # noqa: PTH123
                text = file.read()
        if text is not None:
            return self.cut(self.reasoning), self.cut(text)
        tokens = [f"{n} ".ljust(self.token_bytes, "x") for n in range(self.tokens)]
        return self.cut(self.reasoning), tokens

    def cut(self, text: str) -> list[str]:
        size = self.token_bytes
        return [text[at : at + size] for at in range(0, len(text), size)]


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


SCRAPS = {
    "": b"",
    "half_line": chunked(b'data: {"choices":[{"index":0,"de'),
    "open_event": chunked(b'data: {"choices":[{"index":0,"delta":{}}]}\n'),
    "half_chunk": b'1000\r\ndata: {"choices"',
    "bad_chunk": b"no size\r\n: what follows is no chunk\r\n",
}

# One answer that fits every API of OpenAI's: chat, completions, embeddings.
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
# What a called tool gets, in the pieces in which it is streamed.
ARGUMENTS = ('{"city"', ': "Pa', 'ris"}')
# What the last chunk of a stream and every plain answer carry.
COUNTS = {
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    "timings": {
        "cache_n": 0,
        "prompt_n": 7,
        "prompt_ms": 1.5,
        "predicted_n": 3,
        "predicted_ms": 33.1,
        "predicted_per_second": 90.6,
    },
}


def counted(tokens: int, prompt: int, took_s: float) -> dict[str, Any]:
    """
    The same for an answer of so many tokens.
    """
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens}
    timings = {
        "cache_n": prompt // 2,
        "prompt_n": prompt - prompt // 2,
        "prompt_ms": 1.5,
        "predicted_n": tokens,
        "predicted_ms": took_s * 1000,
        "predicted_per_second": tokens / took_s if took_s else 0.0,
    }
    return {
        "usage": usage | {"total_tokens": prompt + tokens},
        "timings": timings,
    }


BLIND = {
    "code": 500,
    "message": "image input is not supported - hint: if this is unexpected, you may "
    "need to provide the mmproj",
    "type": "server_error",
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


class Shape:
    """
    How one API says an answer: OpenAI's chats and completions.

    :ivar tool: the tool that it calls instead of saying anything.
    """

    ends_with_done = True
    counts: dict[str, Any] = COUNTS

    def __init__(self, model: str, tool: str) -> None:
        self.model, self.tool = model, tool
        self.counts = COUNTS
        self.call = {"name": tool, "arguments": "".join(ARGUMENTS)}

    def whole(self) -> dict[str, Any]:
        if not self.tool:
            return ANSWER | self.counts
        call = {"id": "call_1", "type": "function", "function": self.call}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return ANSWER | self.counts | {"choices": [choice]}

    def begin(self) -> list[Any]:
        return []

    def piece(self, n: int, text: str) -> dict[str, Any]:
        """
        The event of one token, or of a piece of the call's arguments.
        """
        delta: dict[str, Any] = {"content": text}
        if self.tool:
            call: dict[str, Any] = {"index": 0, "function": {"arguments": text}}
            if not n:
                call |= {"id": "call_1", "type": "function"}
                call["function"]["name"] = self.tool
            delta = {"tool_calls": [call]}
        if not n:
            delta = {"role": "assistant", **delta}
        return self.chunk(delta, "" if self.tool else text, None)

    def reasoning(self, n: int, text: str) -> dict[str, Any]:
        """
        The event of one token of reasoning.
        """
        role = {} if n else {"role": "assistant"}
        return self.chunk({**role, "reasoning_content": text}, "", None)

    def end(self) -> list[Any]:
        return [self.chunk({}, "", "tool_calls" if self.tool else "stop") | self.counts]

    def chunk(self, delta: Any, text: str, reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "text": text, "finish_reason": reason}
        common = {"id": "fake-1", "object": "chat.completion.chunk", "created": 1}
        return {**common, "model": self.model, "choices": [choice]}


class Messages(Shape):
    """
    Anthropic's.
    """

    ends_with_done = False

    def block(self, *, filled: bool) -> dict[str, Any]:
        if self.tool:
            given = json.loads(self.call["arguments"]) if filled else {}
            return {"type": "tool_use", "id": "t_1", "name": self.tool, "input": given}
        return {"type": "text", "text": "Paris." if filled else ""}

    def message(self, *, filled: bool) -> dict[str, Any]:
        reason = "tool_use" if self.tool else "end_turn"
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [self.block(filled=True)] if filled else [],
            "stop_reason": reason if filled else None,
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 3 if filled else 0},
        }

    def whole(self) -> dict[str, Any]:
        return self.message(filled=True)

    def begin(self) -> list[Any]:
        block = self.block(filled=False)
        return [
            {"type": "message_start", "message": self.message(filled=False)},
            {"type": "content_block_start", "index": 0, "content_block": block},
        ]

    def piece(self, n: int, text: str) -> dict[str, Any]:
        delta = {"type": "text_delta", "text": text}
        if self.tool:
            delta = {"type": "input_json_delta", "partial_json": text}
        return {"type": "content_block_delta", "index": 0, "delta": delta}

    def end(self) -> list[Any]:
        reason = self.message(filled=True)["stop_reason"]
        delta = {"stop_reason": reason, "stop_sequence": None}
        usage = {"output_tokens": 3}
        return [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]


class Responses(Shape):
    """
    OpenAI's newer one.
    """

    ends_with_done = False

    def __init__(self, model: str, tool: str) -> None:
        super().__init__(model, tool)
        self.said: list[str] = []

    def item(self, text: str | None, status: str = "completed") -> dict[str, Any]:
        """
        :param text: None: it begins.
        """
        if self.tool:
            call = {"type": "function_call", "call_id": "call_1", "name": self.tool}
            return {"id": "item_1", **call, "arguments": text or "", "status": status}
        part: Any = {"type": "output_text", "text": text, "annotations": []}
        content = [] if text is None else [part]
        said = {"type": "message", "role": "assistant", "content": content}
        return {"id": "item_1", **said, "status": status}

    def response(self, status: str, *output: Any) -> dict[str, Any]:
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": self.model,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "output": list(output),
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": {
                "input_tokens": 7,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 10,
            },
        }

    def whole(self) -> dict[str, Any]:
        text = self.call["arguments"] if self.tool else "Paris."
        return self.response("completed", self.item(text))

    def begin(self) -> list[Any]:
        item = self.item(None, "in_progress")
        part = {"type": "output_text", "text": "", "annotations": []}
        events: list[Any] = [
            {"type": "response.created", "response": self.response("in_progress")},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
        ]
        if not self.tool:
            here = {"item_id": "item_1", "output_index": 0, "content_index": 0}
            events.append({"type": "response.content_part.added", **here, "part": part})
        return events

    def piece(self, n: int, text: str) -> dict[str, Any]:
        self.said.append(text)
        kind = "function_call_arguments" if self.tool else "output_text"
        here = {"item_id": "item_1", "output_index": 0, "content_index": 0}
        return {"type": f"response.{kind}.delta", **here, "delta": text, "logprobs": []}

    def end(self) -> list[Any]:
        text = "".join(self.said)
        item = self.item(text)
        here = {"item_id": "item_1", "output_index": 0, "content_index": 0}
        done = {"type": "response.output_text.done", "text": text, "logprobs": []}
        if self.tool:
            kind = "response.function_call_arguments.done"
            done = {"type": kind, "name": self.tool, "arguments": text}
        ended = self.response("completed", item)
        return [
            here | done,
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": ended},
        ]


class Embeddings(Shape):
    """
    One for each text, in Base64 if that is asked for.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__("", "")
        self.asked = asked

    def whole(self) -> dict[str, Any]:
        sent = self.asked.get("input", "")
        vector: Any = [0.25, -0.5]
        if self.asked.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index in range(len(sent) if isinstance(sent, list) else 1)
        ]
        return ANSWER | self.counts | {"object": "list", "data": data}


def shape_of(path: str, asked: dict[str, Any], tool: str, model: str) -> Shape:
    """
    That of the API of this path.
    """
    if path == "/v1/embeddings":
        return Embeddings(asked)
    if path == "/v1/messages":
        return Messages(model, tool)
    return (Responses if path == "/v1/responses" else Shape)(model, tool)


def tool_in(asked: dict[str, Any]) -> str:
    """
    The name of the first tool of a request; nothing once it was called, or without one.
    """
    said = json.dumps(asked.get("messages") or asked.get("input") or "")
    results = ('"role": "tool"', '"tool_result"', '"function_call_output"')
    if not asked.get("tools") or any(result in said for result in results):
        return ""
    tool = asked["tools"][0]
    return str(tool.get("function", tool)["name"])


def common(one: str, other: str) -> int:
    """
    How many characters both begin with.
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


class Slots:
    """
    The slots of an engine: what each holds, as text of which four bytes are a token.

    With faults, see `--slot-fault`. A save that is killed leaves half a file.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.folder, self.faults = args.slot_save_path, dict(args.slot_fault)
        self.texts = [""] * args.slots
        self.tasks: list[int | None] = [None] * args.slots
        self.busy = [False] * args.slots
        self.task = 0
        # One thing is done at a time.
        self.lock = threading.Lock()

    def fault(self, name: str) -> Any:
        return self.faults.get(name)

    def begin(self, text: str) -> tuple[int, dict[str, Any]]:
        """
        A request takes a slot: which, and what its answer counts.
        """
        with self.lock:
            same = [common(text, held) for held in self.texts]
            used = [-1 if task is None else task for task in self.tasks]
            order = sorted(range(len(same)), key=used.__getitem__)
            best = max(order, key=lambda n: same[n])
            slot = best if same[best] > len(text) / 10 else order[0]
            cached = 0 if self.fault("forgets") else same[slot] // 4
            self.texts[slot], self.tasks[slot] = text, self.task
            self.busy[slot] = True
            self.task += 1
        prompt = len(text) // 4
        timings: dict[str, Any] = {"cache_n": cached, "prompt_n": prompt - cached}
        timings |= {"prompt_ms": 100.0 * (prompt - cached) or 1.0, "predicted_n": 1}
        usage = {"prompt_tokens": prompt, "completion_tokens": 1}
        return slot, {"usage": usage, "timings": timings}

    def end(self, slot: int) -> None:
        self.busy[slot] = False

    def shown(self) -> list[dict[str, Any]]:
        return [
            {"id": n, "is_processing": self.busy[n]}
            | ({} if task is None else {"id_task": task})
            | ({} if task is None else {"n_prompt_tokens": len(self.texts[n]) // 4})
            for n, task in enumerate(self.tasks)
        ]

    def act(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """
        Save or restore one: status and answer.
        """
        path, _, query = target.partition("?action=")
        slot, name = int(path.removeprefix("/slots/")), json.loads(body)["filename"]
        file = Path(self.folder or "", name)
        with self.lock:
            time.sleep(self.fault(f"{query}_delay_s") or 0.0)
            fault = self.fault(query)
            if self.folder is None or fault == "unknown":
                return 501, {"error": {"message": "Start it with --slot-save-path"}}
            if fault == "refuse":
                return 400, {"error": {"message": "Unable to do it"}}
            if query == "restore" and fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            return self.save(slot, file) if query == "save" else self.load(slot, file)

    def save(self, slot: int, file: Path) -> tuple[int, dict[str, Any]]:
        fault, text = self.fault("save"), self.texts[slot].encode()
        with file.open("wb") as saved:
            saved.write(text[: len(text) // 2])
            saved.flush()
            if fault == "full":
                return 500, {"error": {"message": "Unable to save slot"}}
            if fault == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "stall":
                time.sleep(1e6)
            saved.write(text[len(text) // 2 :])
        if fault == "elsewhere":
            file.unlink()
        written = 1 if fault == "lie" else len(text)
        return 200, {"n_saved": len(text) // 4, "n_written": written}

    def load(self, slot: int, file: Path) -> tuple[int, dict[str, Any]]:
        text = file.read_bytes().decode()
        fault = self.fault("restore")
        self.texts[slot] = "" if fault == "useless" else text
        restored = 1 if fault == "lie" else len(text) // 4
        return 200, {"n_restored": restored, "n_read": len(text)}


SLOT_FAULTS = (
    "save: unknown, refuse, full, die, stall, lie, elsewhere; restore: unknown, refuse,"
    " die, lie, useless; save_delay_s, restore_delay_s; forgets: never anything cached"
)
PROPS = {
    "model_path": "/models/fake.gguf",
    "build_info": "b1-fake",
    "default_generation_settings": {"n_ctx": 4096},
}


class Daemon:
    """
    The process: its options, its journal, its end.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.slots = Slots(args) if args.slots else None
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
        if self.args.log and facts.get("path") != "/health":
            os.write(2, f"main: {what} {facts.get('path', '')}\n".encode())

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

    @contextmanager
    def in_slot(self, asked: dict[str, Any], shape: Shape) -> Iterator[None]:
        """
        While it is answered a request has a slot, if there are any.
        """
        slots = self.daemon.slots
        if slots is None:
            yield
            return
        slot, shape.counts = slots.begin(json.dumps(asked.get("messages", ""))[:-1])
        try:
            yield
        finally:
            slots.end(slot)

    def answer_slots(self, request: Request, path: str, slots: Slots) -> None:
        if path == "/props":
            self.plain(request, Wish(body=PROPS | {"total_slots": len(slots.busy)}), {})
        elif path == "/slots":
            self.plain(request, Wish(body=slots.shown()), {})
        else:
            action = request.target.partition("action=")[2]
            self.daemon.note(action)
            status, done = slots.act(request.target, request.body)
            self.daemon.note(f"{action}d", status=status)
            self.plain(request, Wish(status=status, body=done), {})

    def answer(self, request: Request) -> None:
        path = request.target.partition("?")[0]
        if path == "/health" or not self.daemon.loaded:
            self.answer_health(request, path)
            return
        slots = self.daemon.slots
        if slots is not None and path.startswith(("/props", "/slots")):
            self.answer_slots(request, path, slots)
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
            if not wish.sees and b'"image' in request.body:
                wish = wish._replace(status=500, body={"error": BLIND})
            model = self.daemon.args.name
            tool = tool_in(asked) if wish.calls_tools else ""
            shape = shape_of(path, asked, tool, model)
            with self.in_slot(asked, shape):
                if asked.get("stream") and wish.status == 200:
                    self.stream(request, wish, shape)
                else:
                    ours = shape.whole() | {"x_request": told, "model": model}
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

    def stream(self, request: Request, wish: Wish, shape: Shape) -> None:
        """
        Server-sent events, a write for each.
        """
        end = "\r\n" if wish.crlf else "\n"

        def say(*events: dict[str, Any]) -> None:
            for event in events:
                # The engine names its events where they have a type.
                name = f"event: {event['type']}{end}" if "type" in event else ""
                self.chunk(f"{name}data: {json.dumps(event)}{end}{end}".encode())

        event_stream = ("Content-Type", "text/event-stream")
        self.head(request, wish, event_stream, ("Transfer-Encoding", "chunked"))
        for _ in range(wish.comments):
            self.chunk(f": still reading{end}{end}".encode())
        self.pause(wish.first_token_delay_s)
        say(*shape.begin())
        began = time.monotonic()
        thought, said = wish.said()
        pieces = [*thought, *(ARGUMENTS if shape.tool else said)]
        for n, piece in enumerate(pieces):
            if n == wish.after:
                self.break_off(wish)
            if wish.interval_s:
                self.pause(began + n * wish.interval_s - time.monotonic())
            sent_ns = time.monotonic_ns()
            time_text = f"{sent_ns} ".ljust(wish.token_bytes, "x")
            text = time_text if wish.timed else piece
            make = shape.reasoning if n < len(thought) else shape.piece
            say(make(n, text) | {"x_sent_ns": sent_ns})
        if wish.after is not None:
            self.break_off(wish)
        if wish.text is not None or wish.text_file is not None:
            prompt = len(request.body) // 4
            took_s = time.monotonic() - began
            shape.counts = counted(len(pieces), prompt, took_s)
        say(*shape.end())
        if shape.ends_with_done and not wish.no_done:
            self.chunk(f"data: [DONE]{end}{end}".encode())
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
    add("--log", action="store_true", help="tell on stderr, too, what happens")
    add("--http-version", metavar="1.N", help="close after each answer of HTTP/1.N")
    add("--wish", type=json.loads, default={}, metavar="JSON", help="see above")
    add("--slots", type=int, default=0, metavar="N", help="has so many; 0: none")
    add("--slot-save-path", metavar="FOLDER", help="where they are saved")
    add("--slot-fault", type=json.loads, default={}, metavar="JSON", help=SLOT_FAULTS)
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
