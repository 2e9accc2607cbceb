"""
A stand-in for docker and its daemon: start, stop and inspect of a container.

A container is a file `units/NAME` in the state folder, as that of fake_systemctl.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.fake_keeper import Service, say, tool
from tests.fake_systemctl import definition


def main(state: Path, argv: list[str]) -> int:
    verb, name = argv[0], argv[-1]
    found = definition(state, name)
    if found is None:
        say(f"Error response from daemon: No such container: {name}")
        return 1
    service = Service(state, name)
    match verb:
        case "start":
            if service.record is None:
                service.load(found)
            print(name)
        case "stop":
            # It waits, and kills after ten seconds.
            service.unload()
            while service.being_taken_apart:
                time.sleep(0.01)
            print(name)
        case "inspect":
            record = service.record
            print(str(record is not None and record["pid"] is not None).lower())
    return 0


if __name__ == "__main__":
    tool(main)
