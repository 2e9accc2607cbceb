"""
Whom did the user let in? The options of [swapgate] about it; an `Access` out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from ipaddress import IPv6Address, ip_address

from attrs import field, frozen

from swapgate.config.daemon_kinds import (
    key_in,
    key_place,
)
from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue, Section
from swapgate.config.values import switch

_PORT = r"(?::([1-9][0-9]{0,4}))?"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_HOST_AND_PORT = re.compile(_HOST + _PORT)
_ORIGIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://{_HOST}{_PORT}")
# The ports that a browser leaves out.
_USUAL_PORTS = {"http": "80", "https": "443"}
# Where a page gets without a name: it would be let in by listing this.
_ANYWHERE = {"0.0.0.0", "[::]"}  # noqa: S104
#: So many characters has a key at least.
KEY_LENGTH = 16
_KEY_LINE = re.compile(r"([A-Za-z0-9._-]{1,64})(?:[ \t]*:[ \t]*|[ \t]+)(\S+)")


@frozen
class Key:
    """
    A key that opens, as good as forgotten: only its digest is kept.

    :param name: what logs call it.
    """

    name: str
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, name: str, text: str) -> "Key":
        return cls(name, sha256(text.encode("latin-1")).digest())


@frozen(kw_only=True)
class Access:
    """
    Who may ask, beyond what goes without saying.

    :param hosts: further names of ours, as a Host header says them.
    :param origins: whose pages may ask and read, as an Origin header says them.
    :param key_files: where keys are that have not been read yet; until they are,
        nobody has the right one.
    :param models_need_key: whether the list of models is kept from those without.
    :param anyone: whether a public endpoint needs no keys (`open = yes`).
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    keys: tuple[Key, ...] = ()
    key_files: tuple[str, ...] = ()
    models_need_key: bool = False
    anyone: bool = False

    @property
    def keyed(self) -> bool:
        """
        Does anything need a key?
        """
        return bool(self.keys or self.key_files)


def read_access(section: Section, listen: Sequence[str], around: Expander) -> Access:
    """
    Understand the options, which have to fit what is listened on.
    """
    hosts = section.read("hosts", around.settled(_hosts), frozenset())
    origins = section.read("origins", around.settled(_origins), frozenset())
    keys, files = section.read(
        "api_keys", lambda text: _api_keys(text, around), ((), ())
    )
    public = [endpoint for endpoint in listen if is_public(endpoint)]
    anyone = section.read("open", around.settled(switch), False)
    if public and not (keys or files or anyone):
        raise section.wrong(
            f"{public[0]!r} is open to other machines; add interface=127.0.0.1 to it, "
            "or set api_keys, or write open = yes if everybody shall get in",
            "listen",
        )
    if "models_need_key" in section.options and not (keys or files):
        raise section.wrong("needs api_keys; set them", "models_need_key")
    return Access(
        hosts=hosts,
        origins=origins,
        keys=keys,
        key_files=files,
        models_need_key=section.read(
            "models_need_key", around.settled(switch), bool(public)
        ),
        anyone=anyone,
    )


def laid_open(
    in_use: Iterable[str], listen: Sequence[str], access: Access
) -> str | None:
    """
    The public endpoint in use that `access` would open to other machines.

    :param in_use: the endpoints that are open, whatever the configuration says now.
    :param listen: what `access` was written for.
    """
    if access.anyone or any(map(is_public, listen)):
        return None
    if access.keyed and access.models_need_key:
        return None
    return next(filter(is_public, in_use), None)


def _entries(text: str) -> list[str]:
    """
    What stands between commas or line ends.
    """
    return re.split(r"\s*[,\n]\s*", text)


def _hosts(text: str) -> frozenset[str]:
    """
    Names or addresses, each with a port, or without one for ours and the usual ones.
    """
    return frozenset(map(_host, _entries(text)))


def _host(text: str) -> str:
    right = "write NAME or NAME:PORT"
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None:
        raise BadValue(f"{text!r} is no host; {right}")
    host, port = _canonical(found[1]), found[2]
    if host in _ANYWHERE:
        raise BadValue(f"{text!r} is no name of anything; write one that clients use")
    return host if port in {None, *_USUAL_PORTS.values()} else f"{host}:{port}"


def _origins(text: str) -> frozenset[str]:
    """
    Origins as browsers say them.
    """
    return frozenset(map(_origin, _entries(text)))


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
        # Page Assist does it to all pages of its browser.
        raise BadValue(
            f"{text!r} proves nothing, for an extension may write it over any other; "
            "serve the page on another name or port"
        )
    return f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}"


def _canonical(host: str) -> str:
    """
    A host as browsers write it.
    """
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except ValueError:
        raise BadValue(f"{host!r} is no address; write one like [::1]") from None


def _api_keys(text: str, around: Expander) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """
    The keys that the environment holds, each by its variable's name, and the files
    that hold the others.
    """
    keys, files = [], []
    for entry in _entries(text):
        file, key = key_place(entry, around)
        if file is not None:
            files.append(file)
        else:
            assert key is not None, "it is there or in a file"
            keys.append(_key(entry[2:-1], key, entry))
    return distinct(keys), tuple(files)


def _key(name: str, text: str, place: str) -> Key:
    """
    A key of a client, which must be too long to be found by trying.
    """
    if len(text) < KEY_LENGTH:
        raise BadValue(
            f"{place} holds a key of fewer than {KEY_LENGTH} characters; "
            "make a long one with openssl rand -hex 24"
        )
    return Key.of(name, text)


def keys_in(text: str, place: str) -> tuple[Key, ...]:
    """
    The keys in a file's text, a line each; no message repeats any of it.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found, where = _KEY_LINE.fullmatch(line.strip()), f"{place}:{number}"
        if found is None:
            raise BadValue(f"{where} is no key with its name; write NAME: KEY")
        keys.append(_key(found[1], key_in(found[2], where), where))
    if not keys:
        raise BadValue(f"{place} holds no key; write NAME: KEY, a line each")
    return tuple(keys)


def distinct(keys: Iterable[Key]) -> tuple[Key, ...]:
    """
    The keys, if no name and no key is there twice: a log must tell who it was.
    """
    keys = tuple(keys)
    for n, key in enumerate(keys):
        for other in keys[:n]:
            if key.name == other.name:
                raise BadValue(f"has two keys named {key.name}; rename one of them")
            if key.digest == other.digest:
                raise BadValue(
                    f"has one key twice, as {other.name} and {key.name}; "
                    "give each its own"
                )
    return keys


# Keyword arguments are told by their =; a colon in a value is escaped.
_ARGUMENT = re.compile(r"(?:[^:\\]|\\.)*")
_ESCAPED = re.compile(r"\\(.)")


def is_public(endpoint: str) -> bool:
    """
    May others than this machine's own users reach this Twisted endpoint string?

    Whatever is not surely private is public.
    """
    kind, arguments, named = _understood(endpoint)
    if kind == "unix":
        return False
    interface = _interface(kind, arguments, named)
    return interface is None or not _is_loopback(interface)


def own_port(endpoint: str) -> int | None:
    """
    The port on which this endpoint is reached from this machine by loopback, if any.
    """
    kind, arguments, named = _understood(endpoint)
    interface = _interface(kind, arguments, named) or "::"
    if kind == "unix" or not (_is_loopback(interface) or _is_any(interface)):
        return None
    numbers = (text for text in arguments if text.isdecimal())
    port = named.get("port") or next(numbers, "")
    return int(port) if port.isdecimal() else None


# How many arguments without a name come before the backlog, by the kind of endpoint.
_BEFORE_BACKLOG = {"tcp": 2, "tcp6": 1, "ssl": 5, "tls": 2, "unix": 2}


def with_backlog(endpoint: str, backlog: int) -> str:
    """
    The same endpoint string with a queue so long, where it does not say how long.

    Twisted's 50 are full when a few hundred clients come at once; the others wait for
    a second then, until they try again.
    """
    kind, arguments, named = _understood(endpoint)
    plain = [argument for argument in arguments if "=" not in argument]
    if "backlog" in named or len(plain) > _BEFORE_BACKLOG.get(kind, -1):
        return endpoint
    return f"{endpoint}:backlog={backlog}"


def _understood(endpoint: str) -> tuple[str, list[str], Mapping[str, str]]:
    kind, *arguments = _arguments(endpoint)
    return kind.lower(), arguments, dict(_named(arguments))


def _interface(
    kind: str, arguments: Sequence[str], named: Mapping[str, str]
) -> str | None:
    """
    What it is bound to; None where that is not said, so that it is everything.
    """
    interface = named.get("interface")
    if interface is None and kind == "tcp" and len(arguments) > 1:
        return None if "=" in arguments[1] else arguments[1]
    return interface


def _is_loopback(interface: str) -> bool:
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


def _is_any(interface: str) -> bool:
    with suppress(ValueError):
        return ip_address(interface).is_unspecified
    return False


def _arguments(endpoint: str) -> list[str]:
    found, at = [], 0
    while at <= len(endpoint):
        argument = _ARGUMENT.match(endpoint, at)
        assert argument is not None, "it matches nothing, too"
        found.append(_ESCAPED.sub(r"\1", argument[0]))
        at = argument.end() + 1
    return found


def _named(arguments: Iterable[str]) -> Mapping[str, str]:
    pairs = (argument.partition("=") for argument in arguments)
    return {name: value for name, equals, value in pairs if equals}
