"""
What do the files hold that nobody else may read? The keys of clients and of remotes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from swapgate.config.access import Access, distinct, keys_in
from swapgate.config.daemon_kinds import (
    RemoteSpec,
    key_in,
)
from swapgate.config.ini import BadValue, ConfigError
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec

# More than any keys are long, so that a wrong path is no flood.
_LONGEST_FILE = 65536


def read_private(path: str, user: int | None = None) -> str:
    """
    The text of a file that nobody else may read, one character for each byte.

    Root's files are as good as our own: root may change those as well.

    :param user: whose files they are; None: those of the one who runs this.
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
        found = os.fstat(descriptor)
        mode = found.st_mode
        if not stat.S_ISREG(mode):
            raise BadValue(f"{path} is no file; write the key into one")
        if found.st_uid not in (0, os.geteuid() if user is None else user):
            raise BadValue(
                f"{path} belongs to another user, who may change it; "
                "make it a file of your own"
            )
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadValue(f"{path} is open to others; run chmod 600 {path}")
        text = os.read(descriptor, _LONGEST_FILE + 1).decode("latin-1")
    finally:
        os.close(descriptor)
    if len(text) > _LONGEST_FILE:
        # Half of a key would be one, too, and easier to guess.
        raise BadValue(f"{path} is longer than {_LONGEST_FILE} bytes; shorten it")
    return text


def read_key(path: str) -> str:
    """
    The one key that a file holds.
    """
    return key_in(read_private(path), path)


def read_keys(config: Config) -> Config:
    """
    `config` with the keys that it keeps in files, or the `ConfigError` of the first
    that cannot be had. A key that is another one makes another `ModelSpec`.
    """
    with _told_of(config, "swapgate", "api_keys"):
        access = _opened(config.access)
    models = []
    for model in config.models:
        with _told_of(config, f"model {model.name}", "api_key"):
            models.append(_with_key(model))
    return evolve(config, access=access, models=tuple(models))


@contextmanager
def _told_of(config: Config, section: str, option: str) -> Iterator[None]:
    """
    Whatever is wrong in here is wrong with this option.
    """
    try:
        yield
    except BadValue as error:
        raise ConfigError(
            str(error), path=config.path, section=section, option=option
        ) from None


def _opened(access: Access) -> Access:
    """
    With the keys of its files, which it forgets.
    """
    keys = [*access.keys]
    for path in access.key_files:
        keys += keys_in(read_private(path), path)
    return evolve(access, keys=distinct(keys), key_files=())


def _with_key(model: ModelSpec) -> ModelSpec:
    service = model.service
    if not isinstance(service, RemoteSpec) or service.api_key_file is None:
        return model
    key = read_key(service.api_key_file)
    return evolve(model, service=evolve(service, api_key=key))
