"""
Token rate: how many tokens a second a model gives, of all its answers together. Pure.
"""

from attrs import define, field

# The rate is that of the last seconds, counted in bins.
_BIN_S, _BINS = 0.5, 6


@define
class TokenRate:
    """
    Counts without a timer: what is too old is dropped when it is looked at.
    """

    _counts: dict[int, int] = field(factory=dict)
    # When the first of those counted came, after none for a while.
    _began_s: float = 0.0

    def add(self, count: int, now_s: float) -> None:
        """
        So many more have come.
        """
        number = int(now_s / _BIN_S)
        if number in self._counts:
            self._counts[number] += count
            return
        self._forget(number)
        if not self._counts:
            self._began_s = now_s
        self._counts[number] = count

    def per_s(self, now_s: float) -> float:
        number = int(now_s / _BIN_S)
        self._forget(number)
        window_s = now_s - max(self._began_s, (number - _BINS + 1) * _BIN_S)
        # One alone tells nothing of their pace.
        return sum(self._counts.values()) / max(window_s, _BIN_S)

    def _forget(self, number: int) -> None:
        if any(old <= number - _BINS for old in self._counts):
            kept = self._counts.items()
            self._counts = {n: c for n, c in kept if n > number - _BINS}
