"""
Kinds of daemon: child, launchd, systemd, command, remote; one frozen spec for each.

A further kind is a spec, its reader below, and the rows of its options in `options`.
"""

import re
from collections.abc import Callable, Mapping
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


def _child(
    section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    if address and not (address.scheme == "http" and address.loopback):
        raise section.error(
            f"{address.url} is not where a child listens; write http://127.0.0.1:PORT",
            "upstream",
        )
    spec = ChildSpec(
        cwd=expander.folder, **fields(section, ChildSpec, expander, "child")
    )
    if address is None and not spec.command.tells_port:
        raise section.error(
            "never says ${port}; write it where the daemon takes its port, "
            "or say with upstream which one it takes",
            "command",
        )
    return spec


def _launchd(
    section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    spec = LaunchdSpec(**fields(section, LaunchdSpec, expander, "launchd"))
    _check_upstream(section, address)
    return spec


def _systemd(
    section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    spec = SystemdSpec(**fields(section, SystemdSpec, expander, "systemd"))
    _check_upstream(section, address)
    return spec


def _command(
    section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    _check_upstream(section, address)
    return CommandSpec(
        cwd=expander.folder, **fields(section, CommandSpec, expander, "command")
    )


def _remote(
    section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    _check_upstream(section, address, "HOST")
    file, key = read(section, "api_key", expander) or (None, None)
    return RemoteSpec(api_key_file=file, api_key=key)


def _check_upstream(
    section: Section, address: Upstream | None, host: str = "127.0.0.1"
) -> None:
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


_KINDS: Mapping[str, Callable[[Section, Upstream | None, Expander], ServiceSpec]] = {
    "child": _child,
    "launchd": _launchd,
    "systemd": _systemd,
    "command": _command,
    "remote": _remote,
}


def read_service(
    kind: str, section: Section, address: Upstream | None, expander: Expander
) -> ServiceSpec:
    """
    How a daemon of this kind is run, where `address` is its upstream.
    """
    port = None if address is None else address.port
    return _KINDS[kind](section, address, evolve(expander, port=port))
