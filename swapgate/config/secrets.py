"""
Secrets: key files, which no other user may read; the only other I/O is in `file`.

1. No message holds anything of what a file holds.
2. A file of root's is as good as one of our own: root may change those as well.
"""

import os
import stat

from attrs import evolve

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
    access, keys = config.access, [*config.access.keys]
    try:
        for path in access.key_files:
            keys += file_keys(read_private(path), path)
        access = evolve(access, keys=distinct(keys), key_files=())
    except BadValue as error:
        raise config.error(str(error), "api_keys") from None
    models = tuple(_with_key(config, model) for model in config.models)
    return evolve(config, access=access, models=models)


def _with_key(config: Config, model: ModelSpec) -> ModelSpec:
    service = model.service
    if not isinstance(service, RemoteSpec) or service.api_key_file is None:
        return model
    try:
        key = read_key(service.api_key_file)
    except BadValue as error:
        section = f"model {model.name}"
        raise config.error(str(error), "api_key", section=section) from None
    return evolve(model, service=evolve(service, api_key=key))
