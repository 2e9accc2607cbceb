"""
The stand-in daemon does what the tests that are built on it take for granted.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_port

SCRIPT = Path(__file__).parent / "fake_llama.py"
PATIENCE_S = 30.0


class FakeLlamaTests(SynchronousTestCase):
    """
    A real process, real sockets, and every wait bounded.
    """

    def start(self, *options: str) -> None:
        """
        Run one; its journal is its standard output, so that waiting is reading.
        """
        self.port = free_port()
        argv = [sys.executable, str(SCRIPT), "--port", str(self.port), *options]
        self.process = subprocess.Popen(
            [*argv, "--journal", "/dev/stdout"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self.addCleanup(self.clean_up, self.process)

    def clean_up(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)

    def until(self, what: str) -> dict[str, Any]:
        """
        Read the journal up to the first line that tells of `what`.
        """
        while entry := json.loads(self.line_of(self.process.stdout)):
            if entry["what"] == what:
                break
        found: dict[str, Any] = entry
        return found

    def line_of(self, stream: IO[bytes] | None) -> bytes:
        assert stream is not None
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([stream], [], [], PATIENCE_S)
            self.assertTrue(readable, f"nothing after {line!r}")
            byte = stream.read(1)
            self.assertTrue(byte, f"it ended after {line!r}")
            line += byte
        return line

    def connect(self) -> socket.socket:
        address = ("127.0.0.1", self.port)
        client = socket.create_connection(address, timeout=PATIENCE_S)
        self.addCleanup(client.close)
        return client

    def ask(self, target: str = "/v1/chat/completions", **body: Any) -> socket.socket:
        """
        Send a POST, and hand back the socket its answer comes on.
        """
        client = self.connect()
        data = json.dumps({"model": "m"} | body).encode()
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
        client.sendall(head.encode() + b"Connection: close\r\n\r\n" + data)
        return client

    def hear(self, **wish: Any) -> bytes:
        """
        All bytes that come for a stream with this wish, until the end (FIN).
        """
        client = self.ask(stream=True, x_fake=wish)
        return b"".join(iter(lambda: client.recv(65536), b""))

    def get(self, path: str) -> tuple[int, Any]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with closing(client):
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())

    # How it lives.

    def test_loading(self) -> None:
        """
        The port is open at once; everything is 503 until the load time is over.
        """
        self.start("--load-time", "2")
        born = self.until("started")["at"]
        self.until("listening")
        for path in ("/health", "/v1/models"):
            status, answer = self.get(path)
            self.assertEqual((status, answer["error"]["code"]), (503, 503))
        while self.get("/health") != (200, {"status": "ok"}):
            # Its journal is a pipe here, and would be full.
            time.sleep(0.02)
            self.assertLess(time.monotonic() - born, PATIENCE_S)
        self.assertGreaterEqual(time.monotonic() - born, 1.9)

    def test_never_healthy(self) -> None:
        """
        Without a load time it is healthy at once, unless it never is to be.
        """
        self.start()
        self.until("listening")
        self.assertEqual(self.get("/health")[0], 200)
        self.start("--never-healthy")
        self.until("listening")
        self.assertEqual(self.get("/health")[0], 503)

    def test_started(self) -> None:
        """
        The journal tells how it was started: no descriptors but the standard ones.
        """
        self.start("--name", "n")
        entry = self.until("started")
        self.assertEqual(entry["pid"], self.process.pid)
        self.assertEqual(entry["name"], "n")
        self.assertEqual((entry["sid"], entry["pgid"]), (self.process.pid,) * 2)
        self.assertEqual(entry["fds"], [0, 1, 2])
        self.assertEqual(entry["env"], sorted(os.environ))

    def test_listens_late(self) -> None:
        """
        The port refuses until it listens.
        """
        self.start("--listen-late", "1.5")
        self.until("started")
        self.assertRaises(ConnectionRefusedError, self.connect)
        self.until("listening")
        self.connect()

    # How it ends.

    def test_sigterm(self) -> None:
        """
        SIGTERM ends it with status 0, in the middle of an answer too.
        """
        self.start()
        self.until("listening")
        client = self.ask(stream=True, x_fake={"tokens": 1, "first_token_delay_s": 60})
        self.until("begun")
        self.process.terminate()
        self.assertEqual(self.process.wait(PATIENCE_S), 0)
        self.assertEqual(self.until("sigterm")["pid"], self.process.pid)
        self.assertEqual(self.until("exited")["status"], 0)
        self.assertNotIn(b"data:", client.recv(65536))

    def test_ignores_sigterm(self) -> None:
        """
        It notes the signal and serves on.
        """
        self.start("--ignore-sigterm")
        self.until("listening")
        self.process.terminate()
        self.until("sigterm")
        self.assertEqual(self.get("/health")[0], 200)

    def test_stop_time(self) -> None:
        """
        A slow stop still answers meanwhile, then ends with status 0.
        """
        self.start("--stop-time", "0.3")
        self.until("listening")
        self.process.terminate()
        stopped = self.until("sigterm")["at"]
        self.assertEqual(self.get("/health")[0], 200)
        self.assertGreaterEqual(self.until("exited")["at"] - stopped, 0.3)
        self.assertEqual(self.process.wait(PATIENCE_S), 0)

    def test_last_words(self) -> None:
        """
        It exits by itself, with its status and a line on stderr.
        """
        self.start("--exit-after", "0.05", "--exit-status", "7", "--last-words", "no.")
        self.assertEqual(self.line_of(self.process.stderr), b"no.\n")
        self.assertEqual(self.process.wait(PATIENCE_S), 7)

    def test_grandchild(self) -> None:
        """
        Its child survives it, and goes with the group.
        """
        self.start("--grandchild")
        grandchild = self.until("grandchild")["grandchild"]
        self.until("listening")
        self.process.kill()
        self.process.wait(PATIENCE_S)
        os.kill(grandchild, 0)
        os.killpg(self.process.pid, signal.SIGTERM)
        # The grandchild holds the other end of this pipe: now it is gone.
        assert self.process.stderr is not None
        readable, _, _ = select.select([self.process.stderr], [], [], PATIENCE_S)
        self.assertTrue(readable)
        self.assertEqual(self.process.stderr.read(), b"")

    # How it answers.

    def test_plain(self) -> None:
        """
        An answer has its length, no final newline, and tells what was asked.
        """
        self.start("--name", "n")
        self.until("listening")
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        self.addCleanup(client.close)
        body = b'{ "model":"m" }'
        for target in ("/v1/embeddings?a=%20b", "/infill"):
            client.request("POST", target, body, {"Origin": "http://evil"})
            answer = client.getresponse()
            data = answer.read()
            self.assertEqual(answer.getheader("Content-Length"), str(len(data)))
            self.assertEqual(
                answer.getheader("Access-Control-Allow-Origin"), "http://evil"
            )
            self.assertTrue(data.endswith(b"}"))
            told = json.loads(data)["x_request"]
            self.assertEqual((told["method"], told["target"]), ("POST", target))
            self.assertEqual(told["body_length"], len(body))
            self.assertEqual(told["body_sha256"], sha256(body).hexdigest())
            self.assertIn(["Origin", "http://evil"], told["headers"])
            self.assertEqual(self.until("begun")["model"], "m")
            self.until("finished")

    def test_stream(self) -> None:
        """
        A role and content, usage and timings, [DONE], the final chunk.
        """
        self.start()
        self.until("listening")
        heard = self.hear(tokens=2, comments=1, token_bytes=9)
        head, _, body = heard.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: text/event-stream", head)
        lines = [line for line in body.split(b"\n") if line.startswith((b"data", b":"))]
        self.assertEqual(lines[0], b": still reading")
        first, second, last = (json.loads(line[6:]) for line in lines[1:4])
        role = {"role": "assistant", "content": "0 xxxxxxx"}
        self.assertEqual(first["choices"][0]["delta"], role)
        self.assertEqual(second["choices"][0]["delta"], {"content": "1 xxxxxxx"})
        self.assertEqual(last["choices"][0]["delta"], {})
        self.assertLess(first["x_sent_ns"], second["x_sent_ns"])
        self.assertIn("timings", last)
        self.assertEqual(lines[4], b"data: [DONE]")
        self.assertTrue(heard.endswith(b"\r\n0\r\n\r\n"))

    def test_timed_stream(self) -> None:
        """
        A request without a wish has that of the command line; here, times for tokens.
        """
        self.start("--wish", '{"tokens": 1, "timed": true}')
        self.until("listening")
        client = self.ask(stream=True)
        with client:
            heard = b""
            while not heard.endswith(b"\r\n0\r\n\r\n"):
                heard += client.recv(65536)
        [line] = [line for line in heard.split(b"\n") if b"x_sent_ns" in line]
        event = json.loads(line[6:])
        text = event["choices"][0]["delta"]["content"]
        self.assertEqual(text, f"{event['x_sent_ns']} ")

    def test_text_and_reasoning(self) -> None:
        """
        In pieces of one length; the text may be a file's, as it is when it is asked.
        """
        path = Path(self.mktemp()).absolute()
        self.start()
        self.until("listening")
        wish = {"token_bytes": 3, "reasoning": "hmm."}
        path.write_text("from a file", "utf-8")
        for more in ({"text": "from a file"}, {"text_file": str(path)}):
            heard = self.hear(**wish, **more)
            lines = [it for it in heard.split(b"\n") if b"x_sent_ns" in it]
            deltas = [json.loads(it[6:])["choices"][0]["delta"] for it in lines]
            thought = "".join(it.get("reasoning_content", "") for it in deltas)
            said = [it["content"] for it in deltas if "content" in it]
            self.assertEqual((thought, said), ("hmm.", ["fro", "m a", " fi", "le"]))
            self.assertEqual(deltas[0]["role"], "assistant")

    def events(self, target: str, **body: Any) -> list[Any]:
        """
        The data of a stream's events, with what each is called.
        """
        client = self.ask(target, stream=True, **body)
        heard = b"".join(iter(lambda: client.recv(65536), b"")).decode()
        lines = [line for line in heard.split("\n") if line.startswith(("ev", "da"))]
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        named = [line[7:] for line in lines if line.startswith("event: ")]
        self.assertEqual(named, [event["type"] for event in events if "type" in event])
        return events

    def test_messages(self) -> None:
        """
        Anthropic's API: named events, a text or a call between a begin and an end.
        """
        self.start("--wish", '{"calls_tools": true, "tokens": 1}')
        self.until("listening")
        begin, block, piece, *_, end = self.events("/v1/messages")
        self.assertEqual(begin["type"], "message_start")
        self.assertEqual(block["content_block"], {"type": "text", "text": ""})
        self.assertEqual(piece["delta"], {"type": "text_delta", "text": "0 xx"})
        self.assertEqual(end, {"type": "message_stop"})
        events = self.events("/v1/messages", tools=[{"name": "weather"}])
        self.assertEqual(events[1]["content_block"]["name"], "weather")
        pieces = [event["delta"]["partial_json"] for event in events[2:5]]
        self.assertEqual(json.loads("".join(pieces)), {"city": "Paris"})

    def test_responses(self) -> None:
        """
        OpenAI's newer API: named events, the last of which has all that was said.
        """
        self.start("--wish", '{"calls_tools": true, "tokens": 2}')
        self.until("listening")
        events = self.events("/v1/responses")
        self.assertEqual(events[0]["type"], "response.created")
        self.assertEqual(events[-1]["type"], "response.completed")
        [item] = events[-1]["response"]["output"]
        self.assertEqual(item["content"][0]["text"], "0 xx1 xx")
        events = self.events("/v1/responses", tools=[{"name": "weather"}])
        [item] = events[-1]["response"]["output"]
        self.assertEqual(item["name"], "weather")
        self.assertEqual(json.loads(item["arguments"]), {"city": "Paris"})

    def test_tools(self) -> None:
        """
        The first tool is called, until its result is sent.
        """
        self.start("--wish", '{"calls_tools": true}')
        self.until("listening")
        tools = [{"type": "function", "function": {"name": "weather"}}]
        *events, last = self.events("/v1/chat/completions", tools=tools)
        calls = [
            event["choices"][0]["delta"]["tool_calls"][0]["function"]
            for event in events
        ]
        self.assertEqual(calls[0]["name"], "weather")
        arguments = "".join(call["arguments"] for call in calls)
        self.assertEqual(json.loads(arguments), {"city": "Paris"})
        self.assertEqual(last["choices"][0]["finish_reason"], "tool_calls")
        messages = [{"role": "tool", "content": "sunny"}]
        first, *_ = self.events("/v1/chat/completions", tools=tools, messages=messages)
        self.assertIn("content", first["choices"][0]["delta"])

    def test_embeddings(self) -> None:
        """
        One for each text; in Base64 where that is asked for.
        """
        self.start()
        self.until("listening")
        path = "/v1/embeddings"
        heard = self.ask(path, input=["a", "b"]).makefile("rb").read()
        found = json.loads(heard.partition(b"\r\n\r\n")[2])["data"]
        self.assertEqual([each["index"] for each in found], [0, 1])
        self.assertEqual(found[1]["embedding"], [0.25, -0.5])
        asked = {"input": "a", "encoding_format": "base64"}
        heard = self.ask(path, **asked).makefile("rb").read()
        self.assertIn(b'"AACAPgAAAL8="', heard)

    def test_an_image(self) -> None:
        """
        Without eyes it answers 500, as the engine does without an mmproj.
        """
        self.start("--wish", '{"sees": false}')
        self.until("listening")
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        messages = [{"role": "user", "content": [image]}]
        client = self.ask(stream=True, messages=messages)
        heard = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertTrue(heard.startswith(b"HTTP/1.1 500 "))
        self.assertIn(b"image input is not supported", heard)
        self.assertIn(b"HTTP/1.1 200 ", self.ask(stream=True).recv(65536))

    def test_interval(self) -> None:
        """
        Tokens leave at their times, not together.
        """
        self.start()
        self.until("listening")
        lines = self.hear(tokens=3, interval_s=0.05).split(b"\n")
        events = [json.loads(line[6:]) for line in lines if b"x_sent_ns" in line]
        sent = [event["x_sent_ns"] for event in events]
        self.assertGreaterEqual(sent[2] - sent[0], 99_000_000)

    def test_silences(self) -> None:
        """
        It can be silent before the status line, and after [DONE].
        """
        self.start()
        self.until("listening")
        began = time.monotonic()
        client = self.ask(stream=True, x_fake={"delay_s": 0.1, "after_done_hold_s": 60})
        heard = client.recv(65536)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)
        while b"[DONE]" not in heard:
            heard += client.recv(65536)
        client.close()
        self.until("client_gone")

    def test_head(self) -> None:
        """
        HEAD is answered without a body.
        """
        self.start()
        self.until("listening")
        client = self.connect()
        client.sendall(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        heard = b"".join(iter(lambda: client.recv(65536), b""))
        self.assertIn(b"\r\nContent-Length: ", heard)
        self.assertTrue(heard.endswith(b"\r\n\r\n"))

    def test_error(self) -> None:
        """
        Any status, reason, header and body; a misspelt wish and broken JSON fail.
        """
        self.start()
        self.until("listening")
        error = {"error": {"type": "exceed_context_size_error", "n_ctx": 512}}
        wish = {"status": 400, "body": error, "reason": "Oh no", "headers": {"A": "b"}}
        heard = self.hear(**wish)
        self.assertTrue(heard.startswith(b"HTTP/1.1 400 Oh no\r\n"))
        self.assertIn(b"\r\nA: b\r\n", heard)
        self.assertTrue(heard.endswith(json.dumps(error).encode()))
        self.assertIn(b" 400 ", self.hear(tokns=3))
        client = self.connect()
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n{")
        self.assertIn(b" 500 ", client.recv(65536))

    # How answers go wrong.

    def test_breaking_off(self) -> None:
        """
        Each way to end a stream early leaves what it says, and no final chunk.
        """
        self.start()
        self.until("listening")
        for scrap, tail in (
            ("", b"}\n\n\r\n"),
            ("half_line", b'"de\r\n'),
            ("open_event", b"}\n\r\n"),
            ("half_chunk", b'{"choices"'),
            ("bad_chunk", b"is no chunk\r\n"),
        ):
            heard = self.hear(tokens=5, after=2, scrap=scrap)
            self.assertEqual(heard.count(b"x_sent_ns"), 2, scrap)
            self.assertTrue(heard.endswith(tail), heard)
            self.assertNotIn(b"[DONE]", heard)
            self.assertNotIn(b"\r\n0\r\n\r\n", heard)

    def test_no_done(self) -> None:
        """
        A clean end without [DONE].
        """
        self.start()
        self.until("listening")
        heard = self.hear(no_done=True, crlf=True)
        self.assertNotIn(b"[DONE]", heard)
        self.assertIn(b"}\r\n\r\n\r\n", heard)
        self.assertTrue(heard.endswith(b"0\r\n\r\n"))

    def test_reset(self) -> None:
        """
        The connection is reset.
        """
        self.start()
        self.until("listening")
        with self.assertRaises(ConnectionResetError):
            self.hear(tokens=0, after=0, then="reset")

    def test_nonsense(self) -> None:
        """
        Anything at all can be the answer, nothing included.
        """
        self.start()
        self.until("listening")
        for words in ("SSH-2.0\r\n", ""):
            self.assertEqual(self.hear(bad_response=words), words.encode())

    def test_short(self) -> None:
        """
        A plain answer promises more than comes, with a length or in chunks.
        """
        self.start()
        self.until("listening")
        for chunked in (False, True):
            wish = {"plain_bytes": 100_000, "missing": 1000, "chunked": chunked}
            client = http.client.HTTPConnection("127.0.0.1", self.port)
            self.addCleanup(client.close)
            client.request("POST", "/", json.dumps({"x_fake": wish}))
            with self.assertRaises(http.client.IncompleteRead) as caught:
                client.getresponse().read()
            self.assertEqual(len(caught.exception.partial), 99_000)

    def test_stall_and_client_gone(self) -> None:
        """
        A stalled stream is silent; the journal tells when its client has gone.
        """
        self.start()
        self.until("listening")
        client = self.ask(stream=True, x_fake={"after": 1, "then": "stall"})
        while b"x_sent_ns" not in client.recv(65536):
            pass
        left = time.monotonic()
        client.close()
        self.assertLess(self.until("client_gone")["at"] - left, 1.0)

    def test_client_gone_while_pouring(self) -> None:
        """
        A client that reads nothing holds it up, and its end is noticed.
        """
        self.start()
        self.until("listening")
        client = self.ask(x_fake={"plain_bytes": 200_000_000})
        self.until("begun")
        client.recv(1)
        client.close()
        self.until("client_gone")

    def test_dies(self) -> None:
        """
        SIGKILL in the middle: what was sent arrives.
        """
        self.start()
        self.until("listening")
        heard = self.hear(tokens=5, after=2, then="die")
        self.assertEqual(heard.count(b"x_sent_ns"), 2)
        self.assertEqual(self.process.wait(PATIENCE_S), -signal.SIGKILL)

    def test_dies_before_its_answer_once(self) -> None:
        """
        The first daemon dies of the request; the next one, told the same, answers.
        """
        state = self.mktemp()
        for status in (b"", b"HTTP/1.1 200"):
            self.start("--state", state)
            self.until("listening")
            self.assertEqual(self.hear(die_before_answer=1)[:12], status)

    def said(self, target: str, **body: Any) -> Any:
        """
        The JSON of a whole answer.
        """
        with closing(self.ask(target, **body)) as client:
            heard = b""
            while piece := client.recv(65536):
                heard += piece
        return json.loads(heard.partition(b"\r\n\r\n")[2])

    def test_slots(self) -> None:
        """
        It has slots as the engine has, each conversation finds its own, and what was
        saved of one is there in the next life.
        """
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        texts = [name * 400 for name in "xy"]

        def cached(text: str) -> int:
            messages = [{"role": "user", "content": text}]
            answer = self.said("/v1/chat/completions", messages=messages)
            count = answer["timings"]["cache_n"]
            assert isinstance(count, int)
            return count

        options = ("--slots", "2", "--slot-save-path", str(folder))
        self.start(*options)
        self.until("listening")
        self.assertEqual([cached(text) for text in texts * 2], [0, 0, 108, 108])
        slots = self.get("/slots")[1]
        self.assertEqual([slot["n_prompt_tokens"] for slot in slots], [108, 108])
        for slot in slots:
            name = f"{slot['id']}.slot"
            saved = self.said(f"/slots/{slot['id']}?action=save", filename=name)
            self.assertEqual(saved["n_saved"], 108)
        self.start(*options)
        self.until("listening")
        self.said("/slots/0?action=restore", filename="1.slot")
        self.assertEqual(cached(texts[1]), 108)
