"""
How is a daemon brought from phase to phase? Launched, polled, examined, found, halted.
"""

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from swapgate.daemons import Daemon
from swapgate.daemons.control import port_answers
from swapgate.health import PROBE_TIMEOUT_S, HealthPoll, probe
from swapgate.phases import Action, Event, Phase
from swapgate.place import Place
from swapgate.upstream import UpstreamClient


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
                place.daemon.launch(self._gone(place))
                self._make_client(place)
            case Action.POLL:
                self._poll(place, Event.TIMED_OUT, lambda: self._is_up(place))
            case Action.UNPOLL:
                place.stop_polling()
            case Action.HALT:
                place.stop_polling()
                place.daemon.halt()

    def _make_client(self, place: Place) -> None:
        try:
            place.client = self.make_client(place.daemon)
        except Exception as error:
            # It runs, and must be halted.
            self.tell(place, Event.TIMED_OUT, f"cannot be asked: {error}")

    def _gone(self, place: Place) -> Callable[[str], None]:
        return lambda why: self.tell(place, Event.EXITED, why)

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
        path = place.spec.health
        if path is None:
            return await port_answers(place.daemon.upstream, self.clock)
        return await place.client.get_status(path) == 200

    def _is_up(self, place: Place) -> None:
        impostor = place.daemon.impostor()
        if impostor is None:
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
        place.examination.addErrback(_trap_cancelling)

    async def _examine(self, place: Place) -> None:
        if await probe(lambda: self._is_healthy(place), self.clock):
            self._is_trusted(place)
        elif place.daemon.running:
            self.tell(place, Event.EVICTED, "")
        # Else its end is on the way to us.

    async def find(self, place: Place) -> None:
        """
        Take over a daemon that is up without our doing.

        One that is up and not healthy yet is waited for, as long as a load may take.
        """
        if not place.may_be_found:
            return
        place.looked_at = True
        client = None
        try:
            client = self.make_client(place.daemon)
            status = await Deferred.fromCoroutine(
                client.get_status(place.spec.health or "/")
            ).addTimeout(PROBE_TIMEOUT_S, self.clock)
            found = await place.daemon.adopt(self._gone(place))
        except Exception:
            # Nobody is there, or nobody who answers.
            found = False
        finally:
            place.looked_at = False
        if found and place.retired:
            # A reload came in between; its successor, if any, finds it anew.
            await place.daemon.let_go()
            found = False
        if not found or client is None:
            if client is not None:
                client.close()
            return
        place.client = client
        self.tell(place, Event.FOUND, "")
        if place.life.phase is Phase.READY and status != 200 and place.spec.health:
            place.doubtful = True
            self._poll(place, Event.EVICTED, lambda: self._is_trusted(place))


def _unhealthy(place: Place) -> str:
    """
    What to tell of one that was not healthy in time, and where it was asked.
    """
    timeout_s, asked = place.spec.load_timeout_s, place.daemon.upstream.url
    shown = place.client.shown if place.client is not None else ""
    seen = f"{asked}, {shown}" if shown else asked
    return f"it was not healthy within {timeout_s:g} s ({seen})"


def _trap_cancelling(failure: Failure) -> None:
    failure.trap(CancelledError)
