"""
Model routes: which model a request means that names none. Pure.

The first [route NAME], in the order of the file, whose `match` is found in its header
decides; where none does, `default_model`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from swapgate.config.expand import Expander
from swapgate.config.ini import Section, nearest
from swapgate.config.options import ROUTE, allow_only, fields, read
from swapgate.config.patterns import is_found
from swapgate.config.values import alternatives

#: What a client sends as its model to have a route choose one.
AUTO: Final = "auto"

_NAME: Final = re.compile(r"route(?:\s+(.*))?")


@frozen(kw_only=True)
class ModelRoute:
    """
    One rule: the model of those in whose `header` there is a `match`.
    """

    header: str
    match: re.Pattern[str]
    model: str

    def applies(self, headers: Mapping[bytes, Sequence[bytes]]) -> bool:
        """
        Several of one name are one list (RFC 9110, 5.3); a missing one never matches.
        """
        values = headers.get(self.header.lower().encode("ascii"))
        if values is None:
            return False
        return is_found(self.match, b", ".join(values).decode("latin-1"))


@frozen(kw_only=True)
class Routing:
    """
    All rules, in their order, and the model for everybody else; both name models.
    """

    routes: tuple[ModelRoute, ...] = ()
    default_model: str | None = None

    def model_for(self, headers: Mapping[bytes, Sequence[bytes]]) -> str | None:
        """
        The model that a request with these headers means; None where nothing says.

        :param headers: values by name, in lower case.
        """
        for route in self.routes:
            if route.applies(headers):
                return route.model
        return self.default_model

    def listed(self, names: Iterable[str]) -> tuple[str, ...]:
        """
        What clients may send as a model: these names, and `auto` where there are rules.
        """
        return (*names, AUTO) if self.routes else tuple(names)


def is_route(section: Section) -> bool:
    """
    Whether a section's header is [route NAME], with a name or without.
    """
    return _NAME.fullmatch(section.name) is not None


def read_routing(
    general: Section,
    sections: Iterable[Section],
    names: Mapping[str, str],
    expander: Expander,
) -> Routing:
    """
    The rules in these sections, and the default.

    :param names: the name of the model for every name and alias.
    """
    routes = tuple(_read_route(section, names, expander) for section in sections)
    model = read(general, "default_model", expander)
    if model is not None:
        model = _known(general, "default_model", model, names)
    return Routing(routes=routes, default_model=model)


def _read_route(
    section: Section, names: Mapping[str, str], expander: Expander
) -> ModelRoute:
    found = _NAME.fullmatch(section.name)
    if found is None or not found[1]:
        raise section.error("has no name; write [route NAME]")
    allow_only(section, ROUTE)
    route = ModelRoute(**fields(section, ModelRoute, expander, ROUTE))
    return evolve(route, model=_known(section, "model", route.model, names))


def _known(section: Section, option: str, model: str, names: Mapping[str, str]) -> str:
    """
    The name of the model that is known by this name or alias.
    """
    if model not in names:
        raise section.error(
            f"{model!r} is no model here; {nearest(model, names)}"
            f"write {alternatives(names)}",
            option,
        )
    return names[model]
