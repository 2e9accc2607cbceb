"""
A stand-in for kubectl and the cluster behind it: scale deployment/NAME --replicas=N.

A deployment is a file `units/NAME` in the state folder, as that of fake_systemctl.
Scaling returns at once; pods come and go in their own time.
"""

from __future__ import annotations

from pathlib import Path

from tests.fake_keeper import Service, say, tool
from tests.fake_systemctl import definition


def main(state: Path, argv: list[str]) -> int:
    match argv:
        case ["scale", target, replicas] if target.startswith("deployment/"):
            name = target.partition("/")[2]
        case _:
            say(f"error: unknown command: {' '.join(argv)}")
            return 1
    found = definition(state, name)
    if found is None:
        say(f'Error from server (NotFound): deployments.apps "{name}" not found')
        return 1
    service = Service(state, name)
    if replicas == "--replicas=0":
        service.unload()
    elif service.record is None:
        service.load(found)
    print(f"deployment.apps/{name} scaled")
    return 0


if __name__ == "__main__":
    tool(main)
