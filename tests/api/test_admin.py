"""
Administration below /swapgate/, on a real scheduler with fake daemons.
"""

import json
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.resource import Gateway
from swapgate.config.limits import Limits
from swapgate.fleet.lease import Cut, NotLoaded, QueuedRequest
from swapgate.server.site import GatewaySite
from tests.api.test_resource import Client
from tests.doubles import ACCESS, Farm, config_of, keeper, model
from tests.fleet.test_scheduler import nothing_to_clear
from tests.gate import ROOT
from tests.rig import unchunked


class AdminCase(SynchronousTestCase):
    """
    Two models, of which one fits at a time.
    """

    def setUp(self) -> None:
        config = config_of(
            model("a", aliases=("Model A",)), model("org/b", preload=True), budget=10
        )
        self.farm = Farm(config)
        self.scheduler = self.farm.scheduler()
        gateway = Gateway(config, self.scheduler, self.farm.clock, 1, keeper())
        self.site = GatewaySite(
            gateway, access=ACCESS, reactor=self.farm.clock, limits=Limits()
        )

    def ask(self, method: str, path: str, **headers: str) -> Client:
        """
        One request on a connection of its own.
        """
        client = Client()
        client.channel = self.site.buildProtocol(None)
        client.channel.makeConnection(client)
        lines = [f"{method} {path} HTTP/1.1", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {v}" for name, v in headers.items()]
        text = "\r\n".join([*lines, "", ""])
        client.channel.dataReceived(text.encode())
        return client

    def act(self, path: str) -> Client:
        return self.ask(
            "POST", path, Content_Type="application/json", Content_Length="0"
        )

    def state(self) -> Any:
        status, headers, body = self.ask("GET", "/swapgate/state").answer()
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        return json.loads(body)

    def phase(self, name: str) -> str:
        [found] = [m for m in self.state()["models"] if m["name"] == name]
        return str(found["phase"])


class StateTests(AdminCase):
    """
    GET /swapgate/state.
    """

    def test_everything(self) -> None:
        """
        Models, queue, budget and what was swapped.
        """
        self.scheduler.lease("a")
        self.farm.pass_time(1)
        self.farm.come_up("a")
        waiting = self.scheduler.lease("org/b")
        self.farm.pass_time(2)
        state = self.state()
        self.assertEqual(state["version"], 1)
        self.assertEqual(state["budget"], {"bytes": 10, "used_bytes": 10})
        self.assertEqual((state["held"], state["max_held"]), (1, 4096))
        a, b = state["models"]
        self.assertEqual(
            (a["name"], a["aliases"], a["phase"], a["memory_bytes"], a["in_flight"]),
            ("a", ["Model A"], "draining", 10, 1),
        )
        self.assertAlmostEqual(state["at"] - a["since"], 2, 0)
        self.assertGreater(a["load"]["estimate_s"], 0.9)
        self.assertEqual((b["phase"], b["waiting"]), ("stopped", 1))
        self.assertEqual(b["load"]["progress"], None)
        [queued] = state["queue"]
        self.assertEqual((queued["model"], queued["stream"]), ("org/b", False))
        self.assertEqual(queued["behind"], "a")
        self.assertAlmostEqual(a["answering_s"], 2, 0)
        self.assertIsNone(b["answering_s"])
        self.assertAlmostEqual(queued["age_s"], 2, 0)
        loaded, unloaded = state["swaps"]
        self.assertEqual((loaded["what"], loaded["outcome"]), ("load", "ready"))
        self.assertEqual(unloaded["cause"], "org/b is waited for")
        self.assertIsNone(unloaded["duration_s"])
        waiting.cancel()
        self.failureResultOf(waiting)

    def test_documented(self) -> None:
        """
        Every field stands in docs/waiting.md.
        """
        self.scheduler.lease("a")
        self.farm.come_up("a")
        self.scheduler.lease("org/b")
        text = (ROOT / "docs" / "waiting.md").read_text("utf-8")
        state = self.state()
        [queued], [swap, *_] = state["queue"], state["swaps"]
        first = state["models"][0]
        for part in (state, state["budget"], first, first["load"], queued, swap):
            for field in part:
                self.assertRegex(text, rf"`{field}(\[\])?`")

    def test_since_the_start(self) -> None:
        """
        A model that was never up has been stopped since the start of the gateway.
        """
        self.farm.clock.advance(1000)
        self.scheduler.reconfigure(config_of(model("new")))
        self.farm.clock.advance(5)
        state = self.state()
        self.assertAlmostEqual(state["at"] - state["models"][0]["since"], 5, 1)

    def test_progress(self) -> None:
        """
        From 0 to 1, where there is an estimate.
        """
        self.scheduler.load_times.note("a", 10)
        self.scheduler.lease("a")
        self.farm.pass_time(4)
        load = self.state()["models"][0]["load"]
        self.assertAlmostEqual(load["progress"], 0.4, 1)
        self.farm.pass_time(50)
        self.assertEqual(self.state()["models"][0]["load"]["progress"], 0.99)

    def test_the_last_error(self) -> None:
        """
        What went wrong with a model, and when.
        """
        self.assertIsNone(self.state()["models"][0]["last_error"])
        waiting = self.scheduler.lease("a")
        self.farm.daemons["a"].end("exited with status 1")
        self.failureResultOf(waiting)
        error = self.state()["models"][0]["last_error"]
        self.assertIn("status 1", error["message"])

    def test_a_long_queue(self) -> None:
        """
        Its first hundred are shown, and how many there are.
        """
        waiting = [self.scheduler.lease("a") for _ in range(200)]
        state = self.state()
        self.assertEqual((state["held"], len(state["queue"])), (200, 100))
        self.farm.come_up("a")
        for each in waiting:
            self.successResultOf(each)

    def test_one_at_a_time(self) -> None:
        """
        Without a budget there are no bytes to show.
        """
        self.scheduler.config = config_of(model("a", 1), budget=1)
        self.assertEqual(self.state()["budget"], {"bytes": None, "used_bytes": None})

    def test_methods(self) -> None:
        """
        GET and HEAD only.
        """
        client = self.ask("HEAD", "/swapgate/state")
        self.assertEqual(client.answer()[0], 200)
        for method, path in (
            ("POST", "/swapgate/state"),
            ("DELETE", "/swapgate/events"),
            ("GET", "/swapgate/models/a/load"),
        ):
            client = self.ask(method, path, Content_Length="0")
            self.assertEqual(client.error()[0], 405)
        self.assertEqual(self.ask("GET", "/swapgate/other").error()[0], 404)
        self.assertEqual(self.phase("a"), "stopped")


class EventTests(AdminCase):
    """
    GET /swapgate/events.
    """

    def subscribe(self) -> Client:
        client = self.ask("GET", "/swapgate/events")
        self.assertEqual(client.answer()[1]["content-type"], "text/event-stream")
        return client

    def heard(self, client: Client) -> list[Any]:
        """
        The snapshots so far.
        """
        return [
            json.loads(event.partition(b"data: ")[2])
            for event in unchunked(client.answer()[2]).split(b"\n\n")
            if event.startswith(b"event: state\n")
        ]

    def test_as_it_happens(self) -> None:
        """
        One at once, and one after each change; what comes together makes one.
        """
        client = self.subscribe()
        self.assertEqual(len(self.heard(client)), 1)
        waiting = [self.scheduler.lease("a") for _ in range(5)]
        self.farm.pass_time(0.1)
        self.assertEqual([s["held"] for s in self.heard(client)], [0, 5])
        self.farm.come_up("a")
        self.assertEqual(self.heard(client)[-1]["models"][0]["phase"], "ready")
        self.successResultOf(waiting[0]).release()
        self.farm.pass_time(0.1)
        self.assertEqual(self.heard(client)[-1]["models"][0]["in_flight"], 4)

    def test_nothing_happens(self) -> None:
        """
        Then nothing is sent, though the scheduler polls its daemons every second.
        """
        self.scheduler.start(nothing_to_clear())
        self.farm.come_up("org/b")
        client = self.subscribe()
        self.farm.pass_time(10)
        self.assertEqual(len(self.heard(client)), 1)

    def test_leaving_the_queue(self) -> None:
        """
        A change, whether the client hung up or was refused.
        """
        self.scheduler.lease("org/b")
        self.farm.come_up("org/b")
        waiting = [
            self.scheduler.lease(
                "a", QueuedRequest(client="me", streams=streams)
            ).addErrback(lambda failure: failure.trap(CancelledError, NotLoaded))
            for streams in (True, False)
        ]
        client = self.subscribe()
        waiting[0].cancel()
        self.farm.pass_time(0.1)
        title = self.scheduler.lease("a", QueuedRequest(client="me"))
        title.addErrback(lambda failure: failure.trap(NotLoaded))
        self.farm.pass_time(0.1)
        waiting[1].cancel()
        self.farm.pass_time(5)
        self.assertEqual([s["held"] for s in self.heard(client)], [2, 1, 2, 1, 0])

    def test_heartbeat(self) -> None:
        """
        Where nothing changes a comment shows that the stream is alive.
        """
        client = self.subscribe()
        self.farm.clock.advance(15)
        self.assertIn(b": still here\n\n", unchunked(client.answer()[2]))

    def test_a_slow_subscriber(self) -> None:
        """
        It gets no more than it reads, and the latest snapshot when it reads again.
        """
        client = self.subscribe()
        producer: Any = client.producer
        producer.pauseProducing()
        for _ in range(5):
            self.scheduler.lease("a")
            self.farm.pass_time(0.1)
        self.farm.clock.advance(15)
        self.assertEqual(len(self.heard(client)), 1)
        producer.resumeProducing()
        self.assertEqual([s["held"] for s in self.heard(client)], [0, 5])

    def test_a_subscriber_that_reads_nothing(self) -> None:
        """
        It is closed after send_timeout, and is no subscriber any more.
        """
        client = self.subscribe()
        producer: Any = client.producer
        producer.pauseProducing()
        self.farm.clock.advance(59)
        self.assertFalse(client.aborted)
        self.farm.clock.advance(2)
        self.assertTrue(client.aborted)

    def test_a_subscriber_leaves(self) -> None:
        """
        Nothing is left of it.
        """
        self.scheduler.lease("a")
        calls = self.farm.clock.getDelayedCalls
        before = len(calls())
        client = self.subscribe()
        self.scheduler.lease("a")
        self.assertGreater(len(calls()), before + 1)
        client.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(calls()), before)
        self.scheduler.lease("a")
        self.assertEqual(len(calls()), before)


class ActionTests(AdminCase):
    """
    POST /swapgate/models/NAME/load and /unload.
    """

    def test_load_and_unload(self) -> None:
        """
        Answered when it is done.
        """
        client = self.act("/swapgate/models/a/load")
        self.assertEqual(client.value(), b"")
        self.farm.come_up("a")
        status, _, body = client.answer()
        self.assertEqual(status, 200)
        self.assertEqual(
            json.loads(body),
            {"version": 1, "model": "a", "phase": "ready", "pin": False},
        )
        client = self.act("/swapgate/models/Model%20A/unload")
        self.assertEqual(client.value(), b"")
        self.farm.daemons["a"].end()
        self.assertEqual(json.loads(client.answer()[2])["phase"], "stopped")

    def test_a_name_with_a_slash(self) -> None:
        """
        A slash in a name needs no escape.
        """
        self.act("/swapgate/models/org/b/load")
        self.assertEqual(self.phase("org/b"), "starting")

    def test_a_load_that_fails(self) -> None:
        """
        The error is the one that a request for an answer gets.
        """
        client = self.act("/swapgate/models/a/load")
        self.farm.daemons["a"].end("exited with status 1")
        self.assertEqual(client.error()[1]["code"], "model_load_failed")

    def test_an_unload_that_does_not_end(self) -> None:
        """
        The error says what is left of the daemon.
        """
        self.scheduler.lease("a").addCallback(lambda lease: lease.release())
        self.farm.come_up("a")
        client = self.act("/swapgate/models/a/unload")
        self.farm.pass_time(19)
        status, error = client.error()
        self.assertEqual((status, error["code"]), (409, "model_not_stopped"))
        self.assertIn("told to stop, and keeps its memory", error["message"])

    def test_now(self) -> None:
        """
        Without it answers end first.
        """
        lease = self.scheduler.lease("a")
        self.farm.come_up("a")
        cut: list[Cut] = []
        self.successResultOf(lease).cut = cut.append
        self.act("/swapgate/models/a/unload?now=0")
        self.assertEqual((self.phase("a"), cut), ("draining", []))
        self.act("/swapgate/models/a/unload?now=1")
        self.assertEqual(self.phase("a"), "stopping")
        self.assertEqual([why.message[-12:] for why in cut], ["was unloaded"])

    def test_mistakes(self) -> None:
        """
        Each is named, and nothing is done.
        """
        for path, status in (
            ("/swapgate/models/c/load", 404),
            ("/swapgate/models/a/unload?now=yes", 400),
            ("/swapgate/models/a/unload?now=1&x=2", 400),
            ("/swapgate/models/a/reload", 404),
        ):
            self.assertEqual(self.act(path).error()[0], status, path)
        typed = self.ask("POST", "/swapgate/models/a/load", Content_Length="0")
        self.assertEqual(typed.error()[0], 415)
        self.assertEqual(self.phase("a"), "stopped")
