"""
A daemon of a kind that swapgate cannot run yet: starting it says so.
"""

from twisted.internet.defer import Deferred, succeed

from swapgate.config import Upstream
from swapgate.daemons import Gone


class Unbuilt:
    """
    Fails every launch with words that tell why.
    """

    upstream = Upstream(scheme="http", host="127.0.0.1", port=9)
    running = False
    lasting = False

    def launch(self, gone: Gone) -> None:
        gone("daemons of launchd are not supported yet; use service = child")

    def adopt(self, gone: Gone) -> Deferred[bool]:
        return succeed(False)

    def halt(self) -> None:
        """
        There is nothing to stop.
        """

    def kill(self) -> None:
        """
        There is nothing to stop.
        """

    def impostor(self) -> str | None:
        return "nothing of ours runs there"

    def last_words(self) -> str:
        return ""
