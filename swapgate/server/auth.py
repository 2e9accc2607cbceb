"""
Authorization: checks a request's Host, Origin, Sec-Fetch-Site and API key. Pure.

Takes a request's head; returns a `Grant`, or raises an `APIError` that says what was
wrong and what would be right.

1. The Host must be a name of this gateway, letter by letter: against DNS rebinding.
2. A page must be our own or listed under `origins`, by Sec-Fetch-Site where a browser
   sends it, else by Origin (the Fetch standard, "CORS protocol").
3. A link on any page may open the gateway's own pages, which hold nothing: by GET and
   into a window, never into a frame or a script's hands (the Fetch Metadata standard).
4. Where keys are configured, one must be sent, but for these pages, for /health and, if
   the user says so, for the list of models. Keys are compared in constant time.
5. A preflight of a listed page is answered without a key.
"""

import hmac
import re
from collections.abc import Container, Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv6Address
from typing import Final, Protocol

from attrs import field, frozen

from swapgate.config.access import Access
from swapgate.errors import APIError
from swapgate.server.address import read_address
from swapgate.server.json_grammar import quoted
from swapgate.server.target import read_model_id, read_target

Headers = tuple[tuple[str, str], ...]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


@frozen(kw_only=True)
class Listener:
    """
    Where a connection came in: our own address and port. A UNIX socket has neither.

    What follows from them is computed once for each connection, not for each request.
    """

    address: str | None
    port: int | None
    secure: bool = False
    #: The names of every gateway, and the address that was connected to. That is
    #: never 0.0.0.0, by which a page could reach us without a name.
    names: frozenset[str] = field(init=False, eq=False, repr=False)
    #: The same as values of a Host header, with the port unless it is the usual one.
    hosts: frozenset[str] = field(init=False, eq=False, repr=False)

    @names.default
    def _names(self) -> frozenset[str]:
        if self.address is None:
            return frozenset(_LOOPBACK)
        address = read_address(self.address)
        shown = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        return frozenset({*_LOOPBACK, shown})

    @hosts.default
    def _hosts(self) -> frozenset[str]:
        if self.port is None:
            return self.names
        named = frozenset(f"{name}:{self.port}" for name in self.names)
        usual = 443 if self.secure else 80
        return named | self.names if self.port == usual else named


class Head(Protocol):
    """
    What is read of a request's head; `fields` are values by name, in lower case.
    """

    method: bytes
    target: bytes
    fields: Mapping[bytes, Sequence[bytes]]


@frozen(kw_only=True)
class Grant:
    """
    The request is allowed.

    :param key_name: the name of the API key that was sent, where one was.
    :param headers: what the response must have besides, whatever it is.
    :param preflight: a CORS preflight, answered by the headers alone.
    """

    key_name: str | None = None
    headers: Headers = ()
    preflight: bool = False


_PORT: Final = re.compile(r":[0-9]*$")
_EXTENSION: Final = re.compile(
    r"(?:chrome-extension|moz-extension|safari-web-extension)://[A-Za-z0-9.-]+"
)
# An app's, which serves itself by a scheme of its own.
_APP: Final = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]+(?::[0-9]+)?")
# All other paths need a key where any is configured.
_HEALTH: Final = frozenset({"/", "/health", "/v1/health", "/api/version"})
_MODELS: Final = frozenset({"/models", "/v1/models", "/api/tags"})

_METHODS: Final = "GET, HEAD, POST"
_EXPOSED: Final = "Retry-After, X-Request-Id, X-Should-Retry"
_PREFLIGHT_AGE_S: Final = 600
_ASKED_METHOD: Final = b"access-control-request-method"
_NAME: Final = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAMES: Final = re.compile(rf"{_NAME}(?:[ \t]*,[ \t]*{_NAME})*")


def admit(
    access: Access,
    listener: Listener,
    head: Head,
    pages: Container[str] = (),
) -> Grant:
    """
    Decide by the head of a request alone, before any of its body is read.

    :param pages: the paths of the gateway's own pages and their files.
    :raises APIError: with the headers that its response must have as well.
    """
    _check_host(access, listener, head)
    origin = ", ".join(_sent(head, b"origin"))
    listed = _is_listed(access, origin)
    reads = head.method in (b"GET", b"HEAD")
    own_page = reads and _path(head.target) in pages
    if not (listed or (own_page and _opens_a_window(head))):
        _check_page(access, listener, head, origin)
    headers = _cors_headers(origin, listed, access)
    if listed and head.method == b"OPTIONS" and _ASKED_METHOD in head.fields:
        # It never has a key: whether one may be sent is part of what it asks.
        return Grant(headers=headers + _preflight_headers(head), preflight=True)
    try:
        needs_key = not (reads and (own_page or _needs_no_key(access, head.target)))
        key_name = _key_name(access, head, needs_key=needs_key)
        return Grant(key_name=key_name, headers=headers)
    except APIError as error:
        error.headers += headers
        raise


def _sent(head: Head, name: bytes) -> list[str]:
    """
    A header's values, in order; any bytes can be in them.
    """
    return [value.decode("latin-1") for value in head.fields.get(name, ())]


def _check_host(access: Access, listener: Listener, head: Head) -> None:
    """
    The Host must be a name of ours, letter by letter: no other spelling is needed, and
    each has been used to get around such a check.
    """
    hosts = _sent(head, b"host")
    if len(hosts) != 1:
        raise APIError(
            status=400,
            code="bad_host",
            message=f"there are {len(hosts)} Host headers; send one",
        )
    host = hosts[0].lower()
    if host not in listener.hosts and host not in _configured_names(access, listener):
        ours = {*listener.names, *map(_without_port, access.hosts)}
        moved = _without_port(host) in ours
        raise APIError(
            status=421 if moved else 403,
            code="misdirected_request" if moved else "host_not_allowed",
            message=f"the Host is {quoted(host)}, which "
            f"{'names another port' if moved else 'is no name of this gateway'}; "
            f"send {_usual_host(listener)}, or list the other under hosts",
        )
    if head.method == b"CONNECT" or not head.target.startswith((b"/", b"*")):
        raise APIError(
            status=421,
            code="misdirected_request",
            message="this is no proxy; send a path, such as /v1/chat/completions",
        )


def _usual_host(listener: Listener) -> str:
    return "localhost" if listener.port is None else f"127.0.0.1:{listener.port}"


def _without_port(host: str) -> str:
    return _PORT.sub("", host)


def _configured_names(access: Access, listener: Listener) -> set[str]:
    """
    The names under `hosts`: one without a port may come with ours, or with none, as a
    reverse proxy on its usual port is addressed.
    """
    bare = (name for name in access.hosts if _without_port(name) == name)
    return {*access.hosts, *(f"{name}:{listener.port}" for name in bare)}


def _check_page(access: Access, listener: Listener, head: Head, origin: str) -> None:
    """
    Refuse a page that is neither ours nor listed. Sec-Fetch-Site, which no page and no
    extension can set, goes before Origin, which some extensions do.
    """
    if sites := _sent(head, b"sec-fetch-site"):
        fine = sites in (["none"], ["same-origin"])
    else:
        fine = b"origin" not in head.fields or _is_allowed(access, listener, origin)
    if not fine:
        page = f"a page of {quoted(origin)}" if origin else "a page on another site"
        raise APIError(
            status=403,
            code="origin_not_allowed",
            message=f"{page} may not ask here; list its origin under origins, "
            "if you trust it",
        )


def _opens_a_window(head: Head) -> bool:
    """
    Whether a browser follows a link: no frame, no image, nothing that a script reads.
    """
    return (
        _sent(head, b"sec-fetch-mode") == ["navigate"]
        and _sent(head, b"sec-fetch-dest") == ["document"]
        and _sent(head, b"sec-fetch-site") in (["cross-site"], ["same-site"])
    )


def _is_listed(access: Access, origin: str) -> bool:
    if origin in access.origins:
        return True
    return _APP.fullmatch(origin) is not None and any(
        listed.endswith("*") and origin.startswith(listed[:-1])
        for listed in access.origins
    )


def _is_allowed(access: Access, listener: Listener, origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    if scheme == ("https" if listener.secure else "http") and host in listener.hosts:
        return True
    # A reverse proxy that terminates TLS may serve these names.
    if scheme in ("http", "https") and host in _configured_names(access, listener):
        return True
    return _EXTENSION.fullmatch(origin) is not None


def _cors_headers(origin: str, listed: bool, access: Access) -> Headers:
    """
    The CORS headers: with which page a browser may share the response.
    """
    if not access.origins:
        return ()
    # Also where the Origin is not listed: a listed one's response differs.
    vary = ("Vary", "Origin")
    if not listed:
        return (vary,)
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
        vary,
    )


def _preflight_headers(head: Head) -> Headers:
    """
    What a listed page may send: whatever it asks for, if that is a list of names.
    """
    headers: Headers = (
        ("Access-Control-Allow-Methods", _METHODS),
        ("Access-Control-Max-Age", str(_PREFLIGHT_AGE_S)),
    )
    wanted = ",".join(_sent(head, b"access-control-request-headers"))
    if _NAMES.fullmatch(wanted):
        headers += (("Access-Control-Allow-Headers", wanted),)
    if _sent(head, b"access-control-request-private-network") == ["true"]:
        headers += (("Access-Control-Allow-Private-Network", "true"),)
    return headers


def _key_name(access: Access, head: Head, *, needs_key: bool) -> str | None:
    """
    The name of the key that was sent; None where none is sent and none is needed.
    """
    if not access.keyed:
        return None
    sent = _sent_keys(head)
    for key in sent:
        if name := _name_of_key(access, key):
            return name
    if not needs_key:
        return None
    what = "the key is none of this gateway's" if sent else "there is no key"
    raise APIError(
        status=401,
        code="invalid_api_key",
        message=f"{what}; send one as Authorization: Bearer KEY, or as x-api-key: KEY",
        headers=(("WWW-Authenticate", "Bearer"),),
    )


def _sent_keys(head: Head) -> list[str]:
    """
    One of each kind at most: many keys cannot be tried in one request.
    """
    sent = []
    for value in _sent(head, b"authorization")[:1]:
        scheme, _, key = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            sent.append(key.strip())
    sent += [value.strip() for value in _sent(head, b"x-api-key")[:1]]
    return sent


def _name_of_key(access: Access, sent: str) -> str | None:
    """
    In constant time: digests of one length are compared, and always all of them.
    """
    digest = sha256(sent.encode("latin-1")).digest()
    name = None
    for key in access.keys:
        if hmac.compare_digest(key.digest, digest):
            name = key.name
    return name


def _needs_no_key(access: Access, target: bytes) -> bool:
    """
    By what the target is read as, in whichever form it comes.
    """
    if read_model_id(target) is not None:
        return not access.models_need_key
    path = _path(target)
    return path in _HEALTH or (path in _MODELS and not access.models_need_key)


def _path(target: bytes) -> str:
    """
    The path in its normal form; empty where it has none.
    """
    try:
        return read_target(target).path
    except APIError:
        return ""
