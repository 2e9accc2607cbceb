"""
Who may ask? What a request shows of where it comes from in; a `Grant` out, or a
`APIError` that says what was wrong and what would be right.
"""

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Final

from attrs import field, frozen

from swapgate.config.access import Access
from swapgate.errors import APIError
from swapgate.server.json_grammar import quoted

Headers = tuple[tuple[str, str], ...]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


@frozen(kw_only=True)
class Listener:
    """
    Where a connection came in: our side of it. A UNIX socket has neither of the two.

    All that can be known of it is found out once, not for each request.
    """

    address: str | None
    port: int | None
    secure: bool = False
    #: What every gateway is called, and the very address that was reached. That is
    #: never 0.0.0.0, which is how a page gets here without a name.
    names: frozenset[str] = field(init=False, eq=False, repr=False)
    #: The same as a Host header says it, with the port where that must be said.
    own: frozenset[str] = field(init=False, eq=False, repr=False)

    @names.default
    def _names(self) -> frozenset[str]:
        if self.address is None:
            return frozenset(_LOOPBACK)
        address = ip_address(self.address.partition("%")[0])
        if isinstance(address, IPv6Address):
            # A socket for both kinds of addresses shows the old ones like this.
            address = address.ipv4_mapped or address
        shown = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        return frozenset({*_LOOPBACK, shown})

    @own.default
    def _own(self) -> frozenset[str]:
        if self.port is None:
            return self.names
        said = frozenset(f"{name}:{self.port}" for name in self.names)
        return said | self.names if self.port == (443 if self.secure else 80) else said


@frozen(kw_only=True)
class RequestOrigin:
    """
    What a request shows of who sent it. A header's values as they came, in order.
    """

    method: str = "GET"
    target: str = "/"
    host: Sequence[str] = ()
    origin: Sequence[str] = ()
    sec_fetch_site: Sequence[str] = ()
    authorization: Sequence[str] = ()
    x_api_key: Sequence[str] = ()
    # Of a preflight: what will follow.
    request_method: Sequence[str] = ()
    request_headers: Sequence[str] = ()
    request_private_network: Sequence[str] = ()


@frozen(kw_only=True)
class Grant:
    """
    Who asks may go on.

    :param key_name: whose key it was, where one was shown.
    :param headers: what the answer must say, whatever it is.
    :param preflight: a browser only asks whether it may; the headers say so.
    """

    key_name: str | None = None
    headers: Headers = ()
    preflight: bool = False


_PORT: Final = re.compile(r":[0-9]*$")
_EXTENSION: Final = re.compile(
    r"(?:chrome-extension|moz-extension|safari-web-extension)://[A-Za-z0-9.-]+"
)
# Everything else asks for a key where there are any.
_HEALTH: Final = frozenset({"/health", "/v1/health"})
_MODELS: Final = frozenset({"/models", "/v1/models"})

_METHODS: Final = "GET, HEAD, POST"
_EXPOSED: Final = "Retry-After, X-Request-Id, X-Should-Retry"
_PREFLIGHT_AGE_S: Final = 600
_NAME: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAMES: Final = re.compile(rf"{_NAME}(?:[ \t]*,[ \t]*{_NAME})*")


def admit(access: Access, listener: Listener, origin: RequestOrigin) -> Grant:
    """
    Decide by the head of a request alone, before any of its body is read.

    :raises Refusal: with the headers that its answer must have as well.
    """
    _check_host(access, listener, origin)
    origin_header = ", ".join(origin.origin)
    listed = origin_header in access.origins
    if not listed:
        _check_stranger(access, listener, origin, origin_header)
    headers = _shared_with(origin_header, listed, access)
    if listed and origin.method == "OPTIONS" and origin.request_method:
        # It never bears a key: that is one of the things that it asks for.
        return Grant(headers=headers + _preflight(origin), preflight=True)
    try:
        return Grant(key_name=_key_name(access, origin), headers=headers)
    except APIError as refusal:
        refusal.headers += headers
        raise


def _check_host(access: Access, listener: Listener, origin: RequestOrigin) -> None:
    """
    What it was sent to must be a name of ours, letter by letter: no other way of
    writing one is needed, and each has been somebody's trick.
    """
    if len(origin.host) != 1:
        raise APIError(
            status=400,
            code="bad_host",
            message=f"there are {len(origin.host)} Host headers; send one",
        )
    host = origin.host[0].lower()
    if host not in listener.own and host not in _listed(access, listener):
        ours = {*listener.names, *map(_without_port, access.hosts)}
        moved = _without_port(host) in ours
        raise APIError(
            status=421 if moved else 403,
            code="misdirected_request" if moved else "host_not_allowed",
            message=f"the Host is {quoted(host)}, which "
            f"{'names another port' if moved else 'is no name of this gateway'}; "
            f"send {_our_name(listener)}, or list the other under hosts",
        )
    if origin.method == "CONNECT" or not origin.target.startswith(("/", "*")):
        raise APIError(
            status=421,
            code="misdirected_request",
            message="this is no proxy; send a path, such as /v1/chat/completions",
        )


def _our_name(listener: Listener) -> str:
    return "localhost" if listener.port is None else f"127.0.0.1:{listener.port}"


def _without_port(host: str) -> str:
    return _PORT.sub("", host)


def _listed(access: Access, listener: Listener) -> set[str]:
    """
    The user's names for us: one without a port may be said with ours, or with none,
    as a proxy in front on its usual port is.
    """
    bare = (name for name in access.hosts if _without_port(name) == name)
    return {*access.hosts, *(f"{name}:{listener.port}" for name in bare)}


def _check_stranger(
    access: Access, listener: Listener, origin: RequestOrigin, origin_header: str
) -> None:
    """
    Refuse a page that is neither ours nor listed. A browser's own word, which no page
    and no extension can write, goes before an Origin, which some extensions do.
    """
    if origin.sec_fetch_site:
        fine = list(origin.sec_fetch_site) in (["none"], ["same-origin_header"])
    else:
        fine = not origin.origin or _is_innocent(access, listener, origin_header)
    if not fine:
        page = (
            f"a page of {quoted(origin_header)}"
            if origin_header
            else "a page on another site"
        )
        raise APIError(
            status=403,
            code="origin_not_allowed",
            message=f"{page} may not ask here; list its origin under origins, "
            "if you trust it",
        )


def _is_innocent(access: Access, listener: Listener, origin_header: str) -> bool:
    scheme, _, host = origin_header.partition("://")
    if scheme == ("https" if listener.secure else "http") and host in listener.own:
        return True
    # In front of these there may be a proxy that does TLS.
    if scheme in ("http", "https") and host in _listed(access, listener):
        return True
    return _EXTENSION.fullmatch(origin_header) is not None


def _shared_with(origin_header: str, listed: bool, access: Access) -> Headers:
    """
    With whom a browser may share the answer.
    """
    if not access.origins:
        return ()
    # It holds for the others, too: they would have got another answer.
    vary = ("Vary", "Origin")
    if not listed:
        return (vary,)
    return (
        ("Access-Control-Allow-Origin", origin_header),
        ("Access-Control-Expose-Headers", _EXPOSED),
        vary,
    )


def _preflight(origin: RequestOrigin) -> Headers:
    """
    What a listed page may send: whatever it wants, as far as a header can say it.
    """
    headers: Headers = (
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Max-Age", str(_PREFLIGHT_AGE_S)),
    )
    wanted = ",".join(origin.request_headers)
    if _NAMES.fullmatch(wanted):
        headers += (("Access-Control-Allow-Headers", wanted),)
    if list(origin.request_private_network) == ["true"]:
        headers += (("Access-Control-Allow-Private-Network", "true"),)
    return headers


def _key_name(access: Access, origin: RequestOrigin) -> str | None:
    """
    Whose key was shown; None where there is none and none is needed.
    """
    if not access.keyed:
        return None
    shown = _shown_keys(origin)
    for key in shown:
        if name := _name_of(access, key):
            return name
    if origin.method in ("GET", "HEAD") and _is_free(access, origin.target):
        return None
    what = "the key is none of this gateway's" if shown else "there is no key"
    raise APIError(
        status=401,
        code="invalid_api_key",
        message=f"{what}; send one as Authorization: Bearer KEY, or as x-api-key: KEY",
        headers=(("WWW-Authenticate", "Bearer"),),
    )


def _shown_keys(origin: RequestOrigin) -> list[str]:
    """
    One of each kind at most: nobody may try many in one request.
    """
    shown = []
    for value in origin.authorization[:1]:
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            shown.append(key.strip())
    shown += [value.strip() for value in origin.x_api_key[:1]]
    return shown


def _name_of(access: Access, shown: str) -> str | None:
    """
    How long it takes tells nothing: digests of one length are compared, all of them.
    """
    digest = sha256(shown.encode("latin-1")).digest()
    name = None
    for key in access.keys:
        if hmac.compare_digest(key.digest, digest):
            name = key.name
    return name


def _is_free(access: Access, target: str) -> bool:
    path = target.partition("?")[0]
    return path in _HEALTH or (path in _MODELS and not access.models_need_key)
