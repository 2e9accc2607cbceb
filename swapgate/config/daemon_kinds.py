"""
Kinds of daemon: child, launchd, systemd, command, remote; one frozen spec for each.

A further kind is a spec, its case in `read_service`, and its options in `options`.
"""

import re
from typing import Literal

from attrs import evolve, field, frozen

from swapgate.config.expand import Command, Expander
from swapgate.config.ini import Section
from swapgate.config.options import default, fields, read
from swapgate.config.values import Upstream

# What a resolver takes, which is less than a name may hold.
_LABEL = r"(?!-)(?!(?!xn)..--)[A-Za-z0-9-]{1,63}(?<!-)"
_RESOLVABLE = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@frozen(kw_only=True)
class ChildSpec:
    """
    A daemon that is a child process of the gateway.

    :param env: what the option adds to the usual variables.
    """

    command: Command
    env: tuple[tuple[str, str], ...] = ()
    cwd: str


@frozen(kw_only=True)
class LaunchdSpec:
    """
    A daemon that is an agent of launchd.

    :param label: None: the plist's own.
    :param verbs: bootstrap and bootout, or the legacy load and unload.
    """

    plist: str
    label: str | None = None
    verbs: Literal["bootstrap", "load"] = default("verbs")


@frozen(kw_only=True)
class SystemdSpec:
    """
    A daemon that is a unit of systemd, the user's or the system's.
    """

    unit: str
    scope: Literal["user", "system"] = default("scope")


@frozen(kw_only=True)
class CommandSpec:
    """
    A daemon that commands start and stop: a container, a deployment, anything.

    :param status: tells whether it is up; None: its port tells.
    """

    start: Command
    stop: Command
    status: Command | None = None
    env: tuple[tuple[str, str], ...] = ()
    cwd: str


@frozen(kw_only=True)
class RemoteSpec:
    """
    A daemon that is neither started nor stopped here, on this machine or another.

    :param api_key: what it asks for.
    :param api_key_file: where the key is read, if not in the environment.
    """

    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | None = None


ServiceSpec = ChildSpec | LaunchdSpec | SystemdSpec | CommandSpec | RemoteSpec


def read_service(
    kind: str, section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    """
    How a daemon of this kind is run, where `address` is its upstream.
    """
    expander = evolve(expander, port=address.port if address else None)
    if kind == "child":
        return _child(section, address, expander)
    service: ServiceSpec
    match kind:
        case "launchd":
            service = LaunchdSpec(**fields(section, LaunchdSpec, expander, kind))
        case "systemd":
            service = SystemdSpec(**fields(section, SystemdSpec, expander, kind))
        case "command":
            found = fields(section, CommandSpec, expander, kind)
            service = CommandSpec(cwd=expander.folder, **found)
        case _:
            file, key = read(section, "api_key", expander) or (None, None)
            service = RemoteSpec(api_key_file=file, api_key=key)
    _check_upstream(section, address, "HOST" if kind == "remote" else "127.0.0.1")
    return service


def _child(section: Section, address: Upstream | None, expander: Expander) -> ChildSpec:
    if address and not (address.scheme == "http" and address.loopback):
        raise section.error(
            f"{address.url} is not where a child listens; write http://127.0.0.1:PORT",
            "upstream",
        )
    found = fields(section, ChildSpec, expander, "child")
    spec = ChildSpec(cwd=expander.folder, **found)
    if address is None and not spec.command.tells_port:
        raise section.error(
            "never says ${port}; write it where the daemon takes its port, "
            "or say with upstream which one it takes",
            "command",
        )
    return spec


def _check_upstream(section: Section, address: Upstream | None, host: str) -> None:
    """
    It is there, and Twisted can look its host up.
    """
    if address is None:
        raise section.error(f"needs upstream; write upstream = http://{host}:PORT")
    if ":" not in address.host and not _RESOLVABLE.fullmatch(address.host):
        raise section.error(
            f"{address.host!r} is no name that can be looked up; write letters, digits "
            "and hyphens between dots, or an address",
            "upstream",
        )
