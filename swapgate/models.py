"""
What does one [model NAME] section say?

A name in; a `ModelSpec` out, or a `ConfigError`. A further kind of daemon comes in
here: its spec, its reader, its options.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import field, frozen

from swapgate.ini import BadValue, Section, nearest
from swapgate.limits import LIMITS
from swapgate.values import (
    Upstream,
    count_or_none,
    duration,
    duration_or_none,
    duration_or_zero,
    gigabytes,
    interval,
    size,
    switch,
    upstream,
)
from swapgate.words import Command, Surroundings

# What a resolver takes; a name may hold more than that.
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_RESOLVABLE = re.compile(rf"{_LABEL}(\.{_LABEL})*")
# The budget, and every model's share of it, where no memory_budget is given.
ONE_AT_A_TIME = 1


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


@frozen(kw_only=True)
class ModelSpec:
    """
    One model: what clients call it, what it costs, how its daemon is run.

    Without an `upstream` the daemon is a child, on a free port of 127.0.0.1 that is
    chosen at each launch. None as a timeout is no limit.

    :param health: what is asked until it answers 200; None: an open port will do.
    :param memory_bytes: what counts against the budget, see `Config.budget_bytes`.
    :param idle_unload_s: a model unused for so long is unloaded; None is never. Those
        that are pinned or preloaded stay.
    :param linger_s: it stays for so long after an answer, whoever waits.
    :param max_active: so many requests at a time; more wait. None is no limit.
    :param keepalive_s: how often a held stream is told of its wait; 0 is never.
    :param notice: "reasoning" tells it where chat clients show it; None in comments.
    :param pin: it is never evicted.
    :param preload: it is loaded without being asked for, whenever there is room.
    """

    name: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int
    service: ServiceSpec
    upstream: Upstream | None = None
    health: str | None = "/health"
    health_interval_s: float = 0.2
    load_timeout_s: float = 180.0
    stop_timeout_s: float = 10.0
    drain_timeout_s: float | None = None
    first_token_timeout_s: float | None = None
    stall_timeout_s: float | None = 300.0
    idle_unload_s: float | None = None
    linger_s: float = 0.5
    max_active: int | None = None
    keepalive_s: float = 5.0
    notice: str | None = None
    pin: bool = False
    preload: bool = False


def model_name(section: Section) -> str:
    """
    NAME, of a section that is [model NAME].
    """
    found = re.fullmatch(r"model(?:\s+(.*))?", section.name)
    if found is None:
        right = "there are [swapgate] and [model NAME]"
        if section.name == "DEFAULT":
            right = "what holds for all models stands in [swapgate]"
        near = nearest(section.name.split(" ")[0], ("swapgate", "model"))
        raise section.wrong(f"is no section here; {near}{right}")
    try:
        return _name(found[1] or "")
    except BadValue as error:
        raise section.wrong(str(error)) from None


def _name(text: str) -> str:
    """
    What clients may send as `model`: compared as it is sent, so all of it must show.
    """
    name = text.strip()
    if not name:
        raise BadValue("has an empty name; write what clients send as model")
    if not name.isprintable():
        raise BadValue(f"{name!r} has characters that do not show; take them out")
    return name


def _aliases(text: str) -> tuple[str, ...]:
    """
    Names between commas or line ends.
    """
    return tuple(_name(name) for name in re.split(r"\s*[,\n]\s*", text))


def read_model(
    name: str,
    section: Section,
    budget: int | None,
    for_all: Mapping[str, Any],
    around: Surroundings,
) -> ModelSpec:
    """
    The whole of one section, which stands alone: others are not looked at.

    :param for_all: the fields that [swapgate] sets for every model.
    """
    kind = section.need("service", _kind, f"service = {_KINDS_SAID}")
    section.allow_only(
        {*MODEL_OPTIONS, *KIND_OPTIONS[kind], *TIMINGS},
        dict.fromkeys(GENERAL_OPTIONS, "[swapgate]")
        | {
            option: "service = "
            + _said(k for k, known in KIND_OPTIONS.items() if option in known)
            for options in KIND_OPTIONS.values()
            for option in options
        },
    )
    address = section.read("upstream", around.settled(upstream), None)
    return ModelSpec(
        name=name,
        aliases=section.read("aliases", _aliases, ()),
        memory_bytes=_memory(section, kind, budget, around),
        service=_KINDS[kind](section, address, around),
        upstream=address,
        health=section.read("health", around.settled(_health), "/health"),
        pin=section.read("pin", around.settled(switch), False),
        preload=section.read("preload", around.settled(switch), False),
        **{**for_all, **fields(section, TIMINGS, around)},
    )


def _memory(
    section: Section, kind: str, budget: int | None, around: Surroundings
) -> int:
    """
    What counts against the budget.
    """
    if kind == "remote":
        if "memory" in section.options:
            raise section.wrong(
                "a remote daemon takes none of this machine's; leave it out", "memory"
            )
        return 0
    memory = section.read("memory", around.settled(size), budget or ONE_AT_A_TIME)
    if budget is None:
        return ONE_AT_A_TIME
    if memory > budget:
        raise section.wrong(
            f"{gigabytes(memory)} is more than the memory_budget of "
            f"{gigabytes(budget)}; raise that, or choose a smaller model",
            "memory",
        )
    return memory


def _kind(text: str) -> str:
    """
    What runs the daemon.
    """
    if text in _KINDS:
        return text
    raise BadValue(f"{text!r} is unknown; {nearest(text, _KINDS)}write {_KINDS_SAID}")


def _child(
    section: Section, address: Upstream | None, around: Surroundings
) -> ServiceSpec:
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
    section: Section, address: Upstream | None, around: Surroundings
) -> ServiceSpec:
    plist = section.need("plist", around.path, "plist = PATH")
    _need_upstream(section, address)
    label = section.read("label", around.settled(_service_name), None)
    verbs: Any = section.read("verbs", _one_of("bootstrap", "load"), "bootstrap")
    return LaunchdSpec(plist=plist, label=label, verbs=verbs)


def _systemd(
    section: Section, address: Upstream | None, around: Surroundings
) -> ServiceSpec:
    unit = section.need("unit", around.settled(_service_name), "unit = NAME.service")
    _need_upstream(section, address)
    scope: Any = section.read("scope", _one_of("user", "system"), "user")
    return SystemdSpec(unit=unit, scope=scope)


def _command(
    section: Section, address: Upstream | None, around: Surroundings
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
    section: Section, address: Upstream | None, around: Surroundings
) -> ServiceSpec:
    if address is None:
        raise section.wrong("needs upstream; write upstream = http://HOST:PORT")
    if ":" not in address.host and not _RESOLVABLE.fullmatch(address.host):
        raise section.wrong(
            f"{address.host!r} is no name that can be looked up; write letters, digits "
            "and hyphens between dots, or an address",
            "upstream",
        )
    file, key = section.read(
        "api_key", lambda text: key_place(text, around), (None, None)
    )
    return RemoteSpec(api_key_file=file, api_key=key)


def key_place(text: str, around: Surroundings) -> tuple[str | None, str | None]:
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
    return address


def _service_name(text: str) -> str:
    """
    What a service manager calls it: one word, and never an option of its tool.
    """
    if text.startswith("-") or not re.fullmatch(r"[!-~]+", text):
        raise BadValue(f"{text!r} is no service's name; write one word")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def reading(text: str) -> str:
        if text not in words:
            raise BadValue(f"{text!r} is unknown; write {' or '.join(words)}")
        return text

    return reading


def _notice(text: str) -> str | None:
    """
    Where a held stream is told of its wait, or None for the word "none".
    """
    word = _one_of("reasoning", "none")(text)
    return None if word == "none" else word


def _health(text: str) -> str | None:
    """
    The path that is asked, or None for the word "none".
    """
    if text == "none":
        return None
    if not re.fullmatch(r"/[!-~]*", text) or "#" in text:
        raise BadValue(f"{text!r} is no path; write one like /health, or none")
    return text


# A further kind of daemon is a reader here and its own options below.
_KINDS: Mapping[
    str, Callable[[Section, Upstream | None, Surroundings], ServiceSpec]
] = {
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


def _said(kinds: Iterable[str]) -> str:
    """
    As a message lists them: a, b or c.
    """
    *others, last = kinds
    return f"{', '.join(others)} or {last}" if others else last


_KINDS_SAID = _said(_KINDS)

GENERAL_OPTIONS = {
    "api_keys",
    "fair_wait",
    "hosts",
    "listen",
    "logformat",
    "max_held",
    "memory_budget",
    "models_need_key",
    "open",
    "origins",
    "shutdown_timeout",
    "state_dir",
    *LIMITS,
}
MODEL_OPTIONS = {"aliases", "memory", "pin", "preload", "service", "upstream"}

# Option -> how it is read, once substituted, and the fields that it sets.
Fields = Mapping[str, tuple[Callable[[str], object], tuple[str, ...]]]
# These stand in [swapgate] for all models or in [model NAME] for one.
TIMINGS: Fields = {
    "health_interval": (interval, ("health_interval_s",)),
    "load_timeout": (duration, ("load_timeout_s",)),
    "stop_timeout": (duration, ("stop_timeout_s",)),
    "drain_timeout": (duration_or_none, ("drain_timeout_s",)),
    "idle_unload": (duration_or_none, ("idle_unload_s",)),
    "stall_timeout": (
        duration_or_none,
        ("first_token_timeout_s", "stall_timeout_s"),
    ),
    "linger": (duration_or_zero, ("linger_s",)),
    "keepalive": (duration_or_zero, ("keepalive_s",)),
    "max_active": (count_or_none, ("max_active",)),
    "notice": (_notice, ("notice",)),
}


def fields(section: Section, table: Fields, around: Surroundings) -> dict[str, Any]:
    """
    The fields that this section sets; the others keep their defaults.
    """
    found: dict[str, Any] = {}
    for option, (reading, names) in table.items():
        if option in section.options:
            value = section.read(option, around.settled(reading), None)
            found |= dict.fromkeys(names, value)
    return found
