"""
API keys: where the configuration says they are, and the text that holds them.

1. A key itself never stands in the configuration, which is shown around.
2. No message repeats a key, nor anything that stands in its place.
3. A client's key is kept as its digest alone.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from itertools import combinations

from attrs import field, frozen

from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue
from swapgate.config.values import entries

#: A client's key has at least so many characters, so that guessing is hopeless.
KEY_LENGTH = 16
_KEY_LINE = re.compile(r"([A-Za-z0-9._-]{1,64})(?:[ \t]*:[ \t]*|[ \t]+)(\S+)")


@frozen
class Key:
    """
    A client's key.

    :param name: what logs call it.
    """

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, text: str) -> "Key":
        return cls(name, sha256(text.encode("latin-1")).digest())


def key_reference(expander: Expander, text: str) -> tuple[str | None, str | None]:
    """
    Either the path in `file:PATH`, or the key in the variable of `${NAME}`.
    """
    if text.startswith("file:"):
        path = text.removeprefix("file:").strip()
        if not path:
            raise BadValue("names no file; write file:PATH")
        return expander.path(path), None
    found = re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", text)
    if found is None:
        raise BadValue(
            "does not belong here itself; write ${NAME} for a variable of the "
            "environment, and nothing else, or file:PATH"
        )
    if found[1] not in expander.environ:
        raise BadValue(f"{text} is not set in the environment; set it")
    return None, header_key(expander.environ[found[1]], text)


def header_key(text: str, source: str) -> str:
    """
    The one key in `text`, fit for a header; messages name its `source` instead.
    """
    key = text.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise BadValue(f"{source} holds no key; it must be one word of plain ASCII")
    return key


def api_keys(expander: Expander, text: str) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """
    `api_keys`: the keys in the environment, named after their variables, and the paths
    of the files that hold the others.
    """
    keys, files = [], []
    for entry in entries(text):
        file, key = key_reference(expander, entry)
        if file is not None:
            files.append(file)
        else:
            assert key is not None, "it is there or in a file"
            keys.append(_client_key(entry[2:-1], key, entry))
    return distinct(keys), tuple(files)


def file_keys(text: str, path: str) -> tuple[Key, ...]:
    """
    The keys in the text of a file, one a line.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found, source = _KEY_LINE.fullmatch(line.strip()), f"{path}:{number}"
        if found is None:
            raise BadValue(f"{source} is no key with its name; write NAME: KEY")
        keys.append(_client_key(found[1], header_key(found[2], source), source))
    if not keys:
        raise BadValue(f"{path} holds no key; write NAME: KEY, a line each")
    return tuple(keys)


def _client_key(name: str, text: str, source: str) -> Key:
    if len(text) < KEY_LENGTH:
        raise BadValue(
            f"{source} holds a key of fewer than {KEY_LENGTH} characters; "
            "make a long one with openssl rand -hex 24"
        )
    return Key.of(name, text)


def distinct(keys: Iterable[Key]) -> tuple[Key, ...]:
    """
    The keys, if each name and each key is there once: a log must tell them apart.
    """
    keys = tuple(keys)
    for one, other in combinations(keys, 2):
        if one.name == other.name:
            raise BadValue(f"has two keys named {one.name}; rename one of them")
        if one.digest == other.digest:
            raise BadValue(
                f"has one key twice, as {one.name} and {other.name}; give each its own"
            )
    return keys
