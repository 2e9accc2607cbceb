"""
How is a daemon brought from phase to phase? Launched, polled, examined, found, halted.
"""

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.daemons import Daemon, Owner
from swapgate.daemons.control import port_answers
from swapgate.fleet.health import HealthPoll, probe
from swapgate.fleet.history import LoadTimes, Swaps
from swapgate.fleet.lease import NotStopped
from swapgate.fleet.lifecycle import Action, Event, Phase
from swapgate.fleet.model_state import ModelState
from swapgate.upstream.client import UpstreamClient

# A daemon that failed a request is asked so often, so long apart, whether it is well.
_PROBES, _PROBE_AGAIN_S = 3, 1.0
# What was killed at stop_timeout should be gone so soon after it, and proven to be.
_KILLED_S = 8.0


@define
class Supervisor:
    """
    What the fleet has done with one daemon at a time; what comes of it is told to it.

    :param make_client: a client of the daemon's present life.
    :param tell: the fleet's inbox.
    :param carry_on: the fleet plans again.
    """

    _log = Logger()

    clock: IReactorTime
    make_client: Callable[[Daemon], UpstreamClient]
    tell: Callable[[ModelState, Event, str], None]
    carry_on: Callable[[], None]

    def act(self, state: ModelState, action: Action) -> None:
        """
        Carry out what the phases table asks for. What cannot be done ends this life,
        and is no other model's affair.
        """
        try:
            self._do(state, action)
        except Exception as error:
            # Too few descriptors, say. All else is a bug, of ours or of Twisted.
            if not isinstance(error, OSError):
                self._log.failure("{model}: a bug in swapgate", model=state.spec.name)
            self.tell(state, Event.EXITED, f"cannot be run: {error}")

    def _do(self, state: ModelState, action: Action) -> None:
        match action:
            case Action.LAUNCH:
                state.daemon.launch(self._owner(state))
                self._make_client(state)
            case Action.POLL:
                self._poll(state, Event.TIMED_OUT, lambda: self._is_up(state))
            case Action.UNPOLL:
                state.stop_polling()
            case Action.HALT:
                state.stop_polling()
                state.timer = self.clock.callLater(
                    state.spec.stop_timeout_s + _KILLED_S, self._is_stuck, state
                )
                state.daemon.halt()

    def _owner(self, state: ModelState) -> Owner:
        return Owner(
            gone=lambda why: self.tell(state, Event.EXITED, why),
            died=lambda why: self.tell(state, Event.DIED, why),
            in_use=lambda: bool(state.leases),
            is_healthy=lambda: self._probe(state),
        )

    def _probe(self, state: ModelState) -> Deferred[bool]:
        return probe(lambda: self._is_healthy(state), self.clock)

    def _is_stuck(self, state: ModelState) -> None:
        """
        Its stop does not end: its memory is counted on no longer.
        """
        state.stuck = True
        name, words = state.spec.name, state.still_there(self.clock.seconds())
        self._log.warn("{model}: {words}", model=name, words=words)
        for told in state.take_unloads():
            told.errback(NotStopped(f"{name} is {words}"))
        self.carry_on()

    def _make_client(self, state: ModelState) -> None:
        try:
            state.client = self.make_client(state.daemon)
        except Exception as error:
            # It runs, and must be halted.
            self.tell(state, Event.TIMED_OUT, f"cannot be asked: {error}")

    def _poll(
        self, state: ModelState, late: Event, healthy: Callable[[], None]
    ) -> None:
        """
        Poll until it is healthy, or tell `late` at load_timeout.
        """
        timeout_s = state.spec.load_timeout_s
        state.timer = self.clock.callLater(
            timeout_s,
            lambda: self.tell(state, late, _unhealthy(state)),
        )
        state.poll = HealthPoll(
            lambda: self._is_healthy(state),
            state.spec.health_interval_s,
            self.clock,
            healthy,
        )
        state.poll.start()

    async def _is_healthy(self, state: ModelState) -> bool:
        if not state.daemon.running or state.client is None:
            return False
        if state.client.upstream != state.daemon.upstream:
            # It was started anew on another port.
            state.client.close()
            state.client = self.make_client(state.daemon)
        path = state.spec.health
        if path is None:
            return await port_answers(state.daemon.upstream, self.clock)
        return await state.client.get_status(path) == 200

    def _is_up(self, state: ModelState) -> None:
        port_conflict = state.daemon.port_conflict()
        if port_conflict is not None and state.daemon.relaunch():
            state.stop_polling()
            self._poll(state, Event.TIMED_OUT, lambda: self._is_up(state))
        elif port_conflict is None:
            self.tell(state, Event.HEALTHY, "")
        else:
            self.tell(state, Event.TIMED_OUT, port_conflict)

    def _is_trusted(self, state: ModelState) -> None:
        state.stop_polling()
        state.suspect = False
        self.carry_on()

    def examine(self, state: ModelState) -> None:
        """
        A daemon that failed a request is asked nothing more until it shows its health.
        """
        if state.suspect or state.client is None:
            return
        state.suspect = True
        state.client.drop_idle()
        state.examination = Deferred.fromCoroutine(self._examine(state))
        state.examination.addErrback(_trap_cancelling)

    async def _examine(self, state: ModelState) -> None:
        why = ""
        # On this machine one look is enough.
        for _ in range(1 if state.daemon.upstream.loopback else _PROBES):
            if not state.daemon.running:
                # Its end is on the way to us.
                return
            if await self._probe(state):
                port_conflict = state.daemon.port_conflict()
                if port_conflict is None:
                    self._is_trusted(state)
                    return
                why = port_conflict
                break
            if not state.daemon.upstream.loopback:
                await deferLater(self.clock, _PROBE_AGAIN_S)
        if state.daemon.running:
            self._distrust(state, why or "it does not answer its health poll")

    async def find(self, state: ModelState, *, ask: bool = True) -> None:
        """
        Take over a daemon that is up without our doing.

        One that is up and not healthy yet is waited for, as long as a load may take.

        :param ask: ask its manager; else only where its port answers.
        """
        if not state.may_be_found:
            return
        state.looked_at = True
        client = None
        try:
            client = self.make_client(state.daemon)
            found = (ask or await state.daemon.answers()) and await state.daemon.adopt(
                self._owner(state)
            )
        finally:
            state.looked_at = False
        if found and state.retired:
            # A reload came in between; its successor, if any, finds it anew.
            await state.daemon.detach()
        elif found:
            state.client = client
            # Nothing is asked of it before it has shown its health.
            state.suspect = True
            self.tell(state, Event.FOUND, "")
            if state.life.phase is Phase.READY:
                self._poll(state, Event.EVICTED, lambda: self._is_found_up(state))

    def _is_found_up(self, state: ModelState) -> None:
        port_conflict = state.daemon.port_conflict()
        if port_conflict is None:
            self._is_trusted(state)
        else:
            self._distrust(state, port_conflict)

    def _distrust(self, state: ModelState, why: str) -> None:
        self._log.warn("{model}: {why}", model=state.spec.name, why=why)
        self.tell(state, Event.EVICTED, why)


def _unhealthy(state: ModelState) -> str:
    """
    What to tell of one that was not healthy in time, and where it was asked.
    """
    timeout_s, asked = state.spec.load_timeout_s, state.daemon.upstream.url
    shown = state.client.last_probe if state.client is not None else ""
    seen = f"{asked}, {shown}" if shown else asked
    return f"it was not healthy within {timeout_s:g} s ({seen})"


def _trap_cancelling(failure: Failure) -> None:
    failure.trap(CancelledError)


async def within(seconds: float, done: Deferred[None], clock: IReactorTime) -> None:
    """
    Wait for `done`, though not longer; what is not done by then goes on.
    """
    waiting: Deferred[None] = Deferred()
    late = clock.callLater(seconds, waiting.callback, None)

    def tell(_: object) -> None:
        if late.active():
            late.cancel()
            waiting.callback(None)

    done.addBoth(tell)
    await waiting


_ENDS = (Event.DIED, Event.EXITED)


@define
class Transitions:
    """
    Swaps, load times, failures and crashes; what a phase leaves behind is cleared away.

    :param tell: the fleet's inbox.
    """

    clock: IReactorTime
    swaps: Swaps
    load_times: LoadTimes
    tell: Callable[[ModelState, Event], None]
    _log = Logger()

    def settle(
        self, state: ModelState, before: Phase, event: Event, reason: str
    ) -> None:
        """
        It has left `before` for its present phase by this event, for this reason.
        """
        now_s, name, after = self.clock.seconds(), state.spec.name, state.life.phase
        state.since_s = now_s
        failed = state.life.failing or after is Phase.FAILED
        self.swaps.note(name, before, after, reason, now_s, failed=failed)
        self._note_load(state, before)
        match after:
            case Phase.READY if before is Phase.DRAINING:
                state.stop_timer()
            case Phase.READY:
                state.began_to_serve(now_s)
            case Phase.DRAINING if state.spec.drain_timeout_s is not None:
                # One that was found before it was healthy still has load_timeout's.
                state.stop_timer()
                state.timer = self.clock.callLater(
                    state.spec.drain_timeout_s, self.tell, state, Event.IDLE
                )
            case Phase.STOPPING if event is Event.IDLE and not state.suspect:
                # It was well until we ended it: it does not crash at every load.
                state.early_crashes = 0
        if before is Phase.STARTING and failed:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            state.load_failed(now_s, reason)
        if before in {Phase.READY, Phase.DRAINING} and event in _ENDS:
            self._log.warn("{model}: {reason}", model=name, reason=reason)
            state.crashed(now_s, reason)
        if not after.resident:
            state.bury()

    def _note_load(self, state: ModelState, before: Phase) -> None:
        if state.life.phase is Phase.STARTING:
            state.line.load_begins()
        elif before is Phase.STARTING:
            took_s = state.line.load_ends()
            if state.life.phase is Phase.READY:
                self.load_times.note(state.spec.name, took_s)
