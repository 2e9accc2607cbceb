"""
What does one [model NAME] section say?

A name in; a `ModelSpec` out, or a `ConfigError`. `services` knows what runs its daemon.
"""

import re
from collections.abc import Callable, Mapping, Set
from typing import Any

from attrs import field, frozen

from swapgate.config.api_paths import extra_paths
from swapgate.config.daemon_kinds import (
    KIND_OPTIONS,
    KINDS_SAID,
    ChildSpec,
    RemoteSpec,
    ServiceSpec,
    kind_of,
    one_of,
    read_service,
    said,
)
from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue, Section, nearest
from swapgate.config.limits import LIMITS
from swapgate.config.values import (
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

# The budget, and every model's share of it, where no memory_budget is given.
ONE_AT_A_TIME = 1


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
    :param extra_paths: what it is asked for by, beyond what `routes` knows.
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
    # The gateway's affair alone: its daemon need not be loaded anew for it.
    extra_paths: Set[str] = field(default=frozenset(), eq=False)

    @property
    def claims(self) -> frozenset[object]:
        """
        What only one daemon at a time can have: its address, its service.
        """
        address = self.upstream
        claims: set[object] = set()
        if address is not None and not isinstance(self.service, RemoteSpec):
            claims.add((address.host, address.port))
        if not isinstance(self.service, ChildSpec | RemoteSpec):
            claims.add(self.service)
        return frozenset(claims)


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
    around: Expander,
) -> ModelSpec:
    """
    The whole of one section, which stands alone: others are not looked at.

    :param for_all: the fields that [swapgate] sets for every model.
    """
    kind = section.need("service", kind_of, f"service = {KINDS_SAID}")
    section.allow_only(
        {*MODEL_OPTIONS, *KIND_OPTIONS[kind], *TIMINGS},
        dict.fromkeys(GENERAL_OPTIONS, "[swapgate]")
        | {
            option: "service = "
            + said(k for k, known in KIND_OPTIONS.items() if option in known)
            for options in KIND_OPTIONS.values()
            for option in options
        },
    )
    address = section.read("upstream", around.settled(upstream), None)
    return ModelSpec(
        name=name,
        aliases=section.read("aliases", _aliases, ()),
        memory_bytes=_memory(section, kind, budget, around),
        service=read_service(kind, section, address, around),
        upstream=address,
        health=section.read("health", around.settled(_health), "/health"),
        pin=section.read("pin", around.settled(switch), False),
        preload=section.read("preload", around.settled(switch), False),
        **{**for_all, **fields(section, TIMINGS, around)},
    )


def _memory(section: Section, kind: str, budget: int | None, around: Expander) -> int:
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


def _notice(text: str) -> str | None:
    """
    Where a held stream is told of its wait, or None for the word "none".
    """
    word = one_of("reasoning", "none")(text)
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
    "extra_paths": (extra_paths, ("extra_paths",)),
}


def fields(section: Section, table: Fields, around: Expander) -> dict[str, Any]:
    """
    The fields that this section sets; the others keep their defaults.
    """
    found: dict[str, Any] = {}
    for option, (reading, names) in table.items():
        if option in section.options:
            value = section.read(option, around.settled(reading), None)
            found |= dict.fromkeys(names, value)
    return found
