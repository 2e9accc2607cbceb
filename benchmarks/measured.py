"""
A number and its bound, and a row of them.
"""

from collections.abc import Callable

from attrs import frozen


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
    """

    key: str
    what: str
    measure: Callable[[], list[Measured]]
