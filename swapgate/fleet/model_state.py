"""
What does the fleet know of one model? Who waits, who uses it, how its loads went.
"""

from collections.abc import Iterator
from math import inf

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from swapgate.config.model import ModelSpec
from swapgate.daemons import Daemon
from swapgate.fleet.health import HealthPoll
from swapgate.fleet.lease import Lease, LoadFailed
from swapgate.fleet.lifecycle import Life, Phase
from swapgate.fleet.planner import ModelView
from swapgate.fleet.queue import WaitQueue
from swapgate.upstream.client import UpstreamClient

_BACK_OFF_S, _BACK_OFF_AT_MOST_S = 1.0, 60.0
# For so long what was seen before a load is believed.
_BELIEVED_S = 5.0
# A check that takes longer keeps no room for its model until it is over.
_CHECK_HANGS_S = 1.0
# So many crashes in a row, each so soon after becoming ready, count as a failed load.
_CRASHES, _CRASHED_EARLY_S = 3, 60.0


@define(eq=False)
class Look:
    """
    One that is under way: is the daemon up without our doing?

    :param asks: its manager is asked, not only its port.
    """

    since_s: float
    asks: bool
    _waiting: list[Deferred[None]] = field(factory=list)

    def over(self) -> Deferred[None]:
        """
        Fires at its end, whatever it has shown.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def end(self) -> None:
        for waiting in self._waiting:
            waiting.callback(None)


@define(eq=False)
class ModelState:
    """
    One model: its daemon, who waits for it, who uses it, how its loads went.
    """

    spec: ModelSpec
    daemon: Daemon
    line: WaitQueue
    life: Life = Life()
    # When it came to its present phase.
    since_s: float = 0.0
    leases: set[Lease] = field(factory=set)
    client: UpstreamClient | None = None
    poll: HealthPoll | None = None
    timer: IDelayedCall | None = None
    suspect: bool = False
    look: Look | None = None
    # No longer in the configuration, or not as it was; what comes in its place.
    retired: bool = False
    successor: "ModelState | None" = None
    # Its stop does not end, though it was killed.
    stuck: bool = False
    # To be unloaded, whoever waits; those who asked for it are told when it is gone.
    leaving: bool = False
    gone: list[Deferred[None]] = field(factory=list)
    # It was unloaded by wish, and has served nobody since.
    unloaded: bool = False
    # Unloads that count when those who waited through the last one have been served,
    # and whether they cut answers.
    later: list[tuple[Deferred[None], bool]] = field(factory=list)
    # Unloaded by somebody's wish: not to be preloaded until it is asked for.
    put_away: bool = False
    examination: Deferred[None] | None = None
    last_used_s: float = 0.0
    answered_s: float = -inf
    ready_since_s: float = 0.0
    failures: int = 0
    early_crashes: int = 0
    reason: str = ""
    retry_at_s: float = 0.0
    # When it was last looked whether it can be started; since when it is looked at now.
    checked_at_s: float = -inf
    checking_since_s: float | None = None
    # What went wrong last, and when.
    last_error: tuple[str, float] | None = None

    def view(
        self, now_s: float, fair_wait_s: float, *, claimed: bool = False
    ) -> ModelView:
        """
        What the planner is to know.

        :param claimed: another model's daemon still has its address or its service.
        """
        overdue_at_s = self._overdue_at_s(fair_wait_s)
        drains = self.life.phase is Phase.DRAINING
        return ModelView(
            self.spec.name,
            self.life.phase,
            self.spec.memory_bytes,
            self.since_s if drains else self.last_used_s,
            len(self.leases),
            suspect=(
                self.suspect
                or self.look is not None
                or claimed
                or (self._is_up and not self.daemon.serving)
            ),
            unchecked=self._unchecked(now_s),
            pinned=self.spec.pin and not self.retired,
            preload=(
                self.spec.preload and not self.put_away and now_s >= self.retry_at_s
            ),
            lingers=now_s < self._lingers_until_s,
            full=self.room == 0,
            leaving=self.leaving or self.retired,
            overdue=overdue_at_s is not None and now_s >= overdue_at_s,
            stuck=self.stuck,
        )

    def check_is_stale(self, now_s: float) -> bool:
        """
        Whether it must be looked at (again) before it is started.
        """
        return self.spec.memory_bytes > 0 and now_s - self.checked_at_s >= _BELIEVED_S

    def _unchecked(self, now_s: float) -> bool:
        """
        The same before something is evicted for it: one look is enough for one wait.
        """
        first = self.line.first
        seen = first is not None and self.checked_at_s >= first.asked_s
        return not seen and self.check_is_stale(now_s)

    def check_hangs(self, now_s: float) -> bool:
        """
        Whether its first check in this wait takes so long that a tool may hang.
        """
        hangs_at_s = self._check_hangs_at_s
        return hangs_at_s is not None and now_s >= hangs_at_s and self._unchecked(now_s)

    @property
    def _check_hangs_at_s(self) -> float | None:
        since_s = self.checking_since_s
        return None if since_s is None else since_s + _CHECK_HANGS_S

    def _overdue_at_s(self, fair_wait_s: float) -> float | None:
        first = self.line.first
        return None if first is None else first.turn_s + fair_wait_s

    @property
    def _lingers_until_s(self) -> float:
        return self.answered_s + self.spec.linger_s

    def turning_points(self, fair_wait_s: float) -> Iterator[float]:
        """
        When time alone changes how it stands.
        """
        if (overdue_at_s := self._overdue_at_s(fair_wait_s)) is not None:
            yield overdue_at_s
        if (hangs_at_s := self._check_hangs_at_s) is not None:
            yield hangs_at_s
        if self.life.phase is Phase.READY and not self.leases:
            yield self._lingers_until_s

    def still_there(self, now_s: float) -> str:
        """
        What to tell of a stop that does not end.
        """
        return (
            f"still there {now_s - self.since_s:.0f} s after it was told to stop: "
            f"{self.daemon.remains()}"
        )

    @property
    def admits(self) -> bool:
        """
        Whether who asks now need not wait, as far as this model goes.
        """
        up = self.life.phase is Phase.READY and not (self.suspect or self.leaving)
        return up and self.room != 0 and self.daemon.serving

    @property
    def _is_up(self) -> bool:
        return self.life.phase in {Phase.READY, Phase.DRAINING}

    @property
    def room(self) -> int | None:
        """
        How many more it may answer at a time; None is any number.
        """
        if self.spec.max_active is None:
            return None
        return max(0, self.spec.max_active - len(self.leases))

    @property
    def answering_since_s(self) -> float | None:
        """
        Since when the oldest of its answers is under way; None: there is none.
        """
        return min((lease.since_s for lease in self.leases), default=None)

    @property
    def queue_number(self) -> int | None:
        """
        Since when it is waited for, as the first ticket's number; None: it is not.
        """
        # Who wants nothing loaded still takes what is up.
        if self.life.phase is Phase.READY and self.line.entries:
            return next(iter(self.line.entries)).number
        first = self.line.first
        return None if first is None else first.number

    def forget(self, told: Deferred[None]) -> None:
        """
        Who waited for its unloading does so no more.
        """
        self.gone = [each for each in self.gone if each is not told]
        self.later = [each for each in self.later if each[0] is not told]

    @property
    def owes(self) -> bool:
        """
        Whether requests that an unload has made wait are still to be served.
        """
        if any(lease.owed for lease in self.leases):
            return True
        # Of one that leaves, the next load serves them.
        stays = self.life.phase in {Phase.STARTING, Phase.READY} and not self.leaving
        return stays and any(entry.owed for entry in self.line.entries)

    def is_idle(self, now_s: float) -> bool:
        """
        Whether it has been up unused for as long as the user allows.
        """
        allowed_s = self.spec.idle_unload_s
        return (
            allowed_s is not None
            and self.life.phase is Phase.READY
            and not (self.leases or self.line.entries)
            and not (self.spec.pin or self.spec.preload)
            and now_s - self.last_used_s >= allowed_s
        )

    def stop_timer(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()

    def stop_polling(self) -> None:
        self.stop_timer()
        if self.poll is not None:
            self.poll.stop()

    @property
    def may_be_found(self) -> bool:
        """
        Whether somebody else may have started it: what takes none of our memory need
        not be found, and what is ours alone cannot.
        """
        return (
            self.daemon.outlives_gateway
            and self.spec.memory_bytes > 0
            and not self.life.phase.resident
        )

    def began_to_serve(self, now_s: float) -> None:
        """
        It came up: what went wrong before is forgotten, unless it keeps crashing.
        """
        self.ready_since_s = self.last_used_s = now_s
        if self.early_crashes < _CRASHES:
            self.failures = 0

    def crashed(self, now_s: float, reason: str) -> None:
        """
        It ended while it served: no failed load, unless it happens at every load.
        """
        self.last_error = (reason, now_s)
        early = now_s - self.ready_since_s < _CRASHED_EARLY_S
        self.early_crashes = self.early_crashes + 1 if early else 0
        if self.early_crashes >= _CRASHES:
            self.load_failed(
                now_s, f"it crashed soon after each load, the last time it {reason}"
            )

    def load_failed(self, now_s: float, reason: str) -> None:
        """
        Fail all who wait, and whoever asks before the back-off is over.
        """
        delay_s = min(_BACK_OFF_S * 2**self.failures, _BACK_OFF_AT_MOST_S)
        self.failures += 1
        self.retry_at_s = now_s + delay_s
        words = self.daemon.last_words()
        told = not words or words in reason
        self.reason = reason if told else f"{reason}; its last words: {words}"
        self.last_error = (self.reason, now_s)
        self.line.refuse(lambda: self.failure(now_s))

    def failure(self, now_s: float) -> LoadFailed:
        """
        Why the last load failed, for one who asks now.
        """
        return LoadFailed(self.spec.name, self.reason, self.retry_at_s - now_s)

    def take_unloads(self) -> list[Deferred[None]]:
        """
        The unloads that are waited for, which are told of their end now.
        """
        gone = [*self.gone, *(told for told, _ in self.later)]
        self.gone, self.later = [], []
        return gone

    def bury(self) -> None:
        """
        Forget what belonged to the life that has ended.
        """
        self.stop_polling()
        self.leases.clear()
        self.suspect = self.leaving = self.stuck = False
        for told in self.take_unloads():
            told.callback(None)
        if self.examination is not None:
            self.examination.cancel()
        if self.client is not None:
            self.client.close()
            self.client = None
