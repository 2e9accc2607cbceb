"""
A stand-in for systemctl and the systemd behind it: start, stop, show.

A unit is a file `units/NAME` in the state folder: a `Definition` as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fake_keeper import Definition, Service, say, tool


def definition(state: Path, unit: str) -> Definition | None:
    try:
        facts = json.loads((state / "units" / unit).read_text())
    except OSError:
        return None
    return Definition(**facts, record_lasts=True)


def show(state: Path, unit: str, wanted: list[str]) -> None:
    """
    Print the wanted properties, of an unknown unit as well.
    """
    service = Service(state, unit)
    record, last = service.record, service.last
    facts = {"LoadState": "loaded" if definition(state, unit) else "not-found"}
    facts |= {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}
    facts |= {"Result": "success", "ExecMainStatus": "0"}
    if last["signal"] == 15:
        facts |= {"ExecMainStatus": "15"}
    elif last["signal"] is not None:
        facts |= {"Result": "signal", "ExecMainStatus": str(last["signal"])}
    elif last["code"]:
        facts |= {"Result": "exit-code", "ExecMainStatus": str(last["code"])}
    if record is None or record["state"] == "not running":
        if facts["Result"] != "success":
            facts |= {"ActiveState": "failed", "SubState": "failed"}
    elif record["state"] == "spawn scheduled":
        facts |= {"ActiveState": "activating", "SubState": "auto-restart"}
    elif record["state"] == "stopping":
        facts |= {"ActiveState": "deactivating", "SubState": "stop-sigterm"}
        facts |= {"MainPID": str(record["pid"])}
    else:
        facts |= {"ActiveState": "active", "SubState": "running"}
        facts |= {"MainPID": str(record["pid"])}
    for name in wanted:
        # What is not set, such as Job, is left out.
        if name in facts:
            print(f"{name}={facts[name]}")


def main(state: Path, argv: list[str]) -> int:
    words = [word for word in argv if not word.startswith("-")]
    options = [word for word in argv if word.startswith("-")]
    verb, unit = words
    service = Service(state, unit)
    match verb:
        case "show":
            wanted = [o for o in options if o.startswith("--property=")]
            show(state, unit, wanted[0].partition("=")[2].split(","))
        case "start":
            found = definition(state, unit)
            if found is None:
                say(f"Failed to start {unit}: Unit {unit} not found.")
                return 5
            record = service.record
            if record is not None and record["state"] == "not running":
                # Loaded is no state of systemd's: it starts it anew.
                service.kick()
            elif record is None:
                service.load(found)
        case "stop":
            if definition(state, unit) is None and service.record is None:
                say(f"Failed to stop {unit}: Unit {unit} not loaded.")
                return 5
            if service.record is not None:
                service.unload()
    return 0


if __name__ == "__main__":
    tool(main)
