"""
Control: what is asked of launchd, systemd or a user's commands about one daemon.

It is observed, started and stopped through this interface; `port_answers` is the look
that needs no service manager.
"""

import errno
from enum import Enum
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Quiet

from swapgate.config.values import Upstream
from swapgate.daemons.tool import Answer
from swapgate.net import endpoint_of

_CONNECT_TIMEOUT_S = 1.0
# Errors of a connect that say that this process has run out of something.
_TOO_FEW = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)
_QUIET = Factory.forProtocol(Quiet)
_QUIET.noisy = False


class ServiceState(Enum):
    """
    The state of a daemon as its service manager sees it.
    """

    # It is not loaded or not active, and nothing will start it.
    ABSENT = "absent"
    # It is known, and does not run: nothing has started it yet, or it has ended.
    IDLE = "idle"
    # It runs, or the service manager is about to start it.
    UP = "up"


@frozen
class Observation:
    """
    What one look has shown.

    :param pid: of its main process, where there is one and the look tells it.
    :param ended: it ran, and ended by itself or is about to.
    :param note: what the service manager says of its end.
    :param sure: False where a passing fault could have shown the same.
    """

    state: ServiceState
    pid: int | None = None
    ended: bool = False
    note: str = ""
    sure: bool = True

    @property
    def absent(self) -> bool:
        return self.state is ServiceState.ABSENT

    @property
    def runs(self) -> bool:
        return self.state is ServiceState.UP or self.pid is not None

    @property
    def reason(self) -> str:
        """
        Why it runs no more.
        """
        if self.absent and not self.ended:
            return "was stopped from outside"
        return f"ended by itself{self.note_in_brackets}"

    @property
    def note_in_brackets(self) -> str:
        return f" ({self.note})" if self.note else ""


class Control(Protocol):
    """
    How one daemon is observed, started and stopped. All of it may fail with
    `ToolFailed`, and start() may be cancelled.
    """

    #: start() may take as long as a load, and being absent after it is no failure yet.
    slow: bool
    #: Where no process is known, the daemon is not gone while its port answers.
    port_counts: bool
    #: look() asks a service manager, and does not only try the port.
    has_status: bool

    async def look(self) -> Observation: ...

    async def preflight(self) -> str | None:
        """
        Why it could not be started, as far as the last look and the files show.
        """

    async def start(self) -> Answer: ...

    async def stop(self) -> Answer: ...


async def port_answers(upstream: Upstream, reactor: Any) -> bool:
    """
    Whether something listens there.
    """
    endpoint = endpoint_of(upstream, reactor, _CONNECT_TIMEOUT_S)
    try:
        connection: Any = await endpoint.connect(_QUIET)
    except TimeoutError:
        # On this machine a listener that is too busy to accept; elsewhere a host that
        # is off or unreachable.
        return upstream.loopback
    except ConnectError as error:
        # Without resources of our own nothing was tried: no proof of absence.
        return error.osError in _TOO_FEW
    except (DNSLookupError, ValueError):
        # No host has this name, or IDNA does not allow it.
        return False
    connection.transport.abortConnection()
    return True
