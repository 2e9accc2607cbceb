"""
The client side: what is sent, and when what comes back arrives.

Blocking sockets and one selector: a load generator that shares two cores with what
it measures must cost next to nothing.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from typing import Any

SENT_NS = re.compile(rb'"x_sent_ns": (\d+)')
# No event of the stand-in's ends like this: they end with a blank line of LFs.
FINAL_CHUNK = b"0\r\n\r\n"
PATIENCE_S = 60.0
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def post(model: str, path: str = "/v1/chat/completions", **body: Any) -> bytes:
    """
    The bytes of one chat request.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "?"}]} | body
    return post_bytes(path, json.dumps(body).encode())


def post_bytes(path: str, data: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


class Client:
    """
    One keep-alive connection.
    """

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, request: bytes) -> None:
        self.sock.sendall(request)

    def receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the answer ended too early")
        return data

    def finish(self, heard: bytes = b"") -> tuple[int, bytes]:
        """
        Read the answer to its end: its status and its body, chunks and all.
        """
        while b"\r\n\r\n" not in heard:
            heard += self.receive()
        head, _, body = heard.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
        while len(body) < int(length[1]) if length else body[-5:] != FINAL_CHUNK:
            body += self.receive()
        return int(head.split(b" ", 2)[1]), body

    def time(self, request: bytes, until: bytes = b"") -> float:
        """
        Seconds from the request to its answer's first byte, or first `until`.
        """
        began = time.perf_counter()
        self.send(request)
        heard = self.receive()
        while until not in heard:
            heard += self.receive()
        took = time.perf_counter() - began
        status, body = self.finish(heard)
        if status != 200:
            raise ConnectionError(f"{status}: {body[:300]!r}")
        return took


class Stream:
    """
    A stream of events that carry when they left the daemon.

    :param sent_ns: finds that time in an event.
    """

    def __init__(self, client: Client, sent_ns: re.Pattern[bytes] = SENT_NS) -> None:
        self.client = client
        self._sent_ns = sent_ns
        self.latencies_ms: list[float] = []
        self.over = False
        self._open_line = self._tail = b""

    def hear(self) -> None:
        data = self.client.receive()
        # The engine's clock is this one: it is the machine's, not the process's.
        now = time.monotonic_ns()
        text = self._open_line + data
        for sent in self._sent_ns.findall(text):
            self.latencies_ms.append((now - int(sent)) / 1e6)
        self._open_line = text[text.rfind(b"\n") + 1 :]
        self._tail = (self._tail + data)[-len(FINAL_CHUNK) :]
        self.over = self._tail == FINAL_CHUNK


def listen(streams: list[Stream]) -> None:
    """
    Hear all of them to the end.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.client.sock, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                key.data.hear()
                if key.data.over:
                    selector.unregister(key.fileobj)


def keep_busy(clients: list[Client], request: bytes, requests: int) -> None:
    """
    Each client asks again as soon as it is answered, until so many are answered.
    """
    tails = dict.fromkeys(clients, b"")
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
            client.send(request)
        answered = 0
        while answered < requests:
            for key, _ in selector.select():
                client = key.data
                tails[client] = (tails[client] + client.receive())[-len(FINAL_CHUNK) :]
                if tails[client] == FINAL_CHUNK:
                    answered += 1
                    tails[client] = b""
                    client.send(request)
