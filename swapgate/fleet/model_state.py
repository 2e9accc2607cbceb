"""
Model state: all that is known of one model while the gateway runs.

1. Only its own methods change it; the scheduler and the supervisor call them.
2. What belongs to one life of the daemon (leases, client, poll, timer) ends with it.
3. The planner never sees it, but a `ModelView`: a value made of it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon
from swapgate.fleet.back_off import BackOff
from swapgate.fleet.conversations import Restoration
from swapgate.fleet.follow_ups import FollowUps
from swapgate.fleet.health import HealthPoll
from swapgate.fleet.lease import Cut, Lease, LoadFailed, NotStopped, QueuedRequest
from swapgate.fleet.lifecycle import Action, Event, Life, Phase, step
from swapgate.fleet.moves import ModelView
from swapgate.fleet.queue import WaitQueue
from swapgate.fleet.token_rate import TokenRate
from swapgate.fleet.unloads import Unloads
from swapgate.upstream.client import UpstreamClient

# For so long what was seen before a load is believed.
_BELIEVED_S = 5.0
# A check that takes longer keeps no room for its model until it is over.
_CHECK_HANGS_S = 1.0


@frozen
class Look:
    """
    A look at a model's daemon that is under way: is it up without our doing?

    :param asks: its manager is asked, not only its port.
    :param over: fires at its end, whatever it has shown.
    """

    since_s: float
    asks: bool
    over: Deferred[None] = field(factory=Deferred)


@define(eq=False)
class ModelState:
    """
    One model: its daemon, the requests that wait for it and use it, how loads went.
    """

    spec: ModelSpec
    daemon: Daemon
    queue: WaitQueue
    # When it came to its present phase.
    since_s: float
    # Those that a reload has retired, with an address or a service that it has now.
    _blockers: Sequence["ModelState"]
    life: Life = Life()
    leases: set[Lease] = field(factory=set)
    client: UpstreamClient | None = None
    # It failed a request, or was found: asked nothing until it shows its health.
    suspect: bool = False
    # It is being looked at: is it up without our doing?
    look: Look | None = None
    # Since a client has said so: whether it stays up; None: as the configuration says.
    _pinned: bool | None = None
    # No longer in the configuration, or not as it was; what comes in its place.
    retired: bool = False
    successor: "ModelState | None" = None
    # Its stop does not end, though it was killed.
    stuck: bool = False
    # To be unloaded on request, whatever waits for it.
    leaving: bool = False
    unloads: Unloads = field(factory=Unloads)
    rate: TokenRate = field(factory=TokenRate)
    _follow_ups: FollowUps = field(factory=FollowUps)
    # Since when it is looked at whether it can be started, and when it was last.
    _checking_since_s: float = inf
    _checked_at_s: float = -inf
    back_off: BackOff = field(factory=BackOff)
    # What went wrong last, and when.
    last_error: tuple[str, float] | None = None
    # It has ended when it was given back its conversations: it is left alone.
    plain: bool = False
    # It is being given back its conversations, or they are being saved.
    restoration: Restoration | None = None
    _saving: Deferred[None] | None = None
    _poll: HealthPoll | None = None
    _timer: IDelayedCall | None = None
    _examination: Deferred[None] | None = None
    _last_used_s: float = 0.0
    # How long it stays up when idle, as the last request asked; None: as configured.
    _keep_alive_s: float | None = None
    _answered_s: float = -inf

    # What the planner sees.

    def view(self, now_s: float, fair_wait_s: float) -> ModelView:
        drains = self.life.phase is Phase.DRAINING
        is_up = drains or self.life.phase is Phase.READY
        return ModelView(
            name=self.spec.name,
            phase=self.life.phase,
            memory=self.spec.memory_bytes,
            last_used=self.since_s if drains else self._last_used_s,
            in_flight=len(self.leases),
            suspect=(
                self.suspect
                or self.look is not None
                or self.claimed
                or (is_up and not self.daemon.serving)
            ),
            unchecked=self._unchecked(now_s),
            pinned=self.pinned,
            preload=(
                self.spec.preload
                and not self.unloads.put_away
                and now_s >= self.back_off.retry_at_s
            ),
            lingers=now_s < self._lingers_until_s,
            full=self.room == 0,
            leaving=self.leaving or self.retired,
            overdue=now_s >= self._overdue_at_s(fair_wait_s),
            follow_ups=bool(self.follow_ups(now_s)),
            stuck=self.stuck,
        )

    def turning_points(self, fair_wait_s: float) -> Sequence[float]:
        """
        The times at which its view changes though nothing happens; inf is never.
        """
        return (
            self._overdue_at_s(fair_wait_s),
            self._check_hangs_at_s,
            self._lingers_until_s,
            self._follow_ups.until_s,
        )

    def _overdue_at_s(self, fair_wait_s: float) -> float:
        first = self.queue.first
        return inf if first is None else first.turn_s + fair_wait_s

    @property
    def _lingers_until_s(self) -> float:
        return self._answered_s + self.spec.linger_s

    def follow_ups(self, now_s: float) -> Sequence[QueuedRequest]:
        """
        The requests that follow a stream which has just ended, as many as it has room
        for.
        """
        return self._follow_ups.among(self.queue.entries, now_s)[: self.room]

    def is_drained(self, now_s: float) -> bool:
        """
        Whether it drains, gives no answer any more, and waits for no follow-up.
        """
        if self.life.phase is not Phase.DRAINING or self.leases:
            return False
        hurries = self.leaving or self.retired or self.suspect
        return hurries or now_s >= self._follow_ups.until_s

    @property
    def admits(self) -> bool:
        """
        Whether a request that comes now need not wait, as far as this model goes.
        """
        up = self.life.phase is Phase.READY and not (self.suspect or self.leaving)
        return up and self.room != 0 and self.daemon.serving

    @property
    def room(self) -> int | None:
        """
        How many more requests it may answer at a time; None is any number.
        """
        if self.spec.max_active is None:
            return None
        return max(0, self.spec.max_active - len(self.leases))

    @property
    def queue_number(self) -> float:
        """
        The number of the first request that waits for it; inf: none does.
        """
        first = self.queue.first
        if self.life.phase is Phase.READY:
            # A request that has nothing loaded still takes what is up.
            first = next(iter(self.queue.entries), None)
        return inf if first is None else first.number

    @property
    def answering_since_s(self) -> float | None:
        """
        Since when the oldest of its answers is under way; None: there is none.
        """
        return min((lease.since_s for lease in self.leases), default=None)

    @property
    def idle_at_s(self) -> float | None:
        """
        When it will have been up unused for too long; None is never.
        """
        asked_s = self._keep_alive_s
        allowed_s = self.spec.idle_unload_s if asked_s is None else asked_s
        if allowed_s is None or allowed_s == inf or self.pinned or self.spec.preload:
            return None
        return self._last_used_s + allowed_s

    @property
    def pinned(self) -> bool:
        """
        Whether it is neither evicted for another model nor unloaded when it is idle.
        """
        pinned = self.spec.pin if self._pinned is None else self._pinned
        return pinned and not self.retired

    def pin(self, pinned: bool | None) -> None:
        """
        :param pinned: None: as the configuration says.
        """
        self._pinned = pinned

    def keep_alive(self, seconds: float | None) -> None:
        """
        :param seconds: how long it stays up when idle; None: as configured.
        """
        self._keep_alive_s = seconds

    def is_idle(self, now_s: float) -> bool:
        """
        Whether it has been up unused for too long.
        """
        return (
            self.idle_at_s is not None
            and self.life.phase is Phase.READY
            and not (self.leases or self.queue.entries)
            and now_s >= self.idle_at_s
        )

    # One life of its daemon.

    def step(self, event: Event, now_s: float) -> tuple[Action, ...] | None:
        """
        Take one step of the lifecycle: the actions due now; None where it stays.

        :raises ImpossibleEvent: for an event that has no place in this phase.
        """
        life, actions = step(self.life, event)
        if life == self.life:
            return None
        self.life, self.since_s = life, now_s
        if life.phase is Phase.STARTING:
            self.queue.load_begins()
        return actions

    def ask_by(self, client: UpstreamClient | None) -> None:
        """
        From now on its daemon is asked by this client.
        """
        if self.client is not None:
            self.client.close()
        self.client = client

    def set_timer(self, timer: IDelayedCall) -> None:
        """
        What is to happen to this phase in time; there is one at a time.
        """
        self.stop_timer()
        self._timer = timer

    def stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def start_polling(self, poll: HealthPoll, timer: IDelayedCall) -> None:
        self.stop_polling()
        self._poll, self._timer = poll, timer
        poll.start()

    def stop_polling(self) -> None:
        self.stop_timer()
        if self._poll is not None:
            self._poll.stop()
        restoration, self.restoration = self.restoration, None
        if restoration is not None:
            restoration.over.cancel()

    def restores(self, restoration: Restoration) -> None:
        """
        Its conversations are being restored: that has an end of its own.
        """
        self.stop_polling()
        self.restoration = restoration

    @property
    def conversations(self) -> list[object]:
        """
        Those that the waiting requests go on with, in their order.
        """
        entries = self.queue.entries
        return [e.conversation for e in entries if e.conversation is not None]

    def saves(self, saving: Deferred[None]) -> None:
        """
        It is stopped when this is over, unless it ends before that.
        """
        self._saving = saving

    def saving_ends(self, saving: Deferred[None]) -> bool:
        """
        Whether it is to be stopped now.
        """
        mine = self._saving is saving
        if mine:
            self._saving = None
        return mine

    def doubt(self) -> None:
        """
        Ask nothing of it until it is trusted.
        """
        self.suspect = True

    def examine(self, examination: Deferred[None]) -> None:
        """
        It is examined, at the longest until this life ends.
        """
        self._examination = examination

    def trust(self) -> None:
        if self.life.phase is not Phase.DRAINING:
            self.stop_polling()
        elif self._poll is not None:
            # The timer is the drain's now.
            self._poll.stop()
        self.suspect = False

    def is_stuck(self, now_s: float) -> None:
        """
        Its stop does not end: its memory is counted on no longer, and unloads fail.
        """
        self.stuck = True
        for told in self.unloads.take():
            told.errback(self.not_stopped(now_s))

    def not_stopped(self, now_s: float) -> NotStopped:
        return NotStopped(
            f"{self.spec.name} is {self._still_there(now_s)}, and keeps its memory "
            "until it ends; end it by hand\n"
            f"what is left of it: {self.daemon.remains()}"
        )

    def endless_stop(self, now_s: float) -> str:
        """
        What to log of a stop that does not end.
        """
        return f"{self._still_there(now_s)}: {self.daemon.remains()}"

    def _still_there(self, now_s: float) -> str:
        return f"still there {now_s - self.since_s:.0f} s after it was told to stop"

    def end_life(self) -> None:
        """
        Forget what belonged to the life that has ended.
        """
        self.stop_polling()
        self.leases.clear()
        self._follow_ups.clear()
        self.suspect = self.leaving = self.stuck = self.plain = False
        self._keep_alive_s = None
        for told in self.unloads.take():
            told.callback(None)
        if self._examination is not None:
            self._examination.cancel()
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.cancel()
        self.ask_by(None)

    # How its loads went.

    def became_ready(self, now_s: float) -> None:
        self._last_used_s = now_s
        self.back_off.became_ready(now_s)

    def crashed(self, now_s: float, reason: str) -> None:
        """
        It ended while it served: no failed load, unless it happens at every load.
        """
        self.last_error = (reason, now_s)
        if self.back_off.crashed(now_s):
            self.load_failed(
                now_s, f"it crashed soon after each load, the last time it {reason}"
            )

    def load_failed(self, now_s: float, reason: str) -> None:
        """
        Fail all requests that wait, and those that come before the back-off is over.
        """
        words = self.daemon.last_words()
        if words not in reason:
            reason = f"{reason}\n{words}"
        self.back_off.failed(now_s, reason)
        self.last_error = (reason, now_s)
        self.queue.refuse(lambda: self.failure(now_s))

    def failure(self, now_s: float) -> LoadFailed:
        """
        Why the last load failed, for a request of this moment.
        """
        retry_in_s = self.back_off.retry_at_s - now_s
        return LoadFailed(self.spec.name, self.back_off.reason, retry_in_s)

    # Whether it is up unasked, and can be started.

    @property
    def may_be_found(self) -> bool:
        """
        Whether it may have been started from elsewhere: what takes none of our memory
        need not be found, and what is ours alone cannot.
        """
        return (
            self.daemon.outlives_gateway
            and self.spec.memory_bytes > 0
            and not self.life.phase.resident
        )

    @property
    def claimed(self) -> bool:
        """
        Whether a daemon that is not in the configuration any more still has its
        address or its service: it is neither found nor loaded there meanwhile.
        """
        return any(other.life.phase.resident for other in self._blockers)

    def look_begins(self, look: Look) -> None:
        self.look = look

    def look_ends(self) -> None:
        self.look = None

    @property
    def checking(self) -> bool:
        return self._checking_since_s < inf

    def check_begins(self, now_s: float) -> None:
        self._checking_since_s = now_s

    def check_ends(self, now_s: float, *, good: bool) -> None:
        self._checking_since_s = inf
        if good:
            self._checked_at_s = now_s

    def check_hangs(self, now_s: float) -> bool:
        """
        Whether its first check in this wait takes so long that a tool may hang.
        """
        return now_s >= self._check_hangs_at_s and self._unchecked(now_s)

    @property
    def _check_hangs_at_s(self) -> float:
        return self._checking_since_s + _CHECK_HANGS_S

    def check_is_stale(self, now_s: float) -> bool:
        """
        Whether it must be looked at (again) before it is started.
        """
        return self.spec.memory_bytes > 0 and now_s - self._checked_at_s >= _BELIEVED_S

    def _unchecked(self, now_s: float) -> bool:
        """
        The same before a model is evicted for it: one look is enough for one wait.
        """
        first = self.queue.first
        seen = first is not None and self._checked_at_s >= first.asked_s
        return not seen and self.check_is_stale(now_s)

    # Leases.

    def lend(
        self,
        entry: QueuedRequest,
        now_s: float,
        release: Callable[["ModelState", Lease, bool], None],
    ) -> Lease:
        assert self.client is not None
        self.keep_alive(entry.keep_alive_s)
        self._follow_ups.admitted(entry)
        lease = Lease(
            self.spec,
            self.client,
            partial(release, self),
            now_s,
            entry.owed,
            entry.client if entry.streams else None,
            self.rate,
        )
        self.leases.add(lease)
        return lease

    def cut_answers(self, why: Cut) -> None:
        for lease in list(self.leases):
            lease.end(why)

    def take_back(self, lease: Lease, now_s: float) -> None:
        # Where nothing is to linger, no swap is to wait for a title, either.
        if lease.stream_of is not None and self.spec.linger_s > 0:
            self._follow_ups.expect(lease.stream_of, now_s)
        self.leases.remove(lease)
        self._last_used_s = self._answered_s = now_s

    # Unloads on request.

    def begin_unload(self) -> bool | None:
        """
        Let the unloads count that were asked for: whether they cut answers.

        None where there are none, or while requests are owed.
        """
        if not self.unloads or self._owes:
            return None
        for entry in self.queue.entries:
            entry.owed = True
        if self.life.phase is not Phase.STOPPING:
            self.leaving = True
        return self.unloads.begin()

    @property
    def _owes(self) -> bool:
        if any(lease.owed for lease in self.leases):
            return True
        # Of one that leaves, the next load serves them.
        stays = self.life.phase in {Phase.STARTING, Phase.READY} and not self.leaving
        return stays and any(entry.owed for entry in self.queue.entries)

    # A reload of the configuration.

    def retire(self, successor: "ModelState | None") -> None:
        """
        It is not in the configuration any more, or not as it was.
        """
        self.retired, self.successor = True, successor

    def inherit(self, retired: "ModelState") -> None:
        """
        The requests that waited for the model as it was wait for this.
        """
        self.queue.entries = retired.queue.entries
        self.queue.spans = retired.queue.spans
