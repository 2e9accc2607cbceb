"""
How is one daemon started, stopped and found? One module for each kind.
"""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed

from swapgate.config.values import Upstream


def _nothing(_: str) -> None:
    pass


def _not_in_use() -> bool:
    return False


def _not_healthy() -> Deferred[bool]:
    return succeed(False)


@frozen
class Owner:
    """
    What a daemon tells, and asks of, the scheduler whose it is, during one life.

    :param gone: is called once, when the daemon is known to be gone: why, in words.
    :param died: is called before that where it ended by itself: it answers no more,
        and its memory is not proven free yet.
    :param in_use: whether an answer of it is under way.
    :param is_healthy: whether it answers its health poll now.
    """

    gone: Callable[[str], None]
    died: Callable[[str], None] = _nothing
    in_use: Callable[[], bool] = _not_in_use
    is_healthy: Callable[[], Deferred[bool]] = _not_healthy


class Daemon(Protocol):
    """
    One model's daemon, as the fleet sees it. It lives once at a time.
    """

    @property
    def upstream(self) -> Upstream:
        """
        Where the present life answers, known once `launch()` has been called.
        """

    def preflight(self) -> Deferred[str | None]:
        """
        Why it could not be started now, as far as can be seen without starting it.
        """

    def launch(self, owner: Owner) -> None:
        """
        Start it. Whatever becomes of it, `owner.gone` is called once.
        """

    def relaunch(self) -> bool:
        """
        Start it anew on another free port: whether it can, and will.
        """

    def answers(self) -> Deferred[bool]:
        """
        Whether its port does, which is cheaper than asking what runs it.
        """

    def adopt(self, owner: Owner) -> Deferred[bool]:
        """
        Take over what is up already: whether it is. If so, `owner.gone` is called at
        its end.
        """

    @property
    def outlives_gateway(self) -> bool:
        """
        Whether it stays up when the gateway stops.
        """

    @property
    def running(self) -> bool:
        """
        Whether there is anybody to ask yet, or still.
        """

    @property
    def serving(self) -> bool:
        """
        Whether it runs and still holds its port: to be asked before each request.
        """

    def halt(self) -> None:
        """
        Stop it, politely at first; `gone` follows. Calling again does nothing.
        """

    def kill(self) -> None:
        """
        Stop it without asking; `gone` follows.
        """

    def remains(self) -> str:
        """
        What of it was there still, when we last looked after a halt.
        """

    def detach(self) -> Deferred[None]:
        """
        The gateway ends and this stays: watch it no longer, and never call `owner`.
        """

    def port_conflict(self) -> str | None:
        """
        Why what answers at `upstream` may not be this daemon; None where it is.
        """

    def last_words(self) -> str:
        """
        What it said last, for the message that reports its failure.
        """
