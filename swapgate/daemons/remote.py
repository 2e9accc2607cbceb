"""
A daemon that others run: never started, never stopped, and it costs no memory here.
"""

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from swapgate.config import ModelSpec, Upstream
from swapgate.daemons import Gone
from swapgate.ini import BadValue
from swapgate.keyfiles import read_key
from swapgate.services import RemoteSpec


class Remote:
    """
    Is there as soon as it is wanted; whether it answers is for its health to show.
    """

    lasting = True

    def __init__(self, spec: ModelSpec, service: RemoteSpec) -> None:
        assert spec.upstream is not None, "the configuration insists on it"
        self._service = service
        self._gone: Gone | None = None
        self.upstream: Upstream = evolve(spec.upstream, api_key=service.api_key)

    def launch(self, gone: Gone) -> None:
        path = self._service.api_key_file
        try:
            key = self._service.api_key if path is None else read_key(path)
        except BadValue as error:
            gone(f"its api_key: {error}")
            return
        self.upstream = evolve(self.upstream, api_key=key)
        self._gone = gone

    def adopt(self, gone: Gone) -> Deferred[bool]:
        # It takes no memory, so that nobody need know of it before it is wanted.
        return succeed(False)

    @property
    def running(self) -> bool:
        return self._gone is not None

    def halt(self) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            gone("is left alone")

    kill = halt

    def remains(self) -> str:
        # It is let alone at once.
        return ""

    def let_go(self) -> Deferred[None]:
        # Nothing here watches it.
        return succeed(None)

    def impostor(self) -> str | None:
        # Over https its certificate tells, over http nothing can.
        return None

    def last_words(self) -> str:
        return ""
