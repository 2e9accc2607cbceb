"""
Host names and web origins that the user lists: read in the form that browsers send.
"""

import re
from ipaddress import IPv6Address

from swapgate.config.ini import BadValue
from swapgate.config.values import entries

_PORT = r"(?::([1-9][0-9]{0,4}))?"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_HOST_AND_PORT = re.compile(_HOST + _PORT)
_ORIGIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://{_HOST}{_PORT}")
# The ports that a browser leaves out of a Host or Origin.
_USUAL_PORTS = {"http": "80", "https": "443"}
# A page reaches this machine at these addresses, too: listing one would let it in.
_ANYWHERE = {"0.0.0.0", "[::]"}  # noqa: S104


def hosts(text: str) -> frozenset[str]:
    """
    `hosts`: names or addresses; without a port, the gateway's and the usual ones.
    """
    return frozenset(map(_host, entries(text)))


def _host(text: str) -> str:
    right = "write NAME or NAME:PORT"
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise BadValue(f"{text!r} is no host; {right}")
    host, port = _canonical(found[1]), found[2]
    if host in _ANYWHERE:
        raise BadValue(f"{text!r} is no name of anything; write one that clients use")
    return host if port in {None, *_USUAL_PORTS.values()} else f"{host}:{port}"


def origins(text: str) -> frozenset[str]:
    """
    `origins`: each in the form of an Origin header.
    """
    return frozenset(map(_origin, entries(text)))


def _origin(text: str) -> str:
    right = "write one like https://chat.example.org"
    if text == "null":
        return text
    if text == "*":
        raise BadValue(f"'*' would be every page there is; {right}")
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise BadValue(f"{text!r} is no origin; {right}")
    scheme, host, port = found[1].lower(), _canonical(found[2]), found[3]
    if port == _USUAL_PORTS.get(scheme):
        port = None
    if (scheme, host, port) == ("http", "127.0.0.1", None):
        # Page Assist writes this Origin into the requests of every page.
        raise BadValue(
            f"{text!r} proves nothing, for an extension may write it over any other; "
            "serve the page on another name or port"
        )
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def _canonical(host: str) -> str:
    """
    A host in the form of a Host header.
    """
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        raise BadValue(f"{host!r} is no address; write one like [::1]") from None
