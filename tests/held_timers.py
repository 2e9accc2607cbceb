"""
The reactor, but for timers of certain lengths: these go off when a test says.

A bound that is to be reached is reached once what it bounds has been seen, however slow
the machine; one that is not to be reached never is.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface import directlyProvides, providedBy


class HeldTimers:
    """
    To be handed to product code in the reactor's place.

    :param lengths_s: the delays of the timers that are held.
    """

    def __init__(self, *lengths_s: float) -> None:
        self._lengths_s = lengths_s
        self._held = Clock()
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> Any:
        clock: Any = self._held if delay in self._lengths_s else reactor
        return clock.callLater(delay, call, *args)

    def seconds(self) -> float:
        clock: Any = reactor
        return float(clock.seconds() + self._held.seconds())

    def go_off(self) -> None:
        """
        Let as much time pass as the longest of them take: all that are held go off.
        """
        self._held.advance(max(self._lengths_s))
