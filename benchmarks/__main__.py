"""
Print the table; fail where a bound is broken.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys

from benchmarks.agent_rows import AGENT_ROWS
from benchmarks.fair_rows import FAIR_ROWS
from benchmarks.fleet_rows import FLEET_ROWS
from benchmarks.guard_rows import GUARD_ROWS
from benchmarks.measured import Measured
from benchmarks.processes import raise_descriptor_limit
from benchmarks.rows import ROWS


def said(measured: Measured, number: float) -> str:
    digits = 0 if measured.at_most >= 10 or measured.unit == "lost" else 2
    sign = "+" if measured.unit == "MB" else ""
    return f"{number:{sign}.{digits}f} {measured.unit}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    rows = [*ROWS, *AGENT_ROWS, *FLEET_ROWS, *GUARD_ROWS, *FAIR_ROWS]
    keys = [row.key for row in rows]
    parser.add_argument("--only", nargs="+", choices=keys, default=keys)
    parser.add_argument("--no-gate", action="store_true", help="exit 0 all the same")
    args = parser.parse_args()
    raise_descriptor_limit()
    # A collection in the client would be taken for a pause of the gateway's.
    gc.disable()
    within = True
    print("| what | at most | measured | | of that |\n|---|---|---|---|---|")
    for row in rows:
        if row.key in args.only:
            found = row.measure()
            fine = all(measured.within for measured in found)
            cells = [
                row.what,
                ", ".join(said(each, each.at_most) for each in found),
                ", ".join(said(each, each.value) for each in found),
                "ok" if fine else "**over**",
                "; ".join(each.detail for each in found if each.detail),
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
            within &= fine
    print(
        f"\n{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    return 0 if within or args.no_gate else 1


if __name__ == "__main__":
    sys.exit(main())
