"""
Handover: gives a daemon its conversations back before it serves, and has them saved
before it is stopped.

1. A daemon that ends while it is given them is started again without: no failed load.
2. Its memory counts all the while, as in any load.
"""

from collections.abc import Callable
from typing import Final

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from swapgate.fleet.conversations import Conversations, Restoration
from swapgate.fleet.lifecycle import Action, Event
from swapgate.fleet.model_state import ModelState

#: What was killed should be gone so soon after it, and proven to be.
KILLED_S: Final = 8.0


@define
class Handover:
    """
    From one life of a daemon to the next.

    :param tell: the scheduler's inbox.
    :param act: the supervisor's.
    """

    _conversations: Conversations
    _clock: IReactorTime
    _tell: Callable[[ModelState, Event, str], None]
    _act: Callable[[ModelState, Action], None]
    _log = Logger()

    def restore(self, state: ModelState) -> None:
        """
        A daemon is healthy: give it back its conversations, then tell it.
        """
        assert state.client is not None
        waiting = None if state.plain else state.conversations
        over = self._conversations.healthy(state.spec, state.client, waiting)
        restoration = Restoration(over)
        state.restores(restoration)
        over.addCallback(self._restored, state, restoration)

    def _restored(
        self, well: bool, state: ModelState, restoration: Restoration
    ) -> None:
        if state.restoration is not restoration:
            # It is stopped already.
            return
        if well and not restoration.gone:
            state.restoration = None
            self._tell(state, Event.HEALTHY, "")
            return
        state.plain = restoration.again = True
        self._log.warn(
            "{model}: it ended when its conversations were restored, and is started "
            "again without them",
            model=state.spec.name,
        )
        if restoration.gone:
            self._start_again(state)
        else:
            reason = "it did not end after a restore that failed"
            state.set_timer(
                self._clock.callLater(
                    KILLED_S, self._tell, state, Event.TIMED_OUT, reason
                )
            )
            state.daemon.kill()

    def _start_again(self, state: ModelState) -> None:
        state.restoration = None
        self.end(state)
        self._act(state, Action.LAUNCH)
        self._act(state, Action.POLL)

    def ended(self, state: ModelState, event: Event, why: str) -> None:
        """
        A daemon has ended by itself or is gone. While it is given back its
        conversations that is known by what is asked of it, which fails.
        """
        restoration = state.restoration
        if restoration is None:
            self._tell(state, event, why)
        elif event is Event.EXITED:
            restoration.gone = True
            if restoration.again:
                self._start_again(state)

    def save(self, state: ModelState) -> Deferred[None] | None:
        """
        What a daemon's stop waits for; None: for nothing.
        """
        if state.client is None or state.suspect or not state.daemon.serving:
            return None
        return self._conversations.halting(state.client)

    def end(self, state: ModelState) -> None:
        """
        Nothing is left of a daemon.
        """
        if state.client is not None:
            self._conversations.gone(state.client)
