"""
Daemons: how one is started, stopped and found, with one module for each kind.

`Daemon` is what the scheduler sees of each. `child` runs one as a process of the
gateway's own; `launchd`, `systemd` and `command` control one that is run elsewhere, for
`external`; `remote` only connects. Below them: `spawn` and `tool` (run a process),
`processes` (looks at the system), `output` (keeps what one writes).
"""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed

from swapgate.config.values import Upstream
from swapgate.daemons.output import Output


@frozen
class Owner:
    """
    The callbacks of a daemon's supervisor, for one life of the daemon.

    :param gone: is called once, with the reason, when the daemon is proven to be gone.
    :param died: is called before that where it ended by itself: it answers no more,
        and its memory is not proven free yet.
    :param in_use: whether an answer of it is being relayed.
    :param is_healthy: whether it answers its health poll now.
    """

    gone: Callable[[str], None]
    died: Callable[[str], None]
    in_use: Callable[[], bool]
    is_healthy: Callable[[], Deferred[bool]]


class Daemon(Protocol):
    """
    One model's daemon, as the scheduler sees it. It has one life at a time.

    What is said here of one that only serves is enough for some kinds.
    """

    #: Where the present life answers, known once `launch()` has been called.
    upstream: Upstream
    #: Whether it stays up when the gateway stops.
    outlives_gateway: bool

    async def preflight(self) -> str | None:
        """
        Why it could not be started now, as far as can be seen without starting it;
        None where nothing is in the way.
        """
        return None

    def launch(self, owner: Owner) -> None:
        """
        Start it. Whatever becomes of it, `owner.gone` is called once.
        """

    def relaunch(self) -> bool:
        """
        Start it anew on another free port; False where its port is fixed, or where
        it has been tried often enough.
        """
        return False

    async def answers(self) -> bool:
        """
        Whether its port does, which is cheaper than asking its service manager; False
        where it is not to be adopted.
        """
        return False

    async def adopt(self, owner: Owner) -> bool:
        """
        Take it over if it is up already, and return whether it is. If so,
        `owner.gone` is called at its end.
        """
        return False

    @property
    def running(self) -> bool:
        """
        Whether a health poll could be answered yet, or still.
        """

    @property
    def serving(self) -> bool:
        """
        Whether it runs and still holds its port: looked at before each request.
        """
        return self.running

    def halt(self) -> None:
        """
        Stop it, by SIGTERM or its service manager, and by SIGKILL after its
        stop_timeout; `gone` follows. Calling again does nothing.
        """

    def kill(self) -> None:
        """
        Stop it by SIGKILL; `gone` follows.
        """

    def remains(self) -> str:
        """
        What of it was there still, at the last look after a halt.
        """
        return ""

    def detach(self) -> Deferred[None]:
        """
        The gateway ends and the daemon stays: watch it no longer, and never call
        `owner` again. Fires when nothing of the gateway's is at work on it any more.
        """
        return succeed(None)

    def port_conflict(self) -> str | None:
        """
        Why the listener at `upstream` may be another process; None where it is this
        daemon, as far as the system shows it.
        """
        return None

    @property
    def output(self) -> Output | None:
        """
        What it writes; None of one that writes elsewhere.
        """
        return None

    def last_words(self) -> str:
        """
        The end of its stderr, or of its tool's, for the message that reports a failure.
        """
        return ""
