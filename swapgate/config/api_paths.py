"""
The table of paths: which of them run a model, and which administrate a daemon.

What stands in neither is unknown, so that a wrong path loads nothing. The engines that
are meant are llama-server, vLLM and SGLang, and those that speak as one of them does.
"""

import re
from collections.abc import Set
from typing import Final

from swapgate.config.ini import BadValue

# What the gateway answers itself.
_OWN: Final = re.compile(r"/(?:health|v1/health|models|v1/models|swapgate(?:/.*)?)")
_EXTRA: Final = re.compile(r"(?:/[A-Za-z0-9_~:@+=-][A-Za-z0-9._~:@+=-]*)+")


def normal(path: str) -> str:
    """
    The one form of a path: without a slash at its end, and with /v1 once.

    A client that adds /v1 to an address which has it already is common.
    """
    return re.sub(r"^/v1(?=/v1(?:/|$))", "", path.removesuffix("/")) or "/"


def extra_paths(text: str) -> Set[str]:
    """
    The user's additions to what runs a model, between commas or line ends.
    """
    return frozenset(map(_extra_path, re.split(r"\s*[,\n]\s*", text.strip())))


def _extra_path(path: str) -> str:
    if not _EXTRA.fullmatch(path):
        raise BadValue(f"{path!r} is no path; write one like /v1/tomorrow")
    if normal(path) != path:
        raise BadValue(f"{path!r} is known as {normal(path)}; write that")
    if _OWN.fullmatch(path):
        raise BadValue(f"{path} is answered by the gateway itself; leave it out")
    return path
