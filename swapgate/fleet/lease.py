"""
Lease: the right to use a daemon, the request that waits for it, why there is none.
"""

from collections.abc import Callable, Hashable

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from swapgate.config.model import ModelSpec
from swapgate.fleet.token_rate import TokenRate
from swapgate.upstream.client import UpstreamClient


class TooLarge(Exception):
    """
    A model can never be up, for the reason that the sum shows.
    """


class UnknownModel(Exception):
    """
    A model went from the configuration while a request waited for it.
    """


class QueueFull(Exception):
    """
    As many requests wait already as `max_held` allows.
    """


class NotLoaded(Exception):
    """
    A model is not up, and is not loaded for a client that has just given up its load.
    """


class Unloaded(Exception):
    """
    A model was unloaded on request before it had begun to answer.
    """


class NotStopped(Exception):
    """
    A model's daemon is still there, long after it was told to stop.
    """


class ShuttingDown(Exception):
    """
    The gateway is stopping and lends no daemon any more.
    """


class LoadFailed(Exception):
    """
    A model could not be loaded: `reason` in words, `retry_in_s` until it may be again.

    :param reason: its first line is for a person; the daemon's own words come after it.
    """

    def __init__(self, model: str, reason: str, retry_in_s: float) -> None:
        why, newline, words = reason.partition("\n")
        super().__init__(
            f"{model} could not be loaded: {why}; it can be tried again in "
            f"{max(retry_in_s, 0):.0f} s{newline}{words}"
        )
        self.model, self.reason, self.retry_in_s = model, reason, retry_in_s


@frozen
class Cut:
    """
    Why an answer ends that its daemon could have gone on with.

    :param message: what its client is told in the stream.
    :param refusal: what a client is told whose answer has not begun.
    """

    message: str
    code: str
    refusal: Callable[[], Exception]


STOPPING = Cut("the gateway is stopping", "stopping", ShuttingDown)


@define(eq=False)
class Lease:
    """
    The right to ask one life of a daemon; while it is held the daemon is not stopped.
    """

    spec: ModelSpec
    client: UpstreamClient
    _release: Callable[["Lease", bool], None] = field(repr=False)
    # Since when it is out.
    since_s: float
    # It has waited through an unload: the next one waits for its answer's end.
    owed: bool
    # Whose stream it is for; None: it is no stream, or of an unknown client.
    stream_of: Hashable = None
    # Where the tokens of its answer are counted.
    rate: TokenRate = field(factory=TokenRate)
    # Set by the holder: ends the answer, for the reason given.
    cut: Callable[[Cut], None] | None = None
    # Why its answer is not waited for, or is no loss if it ends early.
    ended: Cut | None = None

    def end(self, why: Cut) -> None:
        """
        Cut its answer.
        """
        self.ended = why
        if self.cut is not None:
            self.cut(why)

    def release(self, *, suspect: bool = False) -> None:
        """
        Give it back; more than once is no harm.

        :param suspect: the daemon failed to answer and may be dead.
        """
        self._release(self, suspect)


@define(eq=False)
class QueuedRequest:
    """
    A request in the queue; the scheduler fills it in, its owner may read it.

    :param client: its client, as far as that can be told; None is unknown.
    :param streams: whether a stream was asked for.
    :param small: it is no stream, and its body is small: it may follow one.
    :param keep_alive_s: how long its model stays up when it is idle; None: as long as
        the configuration says.
    :param conversation: which one it goes on with, as `Conversations` knows them.
    """

    client: Hashable = None
    streams: bool = False
    small: bool = False
    keep_alive_s: float | None = None
    conversation: object = None
    model: str = field(default="", init=False)
    number: int = field(default=0, init=False)
    asked_s: float = field(default=0.0, init=False)
    # Since when it waits for its model's turn: the last one may have left it over.
    turn_s: float = field(default=0.0, init=False)
    # Of one that waits.
    lease: Deferred[Lease] = field(init=False)
    # False: it takes what comes, and has nothing loaded.
    wants: bool = field(default=True, init=False)
    # An unload has made it wait once: the next one waits until it has been served.
    owed: bool = field(default=False, init=False)
    patience: IDelayedCall | None = field(default=None, init=False)
    # Once it is over: how long it waited for the load, and for all else.
    load_s: float = field(default=0.0, init=False)
    queue_s: float = field(default=0.0, init=False)
