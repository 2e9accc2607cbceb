"""
URL paths: the normal form of a request's path, and the paths that an option may list.
"""

import re
from collections.abc import Set
from typing import Final

from swapgate.config.ini import BadValue
from swapgate.config.values import entries

# What the gateway answers itself.
_OWN: Final = re.compile(
    r"/(?:health|v1/health|models|v1/models|status|(?:pages|swapgate)(?:/.*)?)"
)
_EXTRA: Final = re.compile(r"(?:/[A-Za-z0-9_~:@+=-][A-Za-z0-9._~:@+=-]*)+")


def normal(path: str) -> str:
    """
    The one form of a path: without a slash at its end, and with /v1 once.

    A client that adds /v1 to an address which has it already is common.
    """
    return re.sub(r"^/v1(?=/v1(?:/|$))", "", path.removesuffix("/")) or "/"


def extra_paths(text: str) -> Set[str]:
    """
    `extra_paths`: further paths that run a model.
    """
    return frozenset(map(_extra_path, entries(text)))


def health_path(text: str) -> str | None:
    """
    `health`: the path to poll, or None for the word "none".
    """
    if text == "none":
        return None
    if not re.fullmatch(r"/[!-~]*", text) or "#" in text:
        raise BadValue(f"{text!r} is no path; write one like /health, or none")
    return text


def _extra_path(path: str) -> str:
    if not _EXTRA.fullmatch(path):
        raise BadValue(f"{path!r} is no path; write one like /v1/tomorrow")
    if normal(path) != path:
        raise BadValue(f"{path!r} is known as {normal(path)}; write that")
    if _OWN.fullmatch(path):
        raise BadValue(f"{path} is answered by the gateway itself; leave it out")
    return path
