"""
What a daemon answers when it is asked for its slots.
"""

import json
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from swapgate.continuity.slot_table import SlotView
from swapgate.continuity.slots import Refused, Slots, Transferred
from swapgate.upstream.client import UpstreamClient
from swapgate.upstream.connection import Response


class FakeDaemon:
    """
    One answer, and what was asked for it.
    """

    def __init__(self, status: int, body: Any, *, whole: bool = True) -> None:
        self.status, self.whole, self.aborted = status, whole, False
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.asked: list[Any] = []

    async def ask(self, *asked: Any) -> Response:
        self.asked.append(asked)
        return Response(self.status, (), None, cast(Any, self))

    def deliver_to(self, reader: Any) -> None:
        reader.makeConnection(cast(Any, self))
        for start in range(0, len(self.body), 2**20):
            cast(Protocol, reader).dataReceived(self.body[start : start + 2**20])
        end = ResponseDone() if self.whole else ConnectionLost()
        reader.connectionLost(Failure(end))

    def abortConnection(self) -> None:
        self.aborted = True


class SlotsTests(SynchronousTestCase):
    """
    Answers as llama-server gives them, and others.
    """

    def slots(self, status: int, body: Any, **more: bool) -> Slots:
        self.daemon = FakeDaemon(status, body, **more)
        return Slots(cast(UpstreamClient, self.daemon))

    def of(self, asking: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(asking))

    def refused(self, asking: Any, words: str) -> Refused:
        failure = self.failureResultOf(Deferred.fromCoroutine(asking), Refused)
        self.assertIn(words, str(failure.value))
        found = failure.value
        assert isinstance(found, Refused)
        return found

    def test_list(self) -> None:
        """
        What is shown of each; some builds show less.
        """
        shown = [
            {"id": 0, "is_processing": True, "id_task": 7, "n_prompt_tokens": 30},
            {"id": 1, "is_processing": False, "prompt": "what was said"},
        ]
        found = self.of(self.slots(200, shown).list())
        self.assertEqual(
            found, [SlotView(0, True, 7, 30), SlotView(1, False, None, None)]
        )
        self.assertEqual(self.daemon.asked, [(b"GET", b"/slots", (), ())])

    def test_save(self) -> None:
        """
        The name of the file goes in the body.
        """
        slots = self.slots(200, {"n_saved": 5, "n_written": 99})
        self.assertEqual(self.of(slots.save(3, "a.slot")), Transferred(5, 99))
        [(method, target, headers, [body])] = self.daemon.asked
        self.assertEqual((method, target), (b"POST", b"/slots/3?action=save"))
        self.assertEqual(headers, ((b"Content-Type", b"application/json"),))
        self.assertEqual(json.loads(body), {"filename": "a.slot"})

    def test_restore(self) -> None:
        """
        The same the other way.
        """
        slots = self.slots(200, {"n_restored": 5, "n_read": 99})
        self.assertEqual(self.of(slots.restore(0, "a.slot")), Transferred(5, 99))

    def test_props(self) -> None:
        """
        Whatever it says of itself.
        """
        self.assertEqual(self.of(self.slots(200, {"a": 1}).props()), {"a": 1})

    def test_refused(self) -> None:
        """
        With its words, one line of them; or without.
        """
        error = {"error": {"message": "Unable to do it\nSee the log", "code": 400}}
        refused = self.refused(self.slots(400, error).save(0, "a"), "Unable to do it")
        self.assertEqual((refused.status, "log" in str(refused)), (400, False))
        bodies: list[Any] = [b"", b"<html>", [], {"error": 1}, {"error": {}}]
        for body in bodies:
            self.refused(self.slots(501, body).list(), "501, no reason given")

    def test_nonsense(self) -> None:
        """
        An answer that is none.
        """
        self.refused(self.slots(200, {"a": 1}).list(), "no list")
        self.refused(self.slots(200, b"[").list(), "no list")
        for view in (1, {}, {"id": "0"}):
            self.refused(self.slots(200, [view]).list(), "without a number")
        self.refused(self.slots(200, {}).save(0, "a"), "no n_saved")
        self.refused(self.slots(200, {"n_saved": 1}).save(0, "a"), "no n_written")
        self.refused(self.slots(200, []).save(0, "a"), "no n_saved")

    def test_too_long(self) -> None:
        """
        An answer without end is not read to it.
        """
        self.refused(self.slots(200, b" " * 5 * 2**20).list(), "too long")
        self.assertTrue(self.daemon.aborted)

    def test_cut(self) -> None:
        """
        One that ends too early is a daemon that has gone.
        """
        asking = self.slots(200, [], whole=False).list()
        self.failureResultOf(Deferred.fromCoroutine(asking), ConnectionLost)

    def test_called_off(self) -> None:
        """
        One that is waited for no longer is aborted.
        """
        slots = self.slots(200, [])
        self.daemon.deliver_to = (  # type: ignore[method-assign]
            lambda reader: reader.makeConnection(self.daemon)
        )
        asking = Deferred.fromCoroutine(slots.list())
        asking.addErrback(lambda _: None).cancel()
        self.assertTrue(self.daemon.aborted)
