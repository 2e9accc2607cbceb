"""
Remote: a daemon that others run, on another machine, and that is only talked to.

It is never started and never stopped, and takes no memory here.
"""

from attrs import evolve

from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.ini import BadValue
from swapgate.config.model import ModelSpec
from swapgate.config.secrets import read_key
from swapgate.daemons import Daemon, Owner


class Remote(Daemon):
    """
    It counts as running once it is launched; its health shows whether it answers. As
    it takes no memory here it need not be known before it is wanted, and its listener
    is its certificate's to prove.
    """

    outlives_gateway = True

    def __init__(self, spec: ModelSpec, service: RemoteSpec) -> None:
        assert spec.upstream is not None, "the configuration insists on it"
        self._service = service
        self._owner: Owner | None = None
        self.upstream = evolve(spec.upstream, api_key=service.api_key)

    def launch(self, owner: Owner) -> None:
        path = self._service.api_key_file
        try:
            key = self._service.api_key if path is None else read_key(path)
        except BadValue as error:
            owner.gone(f"its api_key: {error}")
            return
        self.upstream = evolve(self.upstream, api_key=key)
        self._owner = owner

    @property
    def running(self) -> bool:
        return self._owner is not None

    def halt(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.gone("is left alone")

    kill = halt
