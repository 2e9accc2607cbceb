"""
Output: the last lines that a daemon wrote to its stderr, and those that come.

Bounded in number and in bytes; kept from one life of the daemon to the next.
"""

from collections import deque
from collections.abc import Callable, Sequence

from attrs import define, field, frozen

# So many lines are kept, so many bytes of each, and of all.
LINES, LINE_LENGTH, BYTES = 500, 2000, 64 * 1024


@frozen
class Line:
    """
    One line, by its number since the start; `at_s` is the reactor's clock's.
    """

    number: int
    at_s: float
    raw: bytes

    @property
    def text(self) -> str:
        """
        Without what a terminal would obey.
        """
        decoded = self.raw.decode("utf-8", "replace")
        return "".join(c if c.isprintable() else " " for c in decoded)


@define(eq=False)
class Output:
    """
    What is written comes in pieces; a line is one when it has ended.
    """

    _now_s: Callable[[], float]
    _lines: deque[Line] = field(factory=deque, init=False)
    _number: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)
    _partial: bytes = field(default=b"", init=False)
    _watchers: set[Callable[[], None]] = field(factory=set, init=False)

    def add(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LINE_LENGTH:
            whole.append(self._partial)
            self._partial = b""
        for line in whole:
            self._keep(line)
        if whole:
            self._tell()

    def end_life(self, how: str) -> None:
        """
        The process has ended; what it began to write is a line, too.
        """
        if self._partial:
            self._keep(self._partial)
            self._partial = b""
        self.say(how)

    def say(self, text: str) -> None:
        """
        A line of the gateway's own.
        """
        self._keep(f"[swapgate] {text}".encode())
        self._tell()

    def _keep(self, line: bytes) -> None:
        self._number += 1
        raw = line.removesuffix(b"\r")[:LINE_LENGTH]
        self._lines.append(Line(self._number, self._now_s(), raw))
        self._kept += len(raw)
        while self._kept > BYTES or len(self._lines) > LINES:
            self._kept -= len(self._lines.popleft().raw)

    def _tell(self) -> None:
        for changed in list(self._watchers):
            changed()

    def after(self, number: int) -> Sequence[Line]:
        """
        The lines after that one, as far as they are kept.
        """
        return [line for line in self._lines if line.number > number]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """
        Have `changed` called whenever there are more.

        :return: what puts an end to that.
        """
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)
