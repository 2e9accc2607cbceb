"""
A stand-in for launchctl and the launchd behind it, with their exit codes and haste.

What it knows: bootstrap, bootout, print, kickstart; load, unload, list, start, remove.
As the real one's, the legacy verbs return 0 whatever happened, a service is forgotten
before its process is gone, and nobody waits for anything.
"""

from __future__ import annotations

import os
import plistlib
from collections.abc import Callable
from pathlib import Path

from tests.fake_keeper import Definition, Service, say, tool

_RICHER = "Try re-running the command as root for richer errors."
_LEGACY = "Try running `launchctl {}` as root for richer errors."


def read(plist: str) -> tuple[str, Definition]:
    """
    The label and what it stands for; OSError or ValueError for a bad plist.
    """
    with Path(plist).open("rb") as file:
        facts = plistlib.load(file)
    argv = facts.get("ProgramArguments")
    if not argv or "Label" not in facts:
        raise ValueError(plist)
    keep_alive = bool(facts.get("KeepAlive", False))
    return facts["Label"], Definition(
        argv=argv,
        run_at_load=facts.get("RunAtLoad", False) or keep_alive,
        keep_alive=keep_alive,
        throttle_s=facts.get("ThrottleInterval", 10),
        exit_timeout_s=facts.get("ExitTimeOut", 20),
        stderr=facts.get("StandardErrorPath", os.devnull),
    )


def load(state: Path, plist: str) -> int:
    """
    0, or the errno that launchd answers with.
    """
    try:
        label, definition = read(plist)
    except (OSError, ValueError, plistlib.InvalidFileException):
        return 5
    service = Service(state, label)
    if service.record is not None:
        return 5
    if service.being_taken_apart:
        return 37
    service.load(definition)
    return 0


def unload(state: Path, label: str) -> bool:
    """
    Whether there was anything to unload.
    """
    service = Service(state, label)
    if service.record is None:
        return False
    service.unload()
    return True


REASONS = {
    5: "Input/output error",
    37: "Operation already in progress",
    125: "Domain does not support specified action",
}


def print_service(state: Path, target: str) -> int:
    domain, _, label = target.rpartition("/")
    service = Service(state, label)
    record, last = service.record, service.last
    if record is None:
        uid = domain.rpartition("/")[2]
        where = f"in domain for user gui: {uid}"
        say("Bad request.", f'Could not find service "{label}" {where}')
        return 113
    running = record["pid"] is not None
    lines = [
        f"{target} = {{",
        f"\tactive count = {int(running)}",
        "\ttype = LaunchAgent",
        f"\tstate = {record['state']}",
        "",
        "\tdefault environment = {",
        "\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin",
        "\t}",
        "",
        f"\tdomain = {domain} [100008]",
        "\tminimum runtime = 10",
        "\texit timeout = 5",
        f"\truns = {last['runs']}",
    ]
    if running:
        lines += [f"\tpid = {record['pid']}", "\timmediate reason = speculative"]
    if last["signal"] is not None:
        lines.append(f"\tlast terminating signal = {_signal_name(last['signal'])}")
    elif last["code"] is None:
        lines.append("\tlast exit code = (never exited)")
    elif last["code"] == 78:
        lines.append("\tlast exit code = 78: EX_CONFIG")
    else:
        lines.append(f"\tlast exit code = {last['code']}")
    lines += [
        "",
        "\tresource coalition = {",
        "\t\tID = 1234",
        "\t\tstate = active",
        "\t\tactive count = 1",
        "\t}",
        "}",
    ]
    print("\n".join(lines))
    return 0


def _signal_name(number: int) -> str:
    return {9: "Killed: 9", 15: "Terminated: 15"}.get(number, f"Signal: {number}")


def list_service(state: Path, label: str) -> int:
    service = Service(state, label)
    record, last = service.record, service.last
    if record is None:
        say(f'Could not find service "{label}" in domain for port')
        return 113
    # A raw wait status.
    status = last["signal"] or (last["code"] or 0) << 8
    lines = [
        "{",
        '\t"LimitLoadToSessionType" = "Aqua";',
        f'\t"Label" = "{label}";',
        '\t"OnDemand" = false;',
        f'\t"LastExitStatus" = {status};',
    ]
    if record["pid"] is not None:
        lines.append(f'\t"PID" = {record["pid"]};')
    lines += ['\t"ProgramArguments" = (', '\t\t"serve";', "\t);", "};"]
    print("\n".join(lines))
    return 0


def bootstrap(state: Path, domain: str, plist: str) -> int:
    error = 125 if domain != f"gui/{os.getuid()}" else load(state, plist)
    if error:
        say(f"Bootstrap failed: {error}: {REASONS[error]}", _RICHER)
    return error


def bootout(state: Path, target: str) -> int:
    if unload(state, target.rpartition("/")[2]):
        return 0
    say("Boot-out failed: 3: No such process")
    return 3


def legacy_load(state: Path, plist: str) -> int:
    if error := load(state, plist):
        say(f"Load failed: {error}: {REASONS[error]}", _LEGACY.format("bootstrap"))
    return 0


def legacy_unload(state: Path, plist: str) -> int:
    try:
        done = unload(state, read(plist)[0])
    except (OSError, ValueError):
        done = False
    if not done:
        say("Unload failed: 5: Input/output error", _LEGACY.format("bootout"))
    return 0


def remove(state: Path, label: str) -> int:
    return 0 if unload(state, label) else 3


def kickstart(state: Path, target: str) -> int:
    label = target.rpartition("/")[2]
    service = Service(state, label)
    if service.record is None:
        say(f'Could not find service "{label}" in domain for user gui: {os.getuid()}')
        return 113
    service.kick()
    return 0


VERBS: dict[str, Callable[..., int]] = {
    "bootstrap": bootstrap,
    "bootout": bootout,
    "print": print_service,
    "kickstart": kickstart,
    "load": legacy_load,
    "unload": legacy_unload,
    "list": list_service,
    "remove": remove,
    "start": kickstart,
}


def main(state: Path, argv: list[str]) -> int:
    if not argv or argv[0] not in VERBS:
        say("Unrecognized subcommand: " + " ".join(argv))
        return 64
    return VERBS[argv[0]](state, *argv[1:])


if __name__ == "__main__":
    tool(main)
