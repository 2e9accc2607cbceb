"""
Print the table; fail where a bound is broken.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
from contextlib import ExitStack
from statistics import median_low
from typing import TYPE_CHECKING

from benchmarks.agent_rows import AGENT_ROWS
from benchmarks.continuity_rows import CONTINUITY_ROWS
from benchmarks.fair_rows import FAIR_ROWS
from benchmarks.fleet_rows import FLEET_ROWS
from benchmarks.guard_rows import GUARD_ROWS
from benchmarks.install import installed
from benchmarks.ollama_rows import OLLAMA_ROWS
from benchmarks.page_rows import PAGE_ROWS
from benchmarks.processes import CHECKOUT, raise_descriptor_limit
from benchmarks.rows import ROWS

if TYPE_CHECKING:
    from benchmarks.measured import Measured, Row
    from benchmarks.processes import Install

ALL_ROWS = [
    *ROWS,
    *AGENT_ROWS,
    *FLEET_ROWS,
    *GUARD_ROWS,
    *FAIR_ROWS,
    *OLLAMA_ROWS,
    *PAGE_ROWS,
    *CONTINUITY_ROWS,
]
TURNS = 5


def said(measured: Measured, number: float) -> str:
    digits = 0 if measured.at_most >= 10 or measured.unit == "lost" else 2
    sign = "+" if measured.unit == "MB" else ""
    return f"{number:{sign}.{digits}f} {measured.unit}"


def details(found: list[Measured]) -> str:
    return "; ".join(each.detail for each in found if each.detail)


def measure(row: Row, install: Install) -> list[Measured]:
    found = row.measure(install) if row.measure else []
    # No other commit's modules can be imported beside these.
    if install is CHECKOUT and row.measure_imported:
        found += row.measure_imported()
    return found


def show(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def one(rows: list[Row]) -> bool:
    """
    The checkout alone; whether all bounds are kept.
    """
    show("what", "at most", "measured", "", "of that")
    show(*["---"] * 5)
    within = True
    for row in rows:
        found = measure(row, CHECKOUT)
        fine = all(each.within for each in found)
        show(
            row.what,
            ", ".join(said(each, each.at_most) for each in found),
            ", ".join(said(each, each.value) for each in found),
            "ok" if fine else "**over**",
            details(found),
        )
        within &= fine
    return within


def both(rows: list[Row], other: Install, turns: int) -> bool:
    """
    Another commit and the checkout in turns; whether this one keeps all bounds.
    """
    print(f"medians of {turns} turns of each, and from the least to the most")
    print("(what is measured by importing it is the checkout's only)\n")
    show("what", "at most", other.name, CHECKOUT.name, "", "of that")
    show(*["---"] * 6)
    within = True
    for row in rows:
        runs: dict[Install, list[list[Measured]]] = {other: [], CHECKOUT: []}
        for turn in range(turns if row.measure else 1):
            # Neither is always the one that finds the machine warm.
            for install in (other, CHECKOUT) if turn % 2 else (CHECKOUT, other):
                runs[install].append(measure(row, install))
        theirs, ours = runs[other], runs[CHECKOUT]
        fine = all(each.within for each in middles(ours))
        show(
            row.what,
            ", ".join(said(each, each.at_most) for each in ours[0]),
            summary(theirs),
            summary(ours),
            "ok" if fine else "**over**",
            "; ".join(
                f"{install.name}: {details(middles(run))}"
                for install, run in runs.items()
                if run[0]
            ),
        )
        within &= fine
    return within


def middle(turns: tuple[Measured, ...]) -> Measured:
    """
    The turn whose value is the median of them all.
    """
    value = median_low(each.value for each in turns)
    return next(each for each in turns if each.value == value)


def middles(runs: list[list[Measured]]) -> list[Measured]:
    return [middle(turns) for turns in zip(*runs, strict=True)]


def summary(runs: list[list[Measured]]) -> str:
    """
    Each number of a row: its median, and between what it was.
    """
    cells = []
    for turns in zip(*runs, strict=True):
        found = middle(turns)
        values = [each.value for each in turns]
        least, most = said(found, min(values)), said(found, max(values))
        cells.append(f"{said(found, found.value)} ({least} to {most})")
    return ", ".join(cells) or "only here"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    keys = [row.key for row in ALL_ROWS]
    parser.add_argument("--only", nargs="+", choices=keys, default=keys)
    parser.add_argument("--no-gate", action="store_true", help="exit 0 all the same")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="measure this commit, too, in turns with the checkout",
    )
    parser.add_argument("--turns", type=int, default=TURNS, help="of each, then")
    args = parser.parse_args()
    rows = [row for row in ALL_ROWS if row.key in args.only]
    raise_descriptor_limit()
    # A collection in the client would be taken for a pause of the gateway's.
    gc.disable()
    with ExitStack() as stack:
        if args.against is None:
            within = one(rows)
        else:
            other = stack.enter_context(installed(args.against))
            within = both(rows, other, args.turns)
    print(
        f"\n{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    return 0 if within or args.no_gate else 1


if __name__ == "__main__":
    sys.exit(main())
