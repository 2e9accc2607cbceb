"""
What does the fleet know of one model? Who waits, who uses it, how its loads went.
"""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from swapgate.config import ModelSpec
from swapgate.daemons import Daemon
from swapgate.health import HealthPoll
from swapgate.phases import Life, Phase
from swapgate.plan import Standing
from swapgate.upstream import UpstreamClient

_BACK_OFF_S, _BACK_OFF_AT_MOST_S = 1.0, 60.0
# So many crashes in a row, each so soon after becoming ready, count as a failed load.
_CRASHES, _CRASHED_EARLY_S = 3, 60.0


class TooLarge(Exception):
    """
    A model can never be up, for the reason that the sum shows.
    """


class UnknownModel(Exception):
    """
    A model went from the configuration while somebody waited for it.
    """


class LoadFailed(Exception):
    """
    A model could not be loaded: `reason` in words, `retry_in_s` until it may be again.
    """

    def __init__(self, model: str, reason: str, retry_in_s: float) -> None:
        super().__init__(f"{model} could not be loaded: {reason}")
        self.model, self.reason, self.retry_in_s = model, reason, retry_in_s


@define(eq=False)
class Lease:
    """
    The right to ask one life of a daemon; whoever holds it keeps it from being stopped.
    """

    spec: ModelSpec
    client: UpstreamClient
    _release: Callable[["Lease", bool], None]

    def release(self, *, doubt: bool = False) -> None:
        """
        Give it back; more than once is no harm.

        :param doubt: the daemon failed to answer and may be dead.
        """
        self._release(self, doubt)


@define(eq=False)
class Ticket:
    """
    Somebody's place in the queue.
    """

    number: int
    lease: Deferred[Lease]


@define(eq=False)
class Place:
    """
    One model: its daemon, who waits for it, who uses it, how its loads went.
    """

    spec: ModelSpec
    daemon: Daemon
    life: Life = Life()
    # In order of arrival.
    tickets: dict[Ticket, None] = field(factory=dict)
    leases: set[Lease] = field(factory=set)
    client: UpstreamClient | None = None
    poll: HealthPoll | None = None
    timer: IDelayedCall | None = None
    doubtful: bool = False
    # Being looked at: is it up without our doing?
    looked_at: bool = False
    # No longer in the configuration, or not as it was; what comes in its place.
    retired: bool = False
    successor: "Place | None" = None
    examination: Deferred[None] | None = None
    last_used_s: float = 0.0
    ready_since_s: float = 0.0
    failures: int = 0
    early_crashes: int = 0
    reason: str = ""
    retry_at_s: float = 0.0

    def standing(self, now_s: float) -> Standing:
        """
        What the planner is to know.
        """
        return Standing(
            self.spec.name,
            self.life.phase,
            self.spec.memory_bytes,
            self.last_used_s,
            len(self.leases),
            doubtful=self.doubtful or self.looked_at or self.retired,
            pinned=self.spec.pin and not self.retired,
            preload=self.spec.preload and now_s >= self.retry_at_s,
        )

    def is_idle(self, now_s: float) -> bool:
        """
        Whether it has been up unused for as long as the user allows.
        """
        allowed_s = self.spec.idle_unload_s
        return (
            allowed_s is not None
            and self.life.phase is Phase.READY
            and not (self.leases or self.tickets)
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
            self.daemon.lasting
            and self.spec.memory_bytes > 0
            and not self.life.phase.resident
            and not self.looked_at
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
        self.reason = f"{reason}; its last words: {words}" if words else reason
        self.refuse(lambda: self.failure(now_s))

    def failure(self, now_s: float) -> LoadFailed:
        """
        Why the last load failed, for one who asks now.
        """
        return LoadFailed(self.spec.name, self.reason, self.retry_at_s - now_s)

    def refuse(self, error: Callable[[], Exception]) -> None:
        """
        Fail all who wait.
        """
        tickets, self.tickets = self.tickets, {}
        for ticket in tickets:
            ticket.lease.errback(error())

    def bury(self) -> None:
        """
        Forget what belonged to the life that has ended.
        """
        self.stop_polling()
        self.leases.clear()
        self.doubtful = False
        if self.examination is not None:
            self.examination.cancel()
        if self.client is not None:
            self.client.close()
            self.client = None
