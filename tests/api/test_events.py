"""
All who listen to /swapgate/events get one snapshot; tests/test_admin.py shows what of.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from swapgate.api.events import LISTENERS, Events
from swapgate.config.limits import Limits
from swapgate.errors import APIError
from swapgate.fleet.scheduler import Scheduler
from tests.channel_rig import ChannelCase, TCPWire


class Watched:
    """
    A fleet that only tells of changes.
    """

    def __init__(self) -> None:
        self.watchers: list[Callable[[], None]] = []

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)


class EventsTests(ChannelCase):
    """
    On connections of their own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.site.limits = Limits(max_connections_per_address=1000)
        self.scheduler = Watched()
        self.snapshots = 0
        clock = cast(IReactorTime, self.clock)
        self.events = Events(self.snapshot, cast(Scheduler, self.scheduler), clock)

    def snapshot(self) -> bytes:
        self.snapshots += 1
        return b"%d" % self.snapshots

    def listen(self) -> tuple[TCPWire, Deferred[None]]:
        wire = TCPWire()
        self.connect(wire)
        self.say(b"GET / HTTP/1.1", b"Host: x")
        request = self.resource.requests[-1]
        return wire, Deferred.fromCoroutine(self.events.serve(request))

    def test_one_snapshot_for_all(self) -> None:
        """
        However many listen, a change is looked at once.
        """
        listening = [self.listen() for _ in range(LISTENERS)]
        self.assertEqual((self.snapshots, len(self.scheduler.watchers)), (LISTENERS, 1))
        self.scheduler.watchers[0]()
        self.scheduler.watchers[0]()
        self.clock.advance(0.1)
        self.assertEqual(self.snapshots, LISTENERS + 1)
        for wire, _ in listening:
            self.assertIn(b"event: state\ndata: 257\n\n", wire.value())

    def test_no_more_than_that(self) -> None:
        """
        The next one is refused, until another one has gone.
        """
        listening = [self.listen()[1] for _ in range(LISTENERS)]
        _, refused = self.listen()
        error = self.failureResultOf(refused, APIError).value
        self.assertEqual((error.status, error.code), (503, "too_many_listeners"))
        listening[0].cancel()
        self.failureResultOf(listening[0], CancelledError)
        self.assertNoResult(self.listen()[1])

    def test_nobody_listens(self) -> None:
        """
        Then nothing is looked at, and no timer is left.
        """
        _, listening = self.listen()
        before = len(self.clock.getDelayedCalls())
        self.scheduler.watchers[0]()
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        listening.cancel()
        self.failureResultOf(listening, CancelledError)
        self.assertEqual(self.scheduler.watchers, [])
        # Neither the heartbeat's nor the snapshot's.
        self.assertEqual(len(self.clock.getDelayedCalls()), before - 1)
        self.assertNoResult(self.listen()[1])
