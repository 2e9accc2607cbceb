"""
What can be done to a daemon that somebody else runs, and what can be seen of it?
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
_TOO_FEW = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN)
_QUIET = Factory.forProtocol(Quiet)
_QUIET.noisy = False


class State(Enum):
    """
    What whoever runs the daemon knows of it.
    """

    # Nothing: it is not loaded, not active, and nobody will start it.
    ABSENT = "absent"
    # It is known, and does not run: nothing has started it yet, or it has ended.
    IDLE = "idle"
    # It runs, or will without our doing.
    UP = "up"


@frozen
class Observation:
    """
    What one look has shown.

    :param pid: of its main process, where there is one and we are told.
    :param ended: it ran, and ended by itself or is about to.
    :param note: what is told of its end.
    :param sure: False where a passing fault could have shown the same.
    """

    state: State
    pid: int | None = None
    ended: bool = False
    note: str = ""
    sure: bool = True


class Control(Protocol):
    """
    How one daemon is seen, started and stopped. All of it may fail with `ToolFailed`,
    and start() may be cancelled.
    """

    #: start() may take as long as a load, and being absent after it is no failure yet.
    slow: bool
    #: Where no process is known, the daemon is not gone while its port answers.
    port_counts: bool
    #: look() asks a manager, and not only the port.
    tells: bool

    async def look(self) -> Observation: ...

    async def preflight(self) -> str | None:
        """
        Why it could not be started, as far as the last look and the files show.
        """

    async def start(self) -> Answer: ...

    async def stop(self) -> Answer: ...


async def port_answers(upstream: Upstream, reactor: Any) -> bool:
    """
    Whether anybody listens there.
    """
    endpoint = endpoint_of(upstream, reactor, _CONNECT_TIMEOUT_S)
    try:
        somebody: Any = await endpoint.connect(_QUIET)
    except TimeoutError:
        # Here, somebody who is too busy to accept; elsewhere, as good as nobody.
        return upstream.loopback
    except ConnectError as error:
        # Whoever cannot even try must not take somebody's silence for his absence.
        return error.osError in _TOO_FEW
    except (DNSLookupError, ValueError):
        # A name that nobody has, or that IDNA knows to be none.
        return False
    somebody.transport.abortConnection()
    return True
