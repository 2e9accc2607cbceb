"""
What runs a model's daemon? One reader for each kind of it.

A further kind of daemon comes in here: its reader, and its own options.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from swapgate.config.expand import Command, Expander
from swapgate.config.ini import BadValue, Section, nearest
from swapgate.config.values import Upstream

# What a resolver takes; a name may hold more than that.
_LABEL = r"(?!-)(?!(?!xn)..--)[A-Za-z0-9-]{1,63}(?<!-)"
_RESOLVABLE = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@frozen(kw_only=True)
class ChildSpec:
    """
    A daemon that is a process of ours: `env` is what `env =` adds, resolved.
    """

    command: Command
    env: tuple[tuple[str, str], ...] = ()
    cwd: str


@frozen(kw_only=True)
class LaunchdSpec:
    """
    A daemon that is an agent of macOS.

    :param label: None: the plist's own.
    :param verbs: bootstrap and bootout, or the legacy load and unload.
    """

    plist: str
    label: str | None = None
    verbs: Literal["bootstrap", "load"] = "bootstrap"


@frozen(kw_only=True)
class SystemdSpec:
    """
    A daemon that is a unit of systemd, of this user's or the system's own.
    """

    unit: str
    scope: Literal["user", "system"] = "user"


@frozen(kw_only=True)
class CommandSpec:
    """
    A daemon that commands start and stop: a container, a deployment, anything.

    :param status: tells whether it is up; None: its port does.
    """

    start: Command
    stop: Command
    status: Command | None = None
    env: tuple[tuple[str, str], ...] = ()
    cwd: str


@frozen(kw_only=True)
class RemoteSpec:
    """
    A daemon that others run, on this machine or another.

    :param api_key: what it asks for.
    :param api_key_file: where that is read, if not in the environment.
    """

    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | None = None


ServiceSpec = ChildSpec | LaunchdSpec | SystemdSpec | CommandSpec | RemoteSpec


def _child(section: Section, address: Upstream | None, around: Expander) -> ServiceSpec:
    if address and not (address.scheme == "http" and address.loopback):
        raise section.wrong(
            f"{address.url} is not where a child listens; write http://127.0.0.1:PORT",
            "upstream",
        )
    command = section.need(
        "command",
        lambda text: around.command(text, None if address is None else address.port),
        "command = llama-server --port ${port} ...",
    )
    if address is None and not command.tells_port:
        raise section.wrong(
            "never says ${port}; write it where the daemon takes its port, "
            "or say with upstream which one it takes",
            "command",
        )
    env = section.read("env", around.variables, ())
    return ChildSpec(command=command, env=env, cwd=around.folder)


def _launchd(
    section: Section, address: Upstream | None, around: Expander
) -> ServiceSpec:
    plist = section.need("plist", around.path, "plist = PATH")
    _need_upstream(section, address)
    label = section.read("label", around.settled(_service_name), None)
    verbs: Any = section.read("verbs", one_of("bootstrap", "load"), "bootstrap")
    return LaunchdSpec(plist=plist, label=label, verbs=verbs)


def _systemd(
    section: Section, address: Upstream | None, around: Expander
) -> ServiceSpec:
    unit = section.need("unit", around.settled(_service_name), "unit = NAME.service")
    _need_upstream(section, address)
    scope: Any = section.read("scope", one_of("user", "system"), "user")
    return SystemdSpec(unit=unit, scope=scope)


def _command(
    section: Section, address: Upstream | None, around: Expander
) -> ServiceSpec:
    port = _need_upstream(section, address).port

    def words(text: str) -> Command:
        return around.command(text, port)

    return CommandSpec(
        start=section.need("start", words, "start = docker start NAME"),
        stop=section.need("stop", words, "stop = docker stop NAME"),
        status=section.read("status", words, None),
        env=section.read("env", around.variables, ()),
        cwd=around.folder,
    )


def _remote(
    section: Section, address: Upstream | None, around: Expander
) -> ServiceSpec:
    if address is None:
        raise section.wrong("needs upstream; write upstream = http://HOST:PORT")
    _check_host(section, address)
    file, key = section.read(
        "api_key", lambda text: key_place(text, around), (None, None)
    )
    return RemoteSpec(api_key_file=file, api_key=key)


def key_place(text: str, around: Expander) -> tuple[str | None, str | None]:
    """
    The file that holds a key, or the key that the environment does. The key itself has
    no place in a file that is shown around, so that whatever stands here instead is not
    repeated.
    """
    if text.startswith("file:"):
        path = text.removeprefix("file:").strip()
        if not path:
            raise BadValue("names no file; write file:PATH")
        return around.path(path), None
    found = re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", text)
    if found is None:
        raise BadValue(
            "does not belong here itself; write ${NAME} for a variable of the "
            "environment, and nothing else, or file:PATH"
        )
    if found[1] not in around.environ:
        raise BadValue(f"{text} is not set in the environment; set it")
    return None, key_in(around.environ[found[1]], text)


def key_in(text: str, place: str) -> str:
    """
    The key in a text that was found at `place`, fit for a header; never repeated.
    """
    key = text.strip()
    if not re.fullmatch(r"[!-~]+", key):
        raise BadValue(f"{place} holds no key; it must be one word of plain ASCII")
    return key


def _need_upstream(section: Section, address: Upstream | None) -> Upstream:
    if address is None:
        raise section.wrong("needs upstream; write upstream = http://127.0.0.1:PORT")
    _check_host(section, address)
    return address


def _check_host(section: Section, address: Upstream) -> None:
    if ":" not in address.host and not _RESOLVABLE.fullmatch(address.host):
        raise section.wrong(
            f"{address.host!r} is no name that can be looked up; write letters, digits "
            "and hyphens between dots, or an address",
            "upstream",
        )


def _service_name(text: str) -> str:
    """
    What a service manager calls it: one word, and never an option of its tool.
    """
    if text.startswith("-") or not re.fullmatch(r"[!-~]+", text):
        raise BadValue(f"{text!r} is no service's name; write one word")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    def reading(text: str) -> str:
        if text not in words:
            raise BadValue(f"{text!r} is unknown; write {' or '.join(words)}")
        return text

    return reading


# A further kind of daemon is a reader here and its own options below.
_KINDS: Mapping[str, Callable[[Section, Upstream | None, Expander], ServiceSpec]] = {
    "child": _child,
    "launchd": _launchd,
    "systemd": _systemd,
    "command": _command,
    "remote": _remote,
}
KIND_OPTIONS = {
    "child": {"command", "env"},
    "launchd": {"plist", "label", "verbs", "health"},
    "systemd": {"unit", "scope", "health"},
    "command": {"start", "stop", "status", "env", "health"},
    "remote": {"api_key", "health"},
}


def said(kinds: Iterable[str]) -> str:
    """
    As a message lists them: a, b or c.
    """
    *others, last = kinds
    return f"{', '.join(others)} or {last}" if others else last


KINDS_SAID = said(_KINDS)


def kind_of(text: str) -> str:
    """
    What runs the daemon.
    """
    if text in _KINDS:
        return text
    raise BadValue(f"{text!r} is unknown; {nearest(text, _KINDS)}write {KINDS_SAID}")


def read_service(
    kind: str, section: Section, address: Upstream | None, around: Expander
) -> ServiceSpec:
    """
    How a daemon of this kind is run.
    """
    return _KINDS[kind](section, address, around)
