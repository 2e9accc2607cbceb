"""
Supervisor: launches, polls, examines, adopts and halts daemons; writes history.

1. What comes of it is told to the scheduler's inbox, as an `Event`.
2. An action that fails, for whatever reason, ends that daemon's life and no other's.
3. A daemon that failed a request, or was found up, is asked nothing more until it shows
   its health, and that it is the process which listens on its port.
"""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.daemons import Daemon, Owner
from swapgate.daemons.control import port_answers
from swapgate.fleet.conversations import Conversations
from swapgate.fleet.handover import KILLED_S, Handover
from swapgate.fleet.health import HealthPoll, probe
from swapgate.fleet.history import LoadTimes, Swaps
from swapgate.fleet.lifecycle import Action, Event, Phase
from swapgate.fleet.model_state import ModelState
from swapgate.upstream.client import UpstreamClient

# A daemon that failed a request is asked so often, so long apart, whether it is well.
_PROBES, _PROBE_AGAIN_S = 3, 1.0
_ENDS = (Event.DIED, Event.EXITED)


@define
class Supervisor:
    """
    What is done with one daemon at a time.

    :param make_client: a client of the daemon's present life.
    :param tell: the scheduler's inbox.
    :param plan_again: the scheduler does, where something has changed that is no event.
    """

    _clock: IReactorTime
    _make_client: Callable[[Daemon], UpstreamClient]
    _swaps: Swaps
    _load_times: LoadTimes
    _tell: Callable[[ModelState, Event, str], None]
    _plan_again: Callable[[], None]
    _conversations: Conversations
    _handover: Handover = field(init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._handover = Handover(
            self._conversations, self._clock, self._tell, self.act
        )

    def act(self, state: ModelState, action: Action) -> None:
        """
        Carry out what the lifecycle's table asks for.
        """
        try:
            match action:
                case Action.LAUNCH:
                    state.daemon.launch(self._owner(state))
                    self._ask_it(state)
                case Action.POLL:
                    self._poll(state, Event.TIMED_OUT, self._is_up)
                case Action.UNPOLL:
                    state.stop_polling()
                case Action.HALT:
                    state.stop_polling()
                    saving = self._handover.save(state)
                    if saving is None:
                        self._halt(state)
                    else:
                        state.saves(saving)
                        saving.addBoth(lambda _: self._halt_saved(state, saving))
        except Exception as error:
            # Too few descriptors, say. All else is a bug, of ours or of Twisted.
            if not isinstance(error, OSError):
                self._log.failure("{model}: a bug in swapgate", model=state.spec.name)
            self._tell(state, Event.EXITED, f"cannot be run: {error}")

    def _halt_saved(self, state: ModelState, saving: Deferred[None]) -> None:
        if state.saving_ends(saving):
            try:
                self._halt(state)
            except OSError as error:
                self._tell(state, Event.EXITED, f"cannot be stopped: {error}")

    def _halt(self, state: ModelState) -> None:
        stuck_in_s = state.spec.stop_timeout_s + KILLED_S
        state.set_timer(self._clock.callLater(stuck_in_s, self._is_stuck, state))
        state.daemon.halt()

    def _owner(self, state: ModelState) -> Owner:
        return Owner(
            gone=lambda why: self._handover.ended(state, Event.EXITED, why),
            died=lambda why: self._handover.ended(state, Event.DIED, why),
            in_use=lambda: bool(state.leases),
            is_healthy=lambda: self._probe(state),
        )

    def _probe(self, state: ModelState) -> Deferred[bool]:
        return probe(self._is_healthy(state), self._clock)

    def _is_stuck(self, state: ModelState) -> None:
        now_s = self._clock.seconds()
        words = state.endless_stop(now_s)
        self._log.warn("{model}: {words}", model=state.spec.name, words=words)
        state.is_stuck(now_s)
        self._plan_again()

    def _ask_it(self, state: ModelState) -> None:
        try:
            state.ask_by(self._make_client(state.daemon))
        except Exception as error:
            # It runs, and must be halted.
            self._tell(state, Event.TIMED_OUT, f"cannot be asked: {error}")

    def _poll(
        self,
        state: ModelState,
        late: Event,
        healthy: Callable[[ModelState], None],
    ) -> None:
        """
        Poll until it is healthy, or tell `late` at load_timeout.
        """
        poll = HealthPoll(
            lambda: self._is_healthy(state),
            state.spec.health_interval_s,
            self._clock,
            lambda: healthy(state),
        )
        timer = self._clock.callLater(
            state.spec.load_timeout_s,
            lambda: self._tell(state, late, _unhealthy(state)),
        )
        state.start_polling(poll, timer)

    async def _is_healthy(self, state: ModelState) -> bool:
        if not state.daemon.running or state.client is None:
            return False
        if state.client.upstream != state.daemon.upstream:
            # It was started anew on another port.
            state.ask_by(self._make_client(state.daemon))
        path = state.spec.health
        if path is None:
            return await port_answers(state.daemon.upstream, self._clock)
        return await state.client.get_status(path) == 200

    def _is_up(self, state: ModelState) -> None:
        port_conflict = state.daemon.port_conflict()
        if port_conflict is None:
            self._handover.restore(state)
        elif state.daemon.relaunch():
            self.act(state, Action.POLL)
        else:
            self._tell(state, Event.TIMED_OUT, port_conflict)

    def examine(self, state: ModelState) -> None:
        """
        A daemon that failed a request is asked nothing more until it shows its health.
        """
        if state.suspect or state.client is None:
            return
        state.doubt()
        state.client.drop_idle()
        examination = Deferred.fromCoroutine(self._examine(state))
        state.examine(examination.addErrback(self._end_broken, state))

    def _end_broken(self, failure: Failure, state: ModelState) -> None:
        """
        An examination without a result would keep its requests waiting for ever.
        """
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=state.spec.name
            )
            self._distrust(state, f"cannot be looked at: {failure.value}")

    async def _examine(self, state: ModelState) -> None:
        # On this machine one look is enough.
        for _ in range(1 if state.daemon.upstream.loopback else _PROBES):
            if not state.daemon.running:
                # Its end is on the way to us.
                return
            if await self._probe(state):
                self._trust_or_evict(state)
                return
            if not state.daemon.upstream.loopback:
                await deferLater(self._clock, _PROBE_AGAIN_S)
        if state.daemon.running:
            self._distrust(state, "it does not answer its health poll")

    async def find(self, state: ModelState, *, ask: bool) -> None:
        """
        Take over a daemon that is up without our doing.

        One that is up and not healthy yet is waited for, as long as a load may take.

        :param ask: ask its manager; else only where its port answers.
        """
        try:
            client = self._make_client(state.daemon)
            found = (ask or await state.daemon.answers()) and await state.daemon.adopt(
                self._owner(state)
            )
        finally:
            state.look_ends()
        if found and state.retired:
            # A reload came in between; its successor, if any, finds it anew.
            await state.daemon.detach()
        elif found:
            state.ask_by(client)
            state.doubt()
            self._tell(state, Event.FOUND, "")
            if state.life.phase is Phase.READY:
                self._poll(state, Event.EVICTED, self._trust_or_evict)

    def _trust_or_evict(self, state: ModelState) -> None:
        """
        It is healthy: is it also the process that listens on its port?
        """
        port_conflict = state.daemon.port_conflict()
        if port_conflict is None:
            state.trust()
            self._plan_again()
        else:
            self._distrust(state, port_conflict)

    def _distrust(self, state: ModelState, why: str) -> None:
        self._log.warn("{model}: {why}", model=state.spec.name, why=why)
        self._tell(state, Event.EVICTED, why)

    def settle(
        self, state: ModelState, before: Phase, event: Event, reason: str
    ) -> None:
        """
        Write down that a model has left `before` for its present phase, and clear away
        what the phase before has left.
        """
        now_s, name, after = self._clock.seconds(), state.spec.name, state.life.phase
        failed = state.life.failing or after is Phase.FAILED
        cause, _, _ = reason.partition("\n")
        self._swaps.note(name, before, after, cause, now_s, failed=failed)
        if before is Phase.STARTING:
            took_s = state.queue.load_ends()
            if after is Phase.READY:
                self._load_times.note(name, took_s)
        match after:
            case Phase.READY if before is Phase.DRAINING:
                state.stop_timer()
            case Phase.READY:
                state.became_ready(now_s)
            case Phase.DRAINING if state.spec.drain_timeout_s is not None:
                # In place of load_timeout's, where it was found before it was healthy.
                state.set_timer(
                    self._clock.callLater(
                        state.spec.drain_timeout_s, self._tell, state, Event.IDLE, ""
                    )
                )
            case Phase.STOPPING if event is Event.IDLE and not state.suspect:
                state.back_off.ended_well()
        if before is Phase.STARTING and failed:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            state.load_failed(now_s, reason)
        if before in {Phase.READY, Phase.DRAINING} and event in _ENDS:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            state.crashed(now_s, reason)
        if not after.resident:
            self._handover.end(state)
            state.end_life()


def _unhealthy(state: ModelState) -> str:
    """
    What to tell of one that was not healthy in time, and where it was asked.
    """
    timeout_s, asked = state.spec.load_timeout_s, state.daemon.upstream.url
    shown = state.client.last_probe if state.client is not None else ""
    seen = f"{asked}, {shown}" if shown else asked
    return (
        f"it was not healthy within {timeout_s:g} s; raise load_timeout if it needs "
        f"more\n{seen}"
    )
