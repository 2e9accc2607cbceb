"""
Back-off: when a model that failed to load may be loaded again.

1. Each failed load in a row doubles the wait, from 1 s to 60 s; a load that went well
   ends it.
2. Only failed loads back off. A crash while serving does not, but for the third in a
   row so soon after becoming ready: that one counts as a failed load.
"""

from attrs import define

_FIRST_S, _AT_MOST_S = 1.0, 60.0
# So many crashes in a row, each so soon after becoming ready.
_CRASHES, _EARLY_S = 3, 60.0


@define
class BackOff:
    """
    The failures of one model.

    :param retry_at_s: when it may be loaded again.
    :param reason: why the last load failed.
    """

    retry_at_s: float = 0.0
    reason: str = ""
    _failures: int = 0
    _early_crashes: int = 0
    _ready_since_s: float = 0.0

    def failed(self, now_s: float, reason: str) -> None:
        """
        A load has failed.
        """
        self.retry_at_s = now_s + min(_FIRST_S * 2**self._failures, _AT_MOST_S)
        self._failures += 1
        self.reason = reason

    def became_ready(self, now_s: float) -> None:
        """
        What went wrong before is forgotten, unless it keeps crashing.
        """
        self._ready_since_s = now_s
        if self._early_crashes < _CRASHES:
            self._failures = 0
            # It may have been started without us, in the back-off.
            self.retry_at_s = 0.0

    def crashed(self, now_s: float) -> bool:
        """
        It ended while it served: whether that counts as a failed load.
        """
        early = now_s - self._ready_since_s < _EARLY_S
        self._early_crashes = self._early_crashes + 1 if early else 0
        return self._early_crashes >= _CRASHES

    def ended_well(self) -> None:
        """
        It was well until it was stopped: it does not crash at every load.
        """
        self._early_crashes = 0
