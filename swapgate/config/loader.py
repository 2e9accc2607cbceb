"""
Loader: the text of a configuration -> a frozen `Config`, or a `ConfigError`.

1. The whole text is understood before anything is started, or the first mistake is
   told with its place and its remedy.
2. What one section alone cannot show is checked here: names, ports, pins, budget.
"""

from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from attrs import field, frozen

from swapgate.config.access import Access, read_access
from swapgate.config.daemon_kinds import RemoteSpec
from swapgate.config.endpoints import own_port
from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, Section, read_sections
from swapgate.config.limits import Limits
from swapgate.config.model import (
    ONE_AT_A_TIME,
    ModelSpec,
    model_fields,
    model_name,
    read_model,
)
from swapgate.config.model_routes import AUTO, Routing, is_route, read_routing
from swapgate.config.options import GENERAL, allow_only, default, fields, read
from swapgate.config.values import gigabytes


@frozen(kw_only=True)
class Config:
    """
    A configuration that holds together.

    A model without `memory` takes the whole budget. Without a `memory_budget` one
    model is up at a time, whatever `memory` says: the budget is 1, and so is each
    model's share of it.
    """

    path: str
    listen: tuple[str, ...] = default("listen")
    access: Access = Access()
    budget_bytes: int
    models: tuple[ModelSpec, ...]
    routing: Routing = Routing()
    shutdown_timeout_s: float = default("shutdown_timeout")
    fair_wait_s: float = default("fair_wait")
    max_held: int = default("max_held")
    state_dir: str
    snapshot_max_bytes: int = default("snapshot_max")
    logformat: str = default("logformat")
    limits: Limits = Limits()
    #: Name or alias -> model, in the order of /v1/models: all names, then all aliases.
    names: Mapping[str, str] = field(init=False, eq=False, repr=False)

    @names.default
    def _names(self) -> Mapping[str, str]:
        return MappingProxyType(_names_of(self.models))

    def error(
        self, problem: str, option: str, *, section: str = "swapgate"
    ) -> ConfigError:
        """
        The error of an option whose mistake shows once its text is read.
        """
        return ConfigError(problem, path=self.path, section=section, option=option)

    def never_fits(
        self, name: str, pinned_now: Container[str] | None = None
    ) -> str | None:
        """
        The sum that shows why a model can never be up; None where it can.

        What is pinned stays, so that what is not must fit beside all of it.

        :param pinned_now: the models that are; None: those that have `pin`.
        """
        [model] = [each for each in self.models if each.name == name]
        pinned = [
            each
            for each in self.models
            if (each.pin if pinned_now is None else each.name in pinned_now)
            and each is not model
        ]
        kept = sum(each.memory_bytes for each in pinned)
        if model.memory_bytes + kept <= self.budget_bytes:
            return None
        names = ", ".join(each.name for each in pinned)
        if self.budget_bytes == ONE_AT_A_TIME:
            return f"one model is up at a time, and {names} is pinned"
        are = "is pinned, keeps" if len(pinned) == 1 else "are pinned, keep"
        return (
            f"{name} needs {gigabytes(model.memory_bytes)}, and {names}, which {are} "
            f"{gigabytes(kept)} of the memory_budget of {gigabytes(self.budget_bytes)}"
        )


def candidates(environ: Mapping[str, str], platform: str) -> tuple[str, ...]:
    """
    The paths at which a configuration is looked for, best first.
    """
    own = _own_folder(environ, platform, "XDG_CONFIG_HOME", ".config")
    users = own and f"{own}/swapgate.cfg"
    places = (environ.get("SWAPGATE_CONFIG"), users, "/etc/swapgate.cfg")
    return tuple(filter(None, places))


def read_config(
    text: str, *, path: str, environ: Mapping[str, str], python: str, platform: str
) -> Config:
    """
    Understand `text` wholly, or raise `ConfigError` at the first mistake.

    :param path: the file's, absolute: ${dir} must mean the same in every folder.
    :param python: the interpreter that ${python} stands for.
    :param platform: as `sys.platform` calls it.
    """
    if not PurePosixPath(path).is_absolute():
        raise ValueError(f"read_config needs an absolute path, not {path!r}")
    expander = Expander(
        folder=str(PurePosixPath(path).parent), python=python, environ=environ
    )
    general = Section(path=path, name="swapgate")
    model_sections: list[tuple[str, Section]] = []
    routes: list[Section] = []
    for section in read_sections(text, path):
        if section.name == "swapgate":
            general = section
        elif is_route(section):
            routes.append(section)
        else:
            model_sections.append((model_name(section), section))
    if not model_sections:
        raise ConfigError("has no model; add a section [model NAME]", path=path)

    allow_only(general, GENERAL)
    budget = read(general, "memory_budget", expander)
    model_defaults = model_fields(general, expander, GENERAL)
    models = [
        (read_model(name, section, budget, model_defaults, expander), section)
        for name, section in model_sections
    ]
    _check_names(models, reserved={AUTO} if routes else ())
    found = fields(general, Config, expander, GENERAL)
    listen = found.setdefault("listen", default("listen"))
    _check_ports(models, set(map(own_port, listen)))
    _check_snapshot_folders(models)
    usual_state_dir = _own_folder(environ, platform, "XDG_STATE_HOME", ".local/state")
    if found.setdefault("state_dir", usual_state_dir) is None:
        raise general.error("needs state_dir, as HOME is not set; write its path")
    config = Config(
        path=path,
        access=read_access(general, listen, expander),
        budget_bytes=ONE_AT_A_TIME if budget is None else budget,
        models=tuple(model for model, _ in models),
        routing=read_routing(
            general, routes, _names_of(model for model, _ in models), expander
        ),
        limits=_limits(general, expander),
        **found,
    )
    pinned = [model.name for model in config.models if model.pin]
    if any(map(config.never_fits, pinned)):
        raise general.error(
            f"cannot hold all that is pinned: {', '.join(pinned)}; "
            "raise memory_budget, or pin fewer"
        )
    return config


def _limits(general: Section, expander: Expander) -> Limits:
    """
    The limits on clients; the largest body has room.
    """
    limits = Limits(**fields(general, Limits, expander, GENERAL))
    if limits.max_bodies_bytes < limits.max_body_bytes:
        raise general.error(
            "is less than max_body; raise it, or lower that", "max_bodies"
        )
    return limits


def _own_folder(
    environ: Mapping[str, str], platform: str, variable: str, usual: str
) -> str | None:
    """
    This user's folder for swapgate, or None for a user without a home.
    """
    home, given = environ.get("HOME"), environ.get(variable, "")
    if platform == "darwin":
        given, usual = "", "Library/Application Support"
    # The XDG specification has relative paths ignored.
    if given.startswith("/"):
        return f"{given}/swapgate"
    return f"{home}/{usual}/swapgate" if home else None


def _names_of(models: Iterable[ModelSpec]) -> dict[str, str]:
    """
    The name of the model for every name, then for every alias.
    """
    models = tuple(models)
    names = {model.name: model.name for model in models}
    return names | {alias: m.name for m in models for alias in m.aliases}


def _check_names(
    models: list[tuple[ModelSpec, Section]], reserved: Container[str]
) -> None:
    """
    No name and no alias may mean two things.

    :param reserved: what clients send to have a route choose.
    """
    taken: dict[str, str] = {}
    free = "is what clients send to have a [route NAME] choose; give the model another"
    for model, section in models:
        if model.name in reserved:
            raise section.error(f"{model.name!r} {free} name")
        for alias in model.aliases:
            if alias in reserved:
                raise section.error(f"{alias!r} {free} alias", "aliases")
        if model.name in taken:
            raise section.error(
                f"is the second model {model.name!r}; give it a name of its own"
            )
        taken[model.name] = f"the name of [{section.name}]"
    for model, section in models:
        for alias in model.aliases:
            if alias in taken:
                raise section.error(
                    f"{alias!r} is already {taken[alias]}; leave out one of the two",
                    "aliases",
                )
            taken[alias] = f"an alias of [{section.name}]"


def _check_ports(
    models: list[tuple[ModelSpec, Section]], own: Container[int | None]
) -> None:
    """
    Two daemons on one port would answer for each other; a remote one may have many
    models. On the gateway's `own` a request would come back to it again and again.
    """
    taken: dict[tuple[str, int], Section] = {}
    remote: set[str] = set()
    for model, section in models:
        if model.upstream is None:
            continue
        if model.upstream.loopback and model.upstream.port in own:
            raise section.error(
                f"port {model.upstream.port} is the gateway's own; "
                "write the one that the daemon listens on",
                "upstream",
            )
        if isinstance(model.service, RemoteSpec):
            remote.add(section.name)
        host = "loopback" if model.upstream.loopback else model.upstream.host
        other = taken.setdefault((host, model.upstream.port), section)
        if other is not section and not remote.issuperset({section.name, other.name}):
            raise section.error(
                f"port {model.upstream.port} is already that of [{other.name}]; "
                "give each model its own",
                "upstream",
            )


def _check_snapshot_folders(models: list[tuple[ModelSpec, Section]]) -> None:
    """
    What one model's daemon has saved is no other's to find, or to delete.
    """
    taken: dict[str, Section] = {}
    for model, section in models:
        if model.snapshot_dir is None:
            continue
        other = taken.setdefault(model.snapshot_dir, section)
        if other is not section:
            raise section.error(
                f"{model.snapshot_dir} is already that of [{other.name}]; "
                "give each model its own",
                "snapshot_dir",
            )
