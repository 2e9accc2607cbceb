"""
What /swapgate/ has for the pages: pins, an hour of history, logs, tokens a second.
"""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from swapgate.api.log_stream import MAX_STREAMS
from swapgate.config.limits import Limits
from swapgate.daemons.output import LINES, Line, Output
from tests.api.test_admin import AdminCase
from tests.api.test_resource import Client
from tests.doubles import FakeDaemon, config_of, model
from tests.gate import ROOT
from tests.rig import unchunked


class WritingDaemon(FakeDaemon):
    """
    One whose output the gateway has.
    """

    written: Output

    @property
    def output(self) -> Output:
        return self.written


class ReadLine(Line):
    """
    One that tells how often it is read.
    """

    read: ClassVar[list[int]] = []

    @property
    def text(self) -> str:
        self.read.append(self.number)
        return super().text


class ReadOutput(Output):
    """
    One of such lines.
    """

    def after(self, number: int) -> Sequence[Line]:
        kept = super().after(number)
        return [ReadLine(line.number, line.at_s, line.raw) for line in kept]


def events(client: Client, name: str) -> list[Any]:
    """
    The data of the events of this name that a client has got.
    """
    head = f"event: {name}\ndata: ".encode()
    return [
        json.loads(event.removeprefix(head))
        for event in unchunked(client.answer()[2]).split(b"\n\n")
        if event.startswith(head)
    ]


class PinTests(AdminCase):
    """
    POST /swapgate/models/NAME/pin and /unpin.
    """

    def pinned(self) -> dict[str, bool]:
        return {each["name"]: each["pin"] for each in self.state()["models"]}

    def test_there_and_back(self) -> None:
        """
        By any of its names; the answer and the state tell.
        """
        for verb, expected in (("pin", True), ("pin", True), ("unpin", False)):
            status, _, body = self.act(f"/swapgate/models/Model%20A/{verb}").answer()
            self.assertEqual(status, 200)
            self.assertEqual(
                json.loads(body),
                {"version": 1, "model": "a", "phase": "stopped", "pin": expected},
            )
            self.assertEqual(self.pinned(), {"a": expected, "org/b": False})

    def test_told(self) -> None:
        """
        To those who listen.
        """
        client = self.ask("GET", "/swapgate/events")
        self.act("/swapgate/models/org/b/pin")
        self.farm.pass_time(0.1)
        shown = events(client, "state")[-1]["models"]
        self.assertEqual([each["pin"] for each in shown], [False, True])

    def test_too_many(self) -> None:
        """
        What would not fit together is refused with the sum, and not to be retried.
        """
        self.act("/swapgate/models/a/pin")
        client = self.act("/swapgate/models/org/b/pin")
        status, error = client.error()
        self.assertEqual((status, error["code"]), (409, "model_too_large"))
        self.assertIn("unpin", error["message"])
        self.assertEqual(client.answer()[1]["x-should-retry"], "false")
        self.assertEqual(self.pinned(), {"a": True, "org/b": False})

    def test_refused(self) -> None:
        for method, path, status in (
            ("GET", "/swapgate/models/a/pin", 405),
            ("POST", "/swapgate/models/nobody/pin", 404),
            ("POST", "/swapgate/models/a/pin?for=ever", 400),
        ):
            client = self.ask(
                method, path, Content_Type="application/json", Content_Length="0"
            )
            self.assertEqual(client.error()[0], status)
        plain = self.ask("POST", "/swapgate/models/a/pin", Content_Length="0")
        self.assertEqual(plain.error()[0], 415)
        self.assertEqual(self.pinned(), {"a": False, "org/b": False})


class HistoryTests(AdminCase):
    """
    GET /swapgate/history.
    """

    def history(self, query: str = "") -> Any:
        status, _, body = self.ask("GET", f"/swapgate/history{query}").answer()
        self.assertEqual(status, 200)
        return json.loads(body)

    def swap(self) -> None:
        """
        One model is loaded, and goes for another one.
        """
        lease = self.scheduler.lease("a")
        self.farm.pass_time(1)
        self.farm.come_up("a")
        self.waiting = [self.scheduler.lease("org/b") for _ in range(3)]
        self.farm.pass_time(2)
        self.successResultOf(lease).release()
        self.farm.pass_time(1)
        self.farm.daemons["a"].end()
        self.farm.pass_time(1)
        self.farm.come_up("org/b")

    def test_a_swap(self) -> None:
        """
        Each phase with its time and cause, and who waited.
        """
        self.assertEqual(self.history()["phases"], [])
        self.swap()
        found = self.history()
        self.assertEqual(found["version"], 1)
        told = [(s["model"], s["phase"], s["cause"]) for s in found["phases"]]
        self.assertEqual(
            told,
            [
                ("a", "starting", "asked for"),
                ("a", "ready", "asked for"),
                ("a", "draining", "org/b is waited for"),
                ("a", "stopping", "org/b is waited for"),
                ("a", "stopped", "exited with status 0"),
                ("org/b", "starting", "asked for"),
                ("org/b", "ready", "asked for"),
            ],
        )
        draining, last = found["phases"][2], found["phases"][-1]
        [waiting] = draining["waiting"]
        self.assertEqual((waiting["model"], waiting["requests"]), ("org/b", 3))
        self.assertAlmostEqual(draining["ended"] - draining["began"], 2, 1)
        self.assertIsNone(last["ended"])
        self.assertAlmostEqual(found["at"] - last["began"], 0.3, 0)

    def test_who_waited(self) -> None:
        """
        From when to when, how many, how long.
        """
        self.swap()
        a, b = self.history()["waits"]
        self.assertEqual((a["model"], a["requests"]), ("a", 1))
        self.assertEqual((b["model"], b["requests"]), ("org/b", 3))
        self.assertAlmostEqual(b["longest_s"], b["ended"] - b["began"], 1)
        self.assertGreater(b["longest_s"], 4)

    def test_swaps(self) -> None:
        """
        As in the state.
        """
        self.swap()
        self.assertEqual(len(self.history()["swaps"]), 3)
        self.assertEqual(
            [each["cause"] for each in self.history()["swaps"]],
            [each["cause"] for each in self.state()["swaps"]],
        )

    def test_since(self) -> None:
        """
        Only what had not ended by then.
        """
        self.swap()
        before = self.history()["at"]
        self.successResultOf(self.waiting[0])
        later = self.history(f"?since={before + 100}")
        told = [(s["model"], s["phase"]) for s in later["phases"]]
        self.assertEqual(told, [("org/b", "ready")])
        self.assertEqual((later["waits"], later["swaps"]), ([], []))
        whole = self.history(f"?since={before - 100}")
        self.assertEqual(len(whole["phases"]), 7)

    def test_mistakes(self) -> None:
        for query in ("?since=", "?since=x", "?since=nan", "?since=1&since=2", "?x=1"):
            client = self.ask("GET", f"/swapgate/history{query}")
            self.assertEqual(client.error()[0], 400)
        client = self.ask("POST", "/swapgate/history", Content_Length="0")
        self.assertEqual(client.error()[0], 405)

    def test_documented(self) -> None:
        """
        Every field stands in docs/waiting.md.
        """
        self.swap()
        text = (ROOT / "docs" / "waiting.md").read_text("utf-8")
        found = self.history()
        parts = [found, found["phases"][2], found["phases"][2]["waiting"][0]]
        for part in (*parts, found["waits"][0], found["swaps"][0]):
            for field in part:
                self.assertRegex(text, rf"`{field}(\[\])?`")


class WhatIsWaitedForTests(AdminCase):
    """
    `waits_for` of what is in the queue.
    """

    def waits_for(self) -> list[tuple[str, str | None]]:
        return [
            (each["waits_for"]["what"], each["waits_for"]["model"])
            for each in self.state()["queue"]
        ]

    def test_a_swap(self) -> None:
        """
        An answer, then an unload, then a load.
        """
        lease = self.scheduler.lease("a")
        self.farm.pass_time(0.1)
        self.assertEqual(self.waits_for(), [("load", "a")])
        self.farm.come_up("a")
        self.scheduler.lease("org/b")
        self.farm.pass_time(0.1)
        self.assertEqual(self.waits_for(), [("answer", "a")])
        self.successResultOf(lease).release()
        self.farm.pass_time(0.1)
        self.assertEqual(self.waits_for(), [("unload", "a")])
        self.farm.pass_time(30)
        self.assertEqual(self.waits_for(), [("stop", "a")])
        self.farm.daemons["a"].end()
        self.farm.pass_time(0.1)
        self.assertEqual(self.waits_for(), [("load", "org/b")])

    def test_its_turn(self) -> None:
        """
        What is up answers others first, after which nothing else is in the way.
        """
        self.scheduler.config = config_of(
            model("a"), model("org/b"), fair_wait_s=15.0, budget=10
        )
        self.scheduler.lease("a")
        self.farm.pass_time(0.1)
        self.farm.come_up("a")
        self.scheduler.lease("org/b")
        self.farm.pass_time(0.1)
        self.assertEqual(self.waits_for(), [("turn", "a")])


class TokenTests(AdminCase):
    """
    Tokens a second.
    """

    def rates(self) -> dict[str, float]:
        return {m["name"]: m["tokens_per_s"] for m in self.state()["models"]}

    def test_told(self) -> None:
        """
        In the state, and every second to those who listen while answers are given.
        """
        client = self.ask("GET", "/swapgate/events")
        self.farm.pass_time(3)
        self.assertEqual(events(client, "tokens"), [])
        lease = self.scheduler.lease("a")
        self.farm.pass_time(0.1)
        self.farm.come_up("a")
        begun = self.successResultOf(lease)
        for _ in range(40):
            begun.rate.add(1, self.farm.clock.seconds())
            self.farm.pass_time(0.05)
        self.assertLess(abs(self.rates()["a"] - 20), 3)
        self.assertEqual(self.rates()["org/b"], 0)
        told = events(client, "tokens")
        self.assertEqual(len(told), 2)
        self.assertEqual(set(told[-1]["tokens_per_s"]), {"a"})
        self.assertLess(abs(told[-1]["tokens_per_s"]["a"] - 20), 3)
        begun.release()
        # No event would tell later that it is over.
        self.assertEqual(self.rates()["a"], 0)
        self.farm.pass_time(5)
        told = events(client, "tokens")
        self.assertEqual((len(told), told[-1]["tokens_per_s"]), (3, {}))


class LogTests(AdminCase):
    """
    GET /swapgate/models/NAME/log.
    """

    def setUp(self) -> None:
        super().setUp()
        self.site.limits = Limits(max_connections_per_address=1000)
        self.written = Output(self.farm.clock.seconds)
        self.has_output("a")

    def has_output(self, name: str) -> None:
        state = self.scheduler.states[name]
        daemon = WritingDaemon(name)
        daemon.written = self.written
        state.daemon = daemon

    def listen(self) -> Client:
        client = self.ask("GET", "/swapgate/models/a/log")
        status, headers, _ = client.answer()
        self.assertEqual((status, headers["content-type"]), (200, "text/event-stream"))
        return client

    def texts(self, client: Client) -> list[list[str]]:
        return [[n["text"] for n in e["lines"]] for e in events(client, "log")]

    def test_as_it_comes(self) -> None:
        """
        What is kept at once, then what comes, a few lines together.
        """
        self.written.add(b"one\ntwo\n")
        client = self.listen()
        self.written.add(b"three\n")
        self.written.add(b"four\nfi")
        self.farm.pass_time(0.2)
        self.written.add(b"ve\n")
        self.farm.pass_time(0.2)
        self.assertEqual(
            self.texts(client), [["one", "two"], ["three", "four"], ["five"]]
        )
        line = events(client, "log")[-1]["lines"][0]
        self.assertEqual((line["number"], set(line)), (5, {"number", "at", "text"}))
        # Of the epoch, however slow this machine is.
        self.assertLess(abs(line["at"] - self.state()["at"]), 600)

    def test_a_slow_reader(self) -> None:
        """
        Gets what is kept still when it reads again, and how many lines it has missed.
        """
        client = self.listen()
        client.channel.pauseProducing()
        for n in range(LINES + 10):
            self.written.add(b"%d\n" % n)
            self.farm.pass_time(0.02)
        self.assertEqual(self.texts(client), [[]])
        client.channel.resumeProducing()
        _, late = events(client, "log")
        self.assertEqual((late["missed"], late["lines"][0]["text"]), (10, "10"))
        self.written.add(b"on\n")
        self.farm.pass_time(0.2)
        self.assertEqual(self.texts(client)[-1], ["on"])

    def test_many_readers(self) -> None:
        """
        What they get together is made once, whenever each has come: a busy log that
        many read holds up no stream.
        """
        self.written = ReadOutput(self.farm.clock.seconds)
        self.has_output("a")
        clients = []
        for _ in range(10):
            clients.append(self.listen())
            self.farm.pass_time(0.03)
            self.written.add(b"x\n")
        self.farm.pass_time(0.2)
        ReadLine.read.clear()
        self.written.add(b"y\n" * 20)
        self.farm.pass_time(0.2)
        self.assertEqual(
            [self.texts(client)[-1] for client in clients], [["y"] * 20] * 10
        )
        self.assertEqual(len(ReadLine.read), 20)

    def test_silence(self) -> None:
        """
        A comment from time to time keeps the connection.
        """
        client = self.listen()
        self.farm.pass_time(31)
        self.assertEqual(client.value().count(b": still here"), 2)

    def test_a_client_that_leaves(self) -> None:
        """
        Is forgotten, with its timers.
        """
        client = self.listen()
        self.written.add(b"x\n")
        client.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])
        self.written.add(b"y\n")

    def test_another_daemon(self) -> None:
        """
        After a reload the stream ends, and the next one is of that daemon.
        """
        client = self.listen()
        self.scheduler.reconfigure(config_of(model("a", 5), model("org/b")))
        self.assertTrue(client.value().endswith(b"0\r\n\r\n"))

    def test_no_more_than_that(self) -> None:
        clients = [self.listen() for _ in range(MAX_STREAMS)]
        client = self.ask("GET", "/swapgate/models/a/log")
        self.assertEqual(client.error()[0], 503)
        clients[0].channel.connectionLost(Failure(ConnectionLost()))
        self.listen()

    def test_none_there(self) -> None:
        """
        Another one's manager has it.
        """
        status, error = self.ask("GET", "/swapgate/models/org/b/log").error()
        self.assertEqual((status, error["code"]), (404, "no_log"))
        logs = {m["name"]: m["log"] for m in self.state()["models"]}
        self.assertEqual(logs, {"a": True, "org/b": False})
        client = self.ask("GET", "/swapgate/models/nobody/log")
        self.assertEqual(client.error()[1]["code"], "model_not_found")
        client = self.ask("POST", "/swapgate/models/a/log", Content_Length="0")
        self.assertEqual(client.error()[0], 405)
