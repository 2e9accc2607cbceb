"""
A number and its bound, and a row of them.
"""

from collections.abc import Callable

from attrs import frozen

from benchmarks.processes import Install


@frozen
class Measured:
    """
    One number against its bound, and what it was made of.
    """

    value: float
    at_most: float
    unit: str
    detail: str = ""

    @property
    def within(self) -> bool:
        return self.value <= self.at_most


@frozen
class Row:
    """
    One sentence of the table; it may have several bounds.

    :param measure: by the processes of an install.
    :param measure_imported: by what is imported here, which is the checkout's.
    """

    key: str
    what: str
    measure: Callable[[Install], list[Measured]] | None = None
    measure_imported: Callable[[], list[Measured]] | None = None
