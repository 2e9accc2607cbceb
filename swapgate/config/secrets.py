"""
Secrets: key files, which no other user may read; the only other I/O is in `file`.

1. No message holds anything of what a file holds.
2. A file of root's is as good as one of our own: root may change those as well.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from swapgate.config.access import Access
from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.ini import BadValue
from swapgate.config.keys import distinct, file_keys, header_key
from swapgate.config.loader import Config
from swapgate.config.model import ModelSpec

# More than any keys are long, so that a wrong path is no flood.
_LONGEST_FILE = 65536


def read_private(path: str) -> str:
    """
    The text of a file that no other user may read, one character for each byte.

    :raises BadValue: where it is no such file.
    """
    try:
        # Opening a pipe must not block before it is known to be one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadValue(
            f"{path} cannot be read ({error.strerror}); put the key there"
        ) from None
    try:
        check_private(path, os.fstat(descriptor))
        text = os.read(descriptor, _LONGEST_FILE + 1).decode("latin-1")
    finally:
        os.close(descriptor)
    if len(text) > _LONGEST_FILE:
        # Half of a key would be one, too, and easier to guess.
        raise BadValue(f"{path} is longer than {_LONGEST_FILE} bytes; shorten it")
    return text


def check_private(path: str, found: os.stat_result) -> None:
    """
    Refuse a file that others can read or change, or that is none.
    """
    if not stat.S_ISREG(found.st_mode):
        raise BadValue(f"{path} is no file; write the key into one")
    if found.st_uid not in (0, os.geteuid()):
        raise BadValue(
            f"{path} belongs to another user, who may change it; "
            "make it a file of your own"
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadValue(f"{path} is open to others; run chmod 600 {path}")


def read_key(path: str) -> str:
    """
    The one key that a file holds.
    """
    return header_key(read_private(path), path)


def read_keys(config: Config) -> Config:
    """
    `config` with the keys that it keeps in files.

    A key that has changed makes another `ModelSpec`, so that a reload takes it up.

    :raises ConfigError: for the first key that cannot be read.
    """
    with _errors_of(config, "swapgate", "api_keys"):
        access = _with_client_keys(config.access)
    models = []
    for model in config.models:
        with _errors_of(config, f"model {model.name}", "api_key"):
            models.append(_with_key(model))
    return evolve(config, access=access, models=tuple(models))


@contextmanager
def _errors_of(config: Config, section: str, option: str) -> Iterator[None]:
    """
    A bad value in here becomes the error of this option.
    """
    try:
        yield
    except BadValue as error:
        raise config.error(str(error), option, section=section) from None


def _with_client_keys(access: Access) -> Access:
    """
    With the keys of its files in place of the paths.
    """
    keys = [*access.keys]
    for path in access.key_files:
        keys += file_keys(read_private(path), path)
    return evolve(access, keys=distinct(keys), key_files=())


def _with_key(model: ModelSpec) -> ModelSpec:
    service = model.service
    if not isinstance(service, RemoteSpec) or service.api_key_file is None:
        return model
    key = read_key(service.api_key_file)
    return evolve(model, service=evolve(service, api_key=key))
