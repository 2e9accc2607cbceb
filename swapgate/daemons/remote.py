"""
Remote: a daemon on another machine: never started, never stopped, no memory here.
"""

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.ini import BadValue
from swapgate.config.model import ModelSpec
from swapgate.config.secrets import read_key
from swapgate.config.values import Upstream
from swapgate.daemons import Owner


class Remote:
    """
    It counts as running once it is launched; its health shows whether it answers.
    """

    outlives_gateway = True

    def __init__(self, spec: ModelSpec, service: RemoteSpec) -> None:
        assert spec.upstream is not None, "the configuration insists on it"
        self._service = service
        self._owner: Owner | None = None
        self.upstream: Upstream = evolve(spec.upstream, api_key=service.api_key)

    def preflight(self) -> Deferred[str | None]:
        return succeed(None)

    def relaunch(self) -> bool:
        return False

    def launch(self, owner: Owner) -> None:
        path = self._service.api_key_file
        try:
            key = self._service.api_key if path is None else read_key(path)
        except BadValue as error:
            owner.gone(f"its api_key: {error}")
            return
        self.upstream = evolve(self.upstream, api_key=key)
        self._owner = owner

    def answers(self) -> Deferred[bool]:
        return succeed(False)

    def adopt(self, owner: Owner) -> Deferred[bool]:
        # It takes no memory here, so it need not be known before it is wanted.
        return succeed(False)

    @property
    def running(self) -> bool:
        return self._owner is not None

    @property
    def serving(self) -> bool:
        return self.running

    def halt(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.gone("is left alone")

    kill = halt

    def remains(self) -> str:
        # It is left alone at once.
        return ""

    def detach(self) -> Deferred[None]:
        # Nothing here watches it.
        return succeed(None)

    def port_conflict(self) -> str | None:
        # Over https its certificate tells, over http nothing can.
        return None

    def last_words(self) -> str:
        return ""
