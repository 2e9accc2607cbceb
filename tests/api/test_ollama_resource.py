"""
Ollama's API at the gateway: requests that it translates, and what it answers itself.
"""

import json
from typing import Any

from swapgate.config.limits import Limits
from swapgate.fleet.lease import LoadFailed
from tests.api.test_admin import AdminCase
from tests.api.test_resource import OK_LINE, Case, Client, Daemon
from tests.rig import unchunked

CHAT = b"/api/chat"
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
MESSAGES = [{"role": "user", "content": "hi"}]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def token(text: str, **choice: Any) -> bytes:
    said = {"choices": [{"index": 0, "delta": {"content": text}, **choice}]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def whole(status: bytes, **body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n" % status
    return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


class ChatCase(Case):
    """
    One chat with a daemon.
    """

    def chat(self, daemon: Daemon, path: bytes = CHAT, **fields: Any) -> None:
        self.daemon = daemon
        self.gateway(daemon)
        self.ask(json.dumps({"model": "a:latest", **fields}).encode(), path=path)

    def sent(self) -> Any:
        """
        The body that the daemon has been sent.
        """
        return json.loads(self.daemon.wire.value().partition(b"\r\n\r\n")[2])

    def lines(self) -> list[Any]:
        _, headers, body = self.client.answer()
        self.assertEqual(headers["content-type"], "application/x-ndjson")
        self.assertTrue(body.endswith(b"0\r\n\r\n"), "the proper end")
        return [json.loads(line) for line in unchunked(body).splitlines()]


class StreamTests(ChatCase):
    """
    Events in, lines out.
    """

    def test_whole(self) -> None:
        """
        A line for each event as it comes, the last one with what was counted.
        """
        self.chat(Daemon(), messages=MESSAGES)
        [(method, target, headers)] = self.daemon.asked
        self.assertEqual((method, target), (b"POST", b"/v1/chat/completions"))
        self.assertEqual(headers[b"Content-Type"], [b"application/json"])
        self.assertEqual(self.sent()["model"], "a")
        self.assertTrue(self.sent()["stream"])
        first = token("Pa")
        self.daemon.say(STREAM + chunk(first[:9]))
        self.assertEqual(self.client.value(), b"")
        self.daemon.say(chunk(first[9:]))
        self.assertIn(b'"content":"Pa"', self.client.value())
        self.daemon.say(chunk(token("ris.") + token("", finish_reason="stop")))
        timings = {"prompt_n": 7, "prompt_ms": 2, "predicted_n": 3, "predicted_ms": 4}
        usage = json.dumps({"choices": [], "timings": timings}).encode()
        self.daemon.say(chunk(b"data: " + usage + b"\n\ndata: [DONE]\n\n"))
        self.daemon.say(b"0\r\n\r\n")
        *lines, last = self.lines()
        said = "".join(line["message"]["content"] for line in lines)
        self.assertEqual(said, "Paris.")
        self.assertTrue(last["done"])
        self.assertEqual(last["model"], "a:latest")
        self.assertEqual((last["prompt_eval_count"], last["eval_count"]), (7, 3))
        self.assertEqual(self.scheduler.released, [False])

    def test_dies_in_the_middle(self) -> None:
        """
        The last line says so; what was whole before it stays.
        """
        self.chat(Daemon(), messages=MESSAGES)
        self.daemon.say(STREAM + chunk(token("Pa") + b'data: {"cho'))
        self.daemon.die()
        first, last = self.lines()
        self.assertEqual(first["message"]["content"], "Pa")
        self.assertIn("ended in the middle", last["error"])
        self.assertEqual(self.scheduler.released, [True])

    def test_an_error_in_the_stream(self) -> None:
        """
        It is the last line, and the daemon is asked no further.
        """
        self.chat(Daemon(), messages=MESSAGES)
        error = json.dumps({"error": {"message": "too long", "code": 400}}).encode()
        self.daemon.say(STREAM + chunk(token("Pa") + b"data: " + error + b"\n\n"))
        self.assertIn("too long", self.lines()[-1]["error"])
        self.assertTrue(self.daemon.wire.disconnecting)
        self.assertEqual(self.scheduler.released, [False], "it is well")

    def test_asked_again(self) -> None:
        """
        A daemon that has said nothing yet is asked once more, as if it were the first.
        """
        again = Daemon()
        self.daemon = Daemon()
        self.gateway(self.daemon, again)
        self.ask(json.dumps({"model": "a", "messages": MESSAGES}).encode(), path=CHAT)
        self.daemon.say(STREAM + chunk(b"data: {"))
        self.daemon.die()
        again.say(STREAM + chunk(token("Paris.") + b"data: [DONE]\n\n") + b"0\r\n\r\n")
        first, last = self.lines()
        self.assertEqual(first["message"]["content"], "Paris.")
        self.assertTrue(last["done"])


class HeldTests(ChatCase):
    """
    A stream whose model is waited for.
    """

    def hold(self, *daemons: Daemon | Exception) -> None:
        self.gateway(*daemons)
        self.scheduler.late = True
        self.ask(json.dumps({"model": "a", "messages": MESSAGES}).encode(), path=CHAT)
        self.clock.pump([5.1, 5.1])

    def test_served(self) -> None:
        """
        Lines without content, then the answer.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.scheduler.go_on()
        daemon.say(STREAM + chunk(token("Paris.") + b"data: [DONE]\n\n") + b"0\r\n\r\n")
        said = [line["message"]["content"] for line in self.lines()]
        self.assertEqual(said, ["", "", "Paris.", ""])

    def test_no_reasoning(self) -> None:
        """
        Also where OpenAI's clients are told of a wait as reasoning.
        """
        self.gateway(notice="reasoning")
        self.ask(json.dumps({"model": "a", "messages": MESSAGES}).encode(), path=CHAT)
        self.clock.advance(5.1)
        self.assertNotIn(b"data:", self.client.value())
        self.assertIn(b'"content":""', self.client.value())

    def test_a_failed_load(self) -> None:
        self.hold(LoadFailed("a", "no such file", 3.6))
        self.scheduler.go_on()
        self.assertIn("no such file", self.lines()[-1]["error"])

    def test_an_error_of_the_daemon(self) -> None:
        """
        One with a status is a line as well.
        """
        daemon = Daemon()
        self.hold(daemon)
        self.scheduler.go_on()
        daemon.say(whole(b"400 Bad Request", error={"message": "too long"}))
        self.assertEqual(self.lines()[-1], {"error": "too long"})


class WholeTests(ChatCase):
    """
    Answers that are no streams.
    """

    def test_chat(self) -> None:
        self.chat(Daemon(), messages=MESSAGES, stream=False)
        message = {"role": "assistant", "content": "Paris."}
        self.daemon.say(whole(b"200 OK", choices=[{"message": message}]))
        status, headers, body = self.client.answer()
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(body)["message"]["content"], "Paris.")
        self.assertTrue(json.loads(body)["done"])

    def test_embeddings(self) -> None:
        self.chat(Daemon(), path=b"/api/embed", input=["x"])
        self.assertEqual(self.daemon.asked[0][1], b"/v1/embeddings")
        self.daemon.say(whole(b"200 OK", data=[{"embedding": [1.0], "index": 0}]))
        self.assertEqual(json.loads(self.client.answer()[2])["embeddings"], [[1.0]])

    def test_errors(self) -> None:
        """
        In Ollama's shape, the gateway's and the engine's.
        """
        self.chat(Daemon(), messages=MESSAGES, stream=False)
        self.daemon.say(whole(b"400 Bad Request", error={"message": "too long"}))
        self.assertEqual(self.client.error(), (400, "too long"))
        self.chat(Daemon(), messages=MESSAGES, stream=False)
        self.daemon.say(OK_LINE + b"Content-Length: 4\r\n\r\noops")
        self.assertEqual(self.client.error()[0], 502)
        self.chat(Daemon(), messages="hi")
        self.assertEqual(self.client.error()[0], 400)
        self.gateway()
        self.ask(b"{", path=CHAT)
        self.assertIn("JSON", self.client.error()[1])
        for status, told, said in (
            (b"400 Bad Request", {"object": "error", "message": "no"}, (400, "no")),
            (b"422 Unprocessable Entity", {"detail": "no"}, (422, "no")),
            (b"302 Found", {}, (502, "302")),
        ):
            self.chat(Daemon(), messages=MESSAGES, stream=False)
            self.daemon.say(whole(status, **told))
            code, text = self.client.error()
            self.assertEqual(code, said[0])
            self.assertIn(said[1], text)
        self.gateway()
        self.ask(b"{}", path=b"/api/pull")
        self.assertEqual(self.client.error()[0], 501)

    def test_memory(self) -> None:
        """
        What is sent in place of the body counts as long as the request lasts.
        """
        self.chat(Daemon(), messages=[{"role": "user", "content": "x" * 100_000}])
        memory = self.channel.site.body_memory
        self.assertGreater(memory.taken, 100_000)
        self.daemon.say(STREAM + b"0\r\n\r\n")
        self.assertEqual(memory.taken, 0)

    def test_what_grows(self) -> None:
        """
        What is sent in place of the body is within the same bounds.
        """
        fields = {"model": "a", "messages": [{"role": "user", "images": ["Qk0="] * 90}]}
        self.gateway(Daemon())
        self.channel.site.limits = Limits(max_body_bytes=3000)
        self.ask(json.dumps(fields).encode(), path=CHAT)
        self.assertEqual(self.client.error()[0], 413)
        self.gateway(Daemon())
        self.channel.site.limits = Limits(max_bodies_bytes=9000)
        self.ask(json.dumps(fields).encode(), path=CHAT)
        self.assertEqual(self.client.error()[0], 503)

    def test_content_types(self) -> None:
        """
        None, or curl's, where no page can have sent it.
        """
        body = json.dumps({"model": "a", "messages": MESSAGES}).encode()
        form = b"Content-Type: application/x-www-form-urlencoded\r\n"
        for lines, fine in (
            (form, True),
            (b"", True),
            (form + b"Sec-Fetch-Site: none\r\n", True),
            (form + b"Origin: http://x\r\n", False),
            (b"Content-Type: text/plain\r\n", False),
        ):
            with self.subTest(lines=lines):
                daemon = Daemon()
                self.gateway(daemon)
                length = b"Content-Length: %d\r\n\r\n" % len(body)
                head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\n" + lines + length
                self.channel.dataReceived(head + body)
                self.assertEqual(len(daemon.asked), fine)


class OwnTests(AdminCase):
    """
    What the gateway answers itself, of a real scheduler.
    """

    def get(self, path: str, **headers: str) -> Any:
        client = self.ask("GET", path, **headers)
        return json.loads(client.answer()[2])

    def post(self, path: str, **fields: Any) -> Client:
        data = json.dumps(fields)
        client = self.ask("POST", path, Content_Length=str(len(data)))
        client.channel.dataReceived(data.encode())
        return client

    def up(self) -> list[str]:
        return [each["name"] for each in self.get("/api/ps")["models"]]

    def test_root(self) -> None:
        """
        A browser gets a page, anything else what Ollama's clients look for.
        """
        for accept, kind, begins in (
            ("*/*", "text/plain; charset=utf-8", b"Ollama is running"),
            ("text/html,*/*", "text/html; charset=utf-8", b"<!doctype html>"),
        ):
            status, headers, body = self.ask("GET", "/", Accept=accept).answer()
            self.assertEqual((status, headers["content-type"]), (200, kind))
            self.assertTrue(body.startswith(begins))
        self.assertEqual(self.ask("HEAD", "/").answer()[2], b"")

    def test_lists(self) -> None:
        names = [each["name"] for each in self.get("/api/tags")["models"]]
        self.assertEqual(names, ["a", "org/b", "Model A"])
        self.assertRegex(self.get("/api/version")["version"], r"^0\.\d+\.\d+$")

    def test_show(self) -> None:
        """
        Nothing is loaded for it.
        """
        for fields in ({"model": "a"}, {"name": "Model A:latest"}):
            status, _, body = self.post("/api/show", **fields).answer()
            self.assertEqual(status, 200)
            self.assertIn("completion", json.loads(body)["capabilities"])
        self.assertEqual(self.phase("a"), "stopped")
        self.assertEqual(self.post("/api/show", model="c").answer()[0], 404)

    def test_keep_alive(self) -> None:
        """
        An empty prompt loads; 0 unloads when it is idle, and a time is told.
        """
        loading = self.post("/api/generate", model="a")
        self.assertEqual(loading.value(), b"")
        self.farm.come_up("a")
        told = json.loads(loading.answer()[2])
        self.assertEqual(told["done_reason"], "load")
        self.assertGreater(told["load_duration"], 0)
        self.assertLess(told["eval_duration"], told["load_duration"])
        self.assertEqual(self.up(), ["a"])
        [shown] = self.get("/api/ps")["models"]
        self.assertTrue(shown["expires_at"].startswith("9999"))
        self.post("/api/generate", model="a", keep_alive="5m")
        [shown] = self.get("/api/ps")["models"]
        self.assertFalse(shown["expires_at"].startswith("9999"))
        self.assertFalse(self.scheduler.states["a"].is_idle(self.farm.clock.seconds()))
        unloading = self.post("/api/generate", model="a", keep_alive=0)
        self.assertEqual(json.loads(unloading.answer()[2])["done_reason"], "unload")
        self.assertTrue(self.scheduler.states["a"].is_idle(self.farm.clock.seconds()))
