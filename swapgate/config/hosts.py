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
_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]*)"
_ORIGIN = re.compile(rf"{_SCHEME}://{_HOST}{_PORT}")
_MANY_ORIGINS = re.compile(rf"{_SCHEME}://([A-Za-z0-9._-]*)\*")
# The ports that a browser leaves out of a Host or Origin.
_USUAL_PORTS = {"http": "80", "https": "443"}
# What a browser may have open, from the web, from a file or from an extension; all the
# others are those of apps, each of which serves itself by its own. One browser's
# extensions are many programs, and a web3 page is a web page.
_BROWSER_SCHEMES = re.compile(
    r"https?|wss?|ftps?|file|filesystem|blob|data|null|about|javascript|view-source"
    r"|content|intent|cid|mhtml?|jar|resource|gopher|gemini|isolated-app|web\+.*"
    r"|ip[fn]s|ens|dat|hyper|ar|(?:chrome|edge|brave|opera|vivaldi|arc|devtools)(?:-.*)?"
    r"|(?:.*-)?extension"
)
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
    `origins`: each in the form of an Origin header, or an app's with a `*` at its end.
    """
    return frozenset(map(_origin, entries(text)))


def _origin(text: str) -> str:
    right = "write one like https://chat.example.org"
    if text == "null":
        return text
    if text == "*":
        raise BadValue(f"'*' would be every page there is; {right}")
    if found := _MANY_ORIGINS.fullmatch(text):
        scheme = found[1].lower()
        if _BROWSER_SCHEMES.fullmatch(scheme):
            raise BadValue(
                f"{text!r} would be many pages of a browser; only an app's own scheme "
                "may end in *, such as vscode-webview://*"
            )
        return f"{scheme}://{found[2]}*"
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise BadValue(f"{text!r} is no origin; {right}")
    scheme, host, port = found[1].lower(), found[2], found[3]
    if scheme in _USUAL_PORTS:
        host = _canonical(host)
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
