"""
How is one daemon started, stopped and found? One module for each kind.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from swapgate.config import Upstream

# Called once for each launch, when the daemon is known to be gone: why, in words.
Gone = Callable[[str], None]


class Daemon(Protocol):
    """
    One model's daemon, as the fleet sees it. It lives once at a time.
    """

    @property
    def upstream(self) -> Upstream:
        """
        Where the present life answers, known once `launch()` has been called.
        """

    def launch(self, gone: Gone) -> None:
        """
        Start it. Whatever becomes of it, `gone` is called once.
        """

    def adopt(self, gone: Gone) -> Deferred[bool]:
        """
        Take over what is up already: whether it is. If so, `gone` is called at its end.
        """

    @property
    def lasting(self) -> bool:
        """
        Whether it stays up when the gateway stops.
        """

    @property
    def running(self) -> bool:
        """
        Whether there is anybody to ask yet, or still.
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

    def let_go(self) -> Deferred[None]:
        """
        The gateway ends and this stays: watch it no longer, and never call `gone`.
        """

    def impostor(self) -> str | None:
        """
        Why what answers at `upstream` may not be this daemon; None where it is.
        """

    def last_words(self) -> str:
        """
        What it said last, for the message that reports its failure.
        """
