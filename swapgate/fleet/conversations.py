"""
Conversations: what the fleet tells, and asks, of those that keep them through a swap.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from attrs import define
from twisted.internet.defer import Deferred, succeed

from swapgate.config.model import ModelSpec
from swapgate.upstream.client import UpstreamClient


class Conversations(Protocol):
    """
    One life of a daemon is known by its client. Nothing here ever fails, and each
    Deferred fires within the model's `snapshot_timeout`.
    """

    def healthy(
        self, spec: ModelSpec, client: UpstreamClient, waiting: Sequence[object] | None
    ) -> Deferred[bool]:
        """
        A daemon is up, and nothing has been asked of it: give it back what it had.

        :param waiting: the conversations of the requests that wait; None: it has ended
            at that before, and is to be left alone.
        :return: False where it must be started again.
        """

    def halting(self, client: UpstreamClient) -> Deferred[None] | None:
        """
        A daemon is about to be stopped: save what it has. None is done already.
        """

    def gone(self, client: UpstreamClient) -> None:
        """
        This life is over.
        """


@define(eq=False)
class Restoration:
    """
    A daemon that is healthy is being given back its conversations.

    :param over: fires at its end, with whether the daemon is still there.
    """

    over: Deferred[bool]
    # Nothing is left of its process.
    gone: bool = False
    # It is ended, to be started again.
    again: bool = False


class NoConversations(Conversations):
    """
    They are lost.
    """

    def healthy(
        self, spec: ModelSpec, client: UpstreamClient, waiting: Sequence[object] | None
    ) -> Deferred[bool]:
        return succeed(True)

    def halting(self, client: UpstreamClient) -> Deferred[None] | None:
        return None

    def gone(self, client: UpstreamClient) -> None:
        """
        Nothing is left of it.
        """


NO_CONVERSATIONS: Final = NoConversations()
