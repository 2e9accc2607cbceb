"""
Broadcast of the state: all subscribers share one snapshot; test_admin shows what of.
"""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from swapgate.api.events import MAX_SUBSCRIBERS, StateBroadcast
from swapgate.config.limits import Limits
from swapgate.errors import APIError
from swapgate.fleet.scheduler import Scheduler
from tests.channel_rig import ChannelCase, TCPWire


class FakeScheduler:
    """
    Tells of changes, and does nothing else.
    """

    def __init__(self) -> None:
        self.watchers: list[Callable[[], None]] = []

    answering = False

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)


class BroadcastTests(ChannelCase):
    """
    Subscribers on connections of their own.
    """

    def setUp(self) -> None:
        super().setUp()
        self.site.limits = Limits(max_connections_per_address=1000)
        self.scheduler = FakeScheduler()
        self.snapshots = 0
        clock = cast(IReactorTime, self.clock)
        self.broadcast = StateBroadcast(
            self.snapshot, lambda: b"{}", cast(Scheduler, self.scheduler), clock
        )

    def snapshot(self) -> bytes:
        self.snapshots += 1
        return b"%d" % self.snapshots

    def subscribe(self) -> tuple[TCPWire, Deferred[None]]:
        wire = TCPWire()
        self.connect(wire)
        self.say(b"GET / HTTP/1.1", b"Host: x")
        request = self.resource.requests[-1]
        return wire, Deferred.fromCoroutine(self.broadcast.serve(request))

    def test_one_snapshot_for_all(self) -> None:
        """
        However many subscribers there are, a change makes one snapshot.
        """
        subscribed = [self.subscribe() for _ in range(MAX_SUBSCRIBERS)]
        self.assertEqual(
            (self.snapshots, len(self.scheduler.watchers)), (MAX_SUBSCRIBERS, 1)
        )
        self.scheduler.watchers[0]()
        self.scheduler.watchers[0]()
        self.clock.advance(0.1)
        self.assertEqual(self.snapshots, MAX_SUBSCRIBERS + 1)
        for wire, _ in subscribed:
            self.assertIn(b"event: state\ndata: 257\n\n", wire.value())

    def test_no_more_than_that(self) -> None:
        """
        The next one is refused, until another one has gone.
        """
        subscribed = [self.subscribe()[1] for _ in range(MAX_SUBSCRIBERS)]
        _, refused = self.subscribe()
        error = self.failureResultOf(refused, APIError).value
        self.assertEqual((error.status, error.code), (503, "too_many_listeners"))
        subscribed[0].cancel()
        self.failureResultOf(subscribed[0], CancelledError)
        self.assertNoResult(self.subscribe()[1])

    def test_no_subscribers(self) -> None:
        """
        Then no snapshot is made, and no timer is left.
        """
        _, subscribed = self.subscribe()
        before = len(self.clock.getDelayedCalls())
        self.scheduler.watchers[0]()
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        subscribed.cancel()
        self.failureResultOf(subscribed, CancelledError)
        self.assertEqual(self.scheduler.watchers, [])
        # Neither the heartbeat's, the tokens' nor the snapshot's.
        self.assertEqual(len(self.clock.getDelayedCalls()), before - 2)
        self.assertNoResult(self.subscribe()[1])
