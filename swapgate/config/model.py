"""
One model: a section [model NAME] -> a frozen `ModelSpec`, or a `ConfigError`.

A section is read by itself: what two models may not share is checked in `loader`.
"""

import re
from collections.abc import Mapping, Set
from typing import Any

from attrs import field, frozen

from swapgate.config import daemon_kinds as kinds
from swapgate.config import values
from swapgate.config.expand import Expander
from swapgate.config.ini import BadValue, Section, nearest
from swapgate.config.options import MODEL, allow_only, default, fields, read

# The budget, and every model's share of it, where no memory_budget is given.
ONE_AT_A_TIME = 1


@frozen(kw_only=True)
class ModelSpec:
    """
    One model: its names, what it takes, how its daemon is run.

    Without an `upstream` the daemon is a child, on a free port of 127.0.0.1 that is
    chosen at each launch. None as a timeout or a count is no limit. What an option
    means is said in `options`.

    :param health: None: an open port will do.
    :param memory_bytes: what counts against the budget, see `Config.budget_bytes`.
    :param idle_unload_s: what is pinned or preloaded stays nevertheless.
    :param keepalive_s: 0 is never.
    :param notice: whose held streams are told of their wait as reasoning: those of
        browser "extensions", or of all ("reasoning"); None: in comments alone.
    :param snapshot_dir: None: a child's is in the state folder.
    """

    name: str
    aliases: tuple[str, ...] = ()
    memory_bytes: int
    service: kinds.ServiceSpec
    upstream: values.Upstream | None = None
    health: str | None = default("health")
    health_interval_s: float = default("health_interval")
    load_timeout_s: float = default("load_timeout")
    stop_timeout_s: float = default("stop_timeout")
    drain_timeout_s: float | None = default("drain_timeout")
    # The prompt may take any time to read, unless stall_timeout is written.
    first_token_timeout_s: float | None = None
    stall_timeout_s: float | None = default("stall_timeout")
    idle_unload_s: float | None = default("idle_unload")
    linger_s: float = default("linger")
    max_active: int | None = default("max_active")
    keepalive_s: float = default("keepalive")
    notice: str | None = default("notice")
    pin: bool = default("pin")
    preload: bool = default("preload")
    continuity: str = default("continuity")
    snapshot_delay_s: float = default("snapshot_delay")
    snapshot_timeout_s: float = default("snapshot_timeout")
    snapshot_dir: str | None = None
    # The gateway's alone: a change of it does not load the daemon anew.
    extra_paths: Set[str] = field(default=frozenset(), eq=False)

    @property
    def claims(self) -> frozenset[object]:
        """
        What only one daemon at a time can have: its address, its service.
        """
        address = self.upstream
        claims: set[object] = set()
        if address is not None and not isinstance(self.service, kinds.RemoteSpec):
            claims.add((address.host, address.port))
        if not isinstance(self.service, kinds.ChildSpec | kinds.RemoteSpec):
            claims.add(self.service)
        return frozenset(claims)


def model_name(section: Section) -> str:
    """
    NAME in the header [model NAME].
    """
    found = re.fullmatch(r"model(?:\s+(.*))?", section.name)
    if found is None:
        right = "there are [swapgate], [model NAME] and [route NAME]"
        if section.name == "DEFAULT":
            right = "what holds for all models stands in [swapgate]"
        near = nearest(section.name.split(" ")[0], ("swapgate", "model", "route"))
        raise section.error(f"is no section here; {near}{right}")
    try:
        return values.name(found[1] or "")
    except BadValue as bad:
        raise section.error(str(bad)) from None


def read_model(
    name: str,
    section: Section,
    budget: int | None,
    defaults: Mapping[str, Any],
    expander: Expander,
) -> ModelSpec:
    """
    The whole of one section.

    :param defaults: the fields that [swapgate] sets for every model.
    """
    kind = read(section, "service", expander)
    allow_only(section, MODEL, kind)
    memory_bytes = _memory(section, kind, budget, expander)
    own = model_fields(section, expander, MODEL, kind)
    service = kinds.read_service(kind, section, own.get("upstream"), expander)
    fixed = {"name": name, "memory_bytes": memory_bytes, "service": service}
    return ModelSpec(**{**defaults, **own, **fixed})


def model_fields(section: Section, expander: Expander, *scopes: str) -> dict[str, Any]:
    """
    The fields of a model that the options of these scopes set here.
    """
    found = fields(section, ModelSpec, expander, *scopes)
    if "stall_timeout_s" in found:
        found["first_token_timeout_s"] = found["stall_timeout_s"]
    return found


def _memory(section: Section, kind: str, budget: int | None, expander: Expander) -> int:
    """
    What the model counts against the budget.
    """
    if kind == "remote":
        if "memory" in section.options:
            raise section.error(
                "a remote daemon takes none of this machine's; leave it out", "memory"
            )
        return 0
    memory: int = read(section, "memory", expander) or budget or ONE_AT_A_TIME
    if budget is None:
        return ONE_AT_A_TIME
    if memory > budget:
        raise section.error(
            f"{values.gigabytes(memory)} is more than the memory_budget of "
            f"{values.gigabytes(budget)}; raise that, or choose a smaller model",
            "memory",
        )
    return memory
