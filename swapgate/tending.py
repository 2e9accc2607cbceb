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
from swapgate.health import HealthPoll, probe
from swapgate.phases import Action, Event, Phase
from swapgate.place import Look, Place
from swapgate.tickets import NotStopped
from swapgate.upstream import UpstreamClient

# A daemon that failed a request is asked so often, so long apart, whether it is well.
_PROBES, _PROBE_AGAIN_S = 3, 1.0
# A look that takes longer hangs: no other check waits for it.
_LOOK_HANGS_S = 1.0
# What was killed at stop_timeout should be gone so soon after it, and proven to be.
_KILLED_S = 8.0


@define
class Tending:
    """
    What the fleet has done with one daemon at a time; what comes of it is told to it.

    :param make_client: a client of the daemon's present life.
    :param tell: the fleet's inbox.
    :param carry_on: the fleet plans again.
    """

    _log = Logger()

    clock: IReactorTime
    make_client: Callable[[Daemon], UpstreamClient]
    tell: Callable[[Place, Event, str], None]
    carry_on: Callable[[], None]

    def act(self, place: Place, action: Action) -> None:
        """
        Carry out what the phases table asks for. What cannot be done ends this life,
        and is no other model's affair.
        """
        try:
            self._do(place, action)
        except Exception as error:
            # Too few descriptors, say. All else is a bug, of ours or of Twisted.
            if not isinstance(error, OSError):
                self._log.failure("{model}: a bug in swapgate", model=place.spec.name)
            self.tell(place, Event.EXITED, f"cannot be run: {error}")

    def _do(self, place: Place, action: Action) -> None:
        match action:
            case Action.LAUNCH:
                place.daemon.launch(self._owner(place))
                self._make_client(place)
            case Action.POLL:
                self._poll(place, Event.TIMED_OUT, lambda: self._is_up(place))
            case Action.UNPOLL:
                place.stop_polling()
            case Action.HALT:
                place.stop_polling()
                place.timer = self.clock.callLater(
                    place.spec.stop_timeout_s + _KILLED_S, self._is_stuck, place
                )
                place.daemon.halt()

    def _owner(self, place: Place) -> Owner:
        return Owner(
            gone=lambda why: self.tell(place, Event.EXITED, why),
            died=lambda why: self.tell(place, Event.DIED, why),
            in_use=lambda: bool(place.leases),
            is_healthy=lambda: self._probe(place),
        )

    def _probe(self, place: Place) -> Deferred[bool]:
        return probe(lambda: self._is_healthy(place), self.clock)

    def _is_stuck(self, place: Place) -> None:
        """
        Its stop does not end: its memory is counted on no longer.
        """
        place.stuck = True
        name, words = place.spec.name, place.still_there(self.clock.seconds())
        self._log.warn("{model}: {words}", model=name, words=words)
        for told in place.take_unloads():
            told.errback(NotStopped(f"{name} is {words}"))
        self.carry_on()

    def _make_client(self, place: Place) -> None:
        try:
            place.client = self.make_client(place.daemon)
        except Exception as error:
            # It runs, and must be halted.
            self.tell(place, Event.TIMED_OUT, f"cannot be asked: {error}")

    def _poll(self, place: Place, late: Event, healthy: Callable[[], None]) -> None:
        """
        Poll until it is healthy, or tell `late` at load_timeout.
        """
        timeout_s = place.spec.load_timeout_s
        place.timer = self.clock.callLater(
            timeout_s,
            lambda: self.tell(place, late, _unhealthy(place)),
        )
        place.poll = HealthPoll(
            lambda: self._is_healthy(place),
            place.spec.health_interval_s,
            self.clock,
            healthy,
        )
        place.poll.start()

    async def _is_healthy(self, place: Place) -> bool:
        if not place.daemon.running or place.client is None:
            return False
        if place.client.upstream != place.daemon.upstream:
            # It was started anew on another port.
            place.client.close()
            place.client = self.make_client(place.daemon)
        path = place.spec.health
        if path is None:
            return await port_answers(place.daemon.upstream, self.clock)
        return await place.client.get_status(path) == 200

    def _is_up(self, place: Place) -> None:
        impostor = place.daemon.impostor()
        if impostor is not None and place.daemon.relaunch():
            place.stop_polling()
            self._poll(place, Event.TIMED_OUT, lambda: self._is_up(place))
        elif impostor is None:
            self.tell(place, Event.HEALTHY, "")
        else:
            self.tell(place, Event.TIMED_OUT, impostor)

    def _is_trusted(self, place: Place) -> None:
        place.stop_polling()
        place.doubtful = False
        self.carry_on()

    def examine(self, place: Place) -> None:
        """
        A daemon that failed a request is asked nothing more until it shows its health.
        """
        if place.doubtful or place.client is None:
            return
        place.doubtful = True
        place.client.drop_idle()
        place.examination = Deferred.fromCoroutine(self._examine(place))
        place.examination.addErrback(self._end_broken, place)

    def _end_broken(self, failure: Failure, place: Place) -> None:
        """
        An examination without a result would keep whoever waits for ever.
        """
        if not failure.check(CancelledError):
            self._log.failure(
                "{model}: a bug in swapgate", failure, model=place.spec.name
            )
            self._distrust(place, f"cannot be looked at: {failure.value}")

    async def _examine(self, place: Place) -> None:
        why = ""
        # On this machine one look is enough.
        for _ in range(1 if place.daemon.upstream.loopback else _PROBES):
            if not place.daemon.running:
                # Its end is on the way to us.
                return
            if await self._probe(place):
                impostor = place.daemon.impostor()
                if impostor is None:
                    self._is_trusted(place)
                    return
                why = impostor
                break
            if not place.daemon.upstream.loopback:
                await deferLater(self.clock, _PROBE_AGAIN_S)
        if place.daemon.running:
            self._distrust(place, why or "it does not answer its health poll")

    async def find(self, place: Place, *, ask: bool = True) -> None:
        """
        Take over a daemon that is up without our doing.

        One that is up and not healthy yet is waited for, as long as a load may take.

        :param ask: ask its manager; else only where its port answers.
        """
        if not await self._may_look(place, ask):
            return
        look = place.look = Look(self.clock.seconds(), ask)
        try:
            await self._look(place, ask)
        finally:
            look.end()

    async def _may_look(self, place: Place, ask: bool) -> bool:
        """
        Whether to look now: a look that is under way is waited for instead, and made
        again where it has asked less.
        """
        while place.may_be_found and (look := place.look) is not None:
            hangs = self.clock.seconds() - look.since_s >= _LOOK_HANGS_S
            if not ask or hangs:
                return False
            await look.over()
            if look.asks:
                return False
        return place.may_be_found

    async def _look(self, place: Place, ask: bool) -> None:
        try:
            client = self.make_client(place.daemon)
            found = (ask or await place.daemon.answers()) and await place.daemon.adopt(
                self._owner(place)
            )
        finally:
            place.look = None
        if found and place.retired:
            # A reload came in between; its successor, if any, finds it anew.
            await place.daemon.let_go()
        elif found:
            place.client = client
            # Nothing is asked of it before it has shown its health.
            place.doubtful = True
            self.tell(place, Event.FOUND, "")
            if place.life.phase is Phase.READY:
                self._poll(place, Event.EVICTED, lambda: self._is_found_up(place))

    def _is_found_up(self, place: Place) -> None:
        impostor = place.daemon.impostor()
        if impostor is None:
            self._is_trusted(place)
        else:
            self._distrust(place, impostor)

    def _distrust(self, place: Place, why: str) -> None:
        self._log.warn("{model}: {why}", model=place.spec.name, why=why)
        self.tell(place, Event.EVICTED, why)


def _unhealthy(place: Place) -> str:
    """
    What to tell of one that was not healthy in time, and where it was asked.
    """
    timeout_s, asked = place.spec.load_timeout_s, place.daemon.upstream.url
    shown = place.client.shown if place.client is not None else ""
    seen = f"{asked}, {shown}" if shown else asked
    return f"it was not healthy within {timeout_s:g} s ({seen})"


async def within(seconds: float, done: Deferred[None], clock: IReactorTime) -> None:
    """
    Wait for `done`, though not longer; what is not done by then goes on.
    """
    waiting: Deferred[None] = Deferred(lambda _: late.cancel())
    late = clock.callLater(seconds, waiting.callback, None)

    def tell(_: object) -> None:
        if late.active():
            late.cancel()
            waiting.callback(None)

    done.addBoth(tell)
    await waiting
