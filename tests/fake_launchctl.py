"""
A stand-in for launchctl and the launchd behind it, with their exit codes and haste.

What it knows: bootstrap, bootout, print, print-disabled, kickstart; load, unload,
list, start, remove. As the real one's, the legacy verbs return 0 whatever happened, a
label is kept until its process is gone, and no verb waits for anything. What goes wrong
with the real one now and then, a test arranges.
"""

from __future__ import annotations

import json
import os
import plistlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.fake_keeper import Definition, Service, say, tool

_RICHER = "Try re-running the command as root for richer errors."
_LEGACY = "Try running `launchctl {}` as root for richer errors."


class Arranged(NamedTuple):
    """
    What launchd does otherwise than it should.
    """

    # A bootstrap succeeds and spawns nothing, whatever the plist says.
    spawns: bool = True
    # A label is forgotten before its process is gone.
    forgets: bool = False
    # For so long after a label is gone, loading it again is an input/output error.
    eio_s: float = 0.0
    # Label -> the status of loading it, as it is disabled.
    disabled: dict[str, int] = {}
    # How print-disabled says so: true, on older systems.
    disabled_word: str = "disabled"
    # Whether the user has a graphical session, and what is said where there is none.
    gui: bool = True
    no_gui: int = 125
    # What bootout says of a label that is not there.
    bootout_absent: int = 3
    # What kickstart says, whatever it has done.
    kickstart: int = 0


def arranged(state: Path) -> Arranged:
    with suppress(OSError):
        return Arranged(**json.loads((state / "arranged").read_text()))
    return Arranged()


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
        # What recent systems take where the plist does not say it.
        exit_timeout_s=facts.get("ExitTimeOut", 5),
        stderr=facts.get("StandardErrorPath", os.devnull),
        record_lasts=True,
        ending=("SIGTERMed", "SIGKILLed"),
    )


def load(state: Path, plist: str) -> int:
    """
    0, or the errno that launchd answers with.
    """
    try:
        label, definition = read(plist)
    except (OSError, ValueError, plistlib.InvalidFileException):
        return 5
    service, odd = Service(state, label), arranged(state)
    if label in odd.disabled:
        return odd.disabled[label]
    if service.record is not None:
        return 5
    if service.being_taken_apart:
        return 37
    if 0 < service.gone_for_s < odd.eio_s:
        return 5
    service.load(
        definition._replace(
            run_at_load=definition.run_at_load and odd.spawns,
            record_lasts=not odd.forgets,
        )
    )
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
    3: "No such process",
    5: "Input/output error",
    37: "Operation already in progress",
    36: "Operation now in progress",
    112: "Could not find domain for user gui",
    119: "Service is disabled",
    125: "Domain does not support specified action",
}


def print_service(state: Path, target: str) -> int:
    domain, _, label = target.rpartition("/")
    service, odd = Service(state, label), arranged(state)
    record, last = service.record, service.last
    if not odd.gui:
        say(f"Could not print service: {odd.no_gui}: {REASONS[odd.no_gui]}")
        return odd.no_gui
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


def print_disabled(state: Path, _domain: str) -> int:
    odd = arranged(state)
    lines = [f'\t\t"{label}" => {odd.disabled_word}' for label in odd.disabled]
    enabled = {"disabled": "enabled", "true": "false"}[odd.disabled_word]
    lines.append(f'\t\t"com.example.other" => {enabled}')
    print("", "\tdisabled services = {", *lines, "\t}", sep="\n")
    return 0


def bootstrap(state: Path, domain: str, plist: str) -> int:
    odd = arranged(state)
    if not odd.gui or domain != f"gui/{os.getuid()}":
        error = odd.no_gui
    else:
        error = load(state, plist)
    if error:
        say(f"Bootstrap failed: {error}: {REASONS[error]}", _RICHER)
    return error


def bootout(state: Path, target: str) -> int:
    label = target.rpartition("/")[2]
    if Service(state, label).is_unloaded:
        error = 36
    else:
        error = 0 if unload(state, label) else arranged(state).bootout_absent
    if error:
        say(f"Boot-out failed: {error}: {REASONS[error]}")
    return error


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
    error = arranged(state).kickstart
    if error:
        say(f"Could not kickstart service: {error}: {REASONS[error]}")
    return error


VERBS: dict[str, Callable[..., int]] = {
    "bootstrap": bootstrap,
    "bootout": bootout,
    "print": print_service,
    "print-disabled": print_disabled,
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
