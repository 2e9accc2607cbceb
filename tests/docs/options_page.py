"""
Makes docs/options.md from the table of options.

    python -m tests.docs.options_page
"""

from collections.abc import Callable, Iterable, Mapping

from swapgate.config.options import (
    GENERAL,
    KINDS,
    MODEL,
    OPTIONS,
    ROUTE,
    Needed,
    Option,
    Unset,
    scoped,
)
from tests.gate import ROOT

PAGE = ROOT / "docs" / "options.md"

_HEAD = """\
# Options

All options of the configuration. [etc/swapgate.cfg](../etc/swapgate.cfg) explains the
usual ones, [daemons.md](daemons.md) the kinds of daemon, [security.md](security.md)
access, [waiting.md](waiting.md) waiting, [clients.md](clients.md) routes,
[continuity.md](continuity.md) what is kept of conversations.
`python -m tests.docs.options_page` makes this page from `swapgate/config/options.py`.

- A size is a number with GB, GiB, MB or MiB (`8.2 GB`), a rate one with kB/s, KiB/s,
  MB/s or MiB/s, a duration one with ms, s, min or h (a bare number is seconds).
- Several values stand between commas or on lines of their own.
- A path is seen from the configuration's folder. `~` is the home folder, `${dir}` the
  configuration's folder, `${python}` the interpreter, `${NAME}` a variable of the
  environment, `$$` a dollar; in a command, `${port}` is the daemon's port.
"""

Cell = Callable[[str, Option], str]
_CELLS: dict[str, Cell] = {
    "option": lambda name, _: f"`{name}`",
    "service": lambda _, option: ", ".join(option.scopes),
    "value": lambda _, option: option.type.said,
    "default": lambda _, option: _default(option.default),
    "meaning": lambda _, option: option.help,
}


def _default(default: str | Needed | Unset) -> str:
    if isinstance(default, Needed):
        return f"needed: `{default.example}`"
    return default.said if isinstance(default, Unset) else f"`{default}`"


def _table(options: Mapping[str, Option], titles: Iterable[str]) -> str:
    titles = tuple(titles)
    rows = [titles, ("---",) * len(titles)]
    rows += [
        tuple(_CELLS[title](name, option) for title in titles)
        for name, option in options.items()
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page() -> str:
    """
    The text of the page.
    """
    usual = [title for title in _CELLS if title != "service"]
    parts = [_HEAD]
    for title, scopes in (
        ("[swapgate]", (GENERAL,)),
        ("[swapgate] for all models, or [model NAME] for one", (GENERAL, MODEL)),
        ("[model NAME]", (MODEL,)),
        ("[route NAME]", (ROUTE,)),
    ):
        options = {n: o for n, o in OPTIONS.items() if o.scopes == scopes}
        parts.append(f"## {title}\n\n{_table(options, usual)}")
    kinds = _table(scoped(*KINDS), _CELLS)
    parts.append(f"## [model NAME], by the kind of its daemon\n\n{kinds}")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
