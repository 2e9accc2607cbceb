"""
A daemon that others run: never started, never stopped, and it costs no memory here.
"""

import os
import stat

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from swapgate.config import Config, ConfigError, ModelSpec, Upstream
from swapgate.daemons import Gone
from swapgate.ini import BadValue
from swapgate.models import RemoteSpec, key_in

# More than any key is long, so that a wrong path is no flood.
_LONGEST_FILE = 65536


def read_key(path: str) -> str:
    """
    The key that a file holds, which nobody else may read.

    :raises BadValue: never with anything of what the file holds.
    """
    try:
        # Whatever is no file must not hold us up before that is known.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadValue(
            f"{path} cannot be read ({error.strerror}); put the key there"
        ) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise BadValue(f"{path} is no file; write the key into one")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadValue(f"{path} is open to others; run chmod 600 {path}")
        return key_in(os.read(descriptor, _LONGEST_FILE).decode("latin-1"), path)
    finally:
        os.close(descriptor)


def read_keys(config: Config) -> Config:
    """
    `config` with the keys that it keeps in files, or the `ConfigError` of the first
    that cannot be had. A key that is another one makes another `ModelSpec`.
    """
    models = (_with_key(model, config.path) for model in config.models)
    return evolve(config, models=tuple(models))


def _with_key(model: ModelSpec, path: str) -> ModelSpec:
    service = model.service
    if not isinstance(service, RemoteSpec) or service.api_key_file is None:
        return model
    try:
        key = read_key(service.api_key_file)
    except BadValue as error:
        section = f"model {model.name}"
        raise ConfigError(
            str(error), path=path, section=section, option="api_key"
        ) from None
    return evolve(model, service=evolve(service, api_key=key))


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

    def let_go(self) -> Deferred[None]:
        # Nothing here watches it.
        return succeed(None)

    def impostor(self) -> str | None:
        # Over https its certificate tells, over http nothing can.
        return None

    def last_words(self) -> str:
        return ""
