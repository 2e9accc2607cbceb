"""
Endpoints to listen on: Twisted endpoint strings, read, and asked what they expose.

1. What is not surely private counts as public.
2. Only the shape is checked here; Twisted itself reads the string in `net`.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address

from swapgate.config.ini import BadValue
from swapgate.config.values import is_loopback

DEFAULT_LISTEN = "tcp:11430:interface=127.0.0.1"

# A colon within an argument is escaped.
_ARGUMENT = re.compile(r"(?:^|:)((?:[^:\\]|\\.)*)")
_ESCAPED = re.compile(r"\\(.)")


def listen(text: str) -> tuple[str, ...]:
    """
    `listen`: endpoint strings, one a line.
    """
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    for line in lines:
        if not re.match(r"[A-Za-z0-9]+:.", line):
            raise BadValue(f"{line!r} is no endpoint; write one like {DEFAULT_LISTEN}")
        if lines.count(line) > 1:
            raise BadValue(f"{line!r} stands here twice; keep one of the two")
    return lines


def is_public(endpoint: str) -> bool:
    """
    Whether other machines may reach this endpoint.
    """
    kind, arguments, named = _parsed(endpoint)
    if kind == "unix":
        return False
    interface = _interface(kind, arguments, named)
    return interface is None or not is_loopback(interface)


def own_port(endpoint: str) -> int | None:
    """
    The port by which loopback reaches this endpoint, if any.
    """
    kind, arguments, named = _parsed(endpoint)
    interface = _interface(kind, arguments, named) or "::"
    if kind == "unix" or not (is_loopback(interface) or _is_any(interface)):
        return None
    numbers = (text for text in arguments if text.isdecimal())
    port = named.get("port") or next(numbers, "")
    return int(port) if port.isdecimal() else None


# How many positional arguments precede the backlog, by the kind of endpoint.
_BEFORE_BACKLOG = {"tcp": 2, "tcp6": 1, "ssl": 5, "tls": 2, "unix": 2}


def with_backlog(endpoint: str, backlog: int) -> str:
    """
    The same endpoint with this backlog, where it has none of its own.

    Twisted's 50 are full when a few hundred clients connect at once: the others then
    wait a second for TCP's next try.
    """
    kind, arguments, named = _parsed(endpoint)
    plain = [argument for argument in arguments if "=" not in argument]
    if "backlog" in named or len(plain) > _BEFORE_BACKLOG.get(kind, -1):
        return endpoint
    return f"{endpoint}:backlog={backlog}"


def _parsed(endpoint: str) -> tuple[str, list[str], Mapping[str, str]]:
    found = _ARGUMENT.findall(endpoint)
    kind, *arguments = (_ESCAPED.sub(r"\1", argument) for argument in found)
    pairs = (argument.partition("=") for argument in arguments)
    named = {name: value for name, equals, value in pairs if equals}
    return kind.lower(), arguments, named


def _interface(
    kind: str, arguments: Sequence[str], named: Mapping[str, str]
) -> str | None:
    """
    The address it is bound to; None where there is none: then it is all of them.
    """
    interface = named.get("interface")
    if interface is None and kind == "tcp" and len(arguments) > 1:
        return None if "=" in arguments[1] else arguments[1]
    return interface


def _is_any(interface: str) -> bool:
    with suppress(ValueError):
        return ip_address(interface).is_unspecified
    return False
