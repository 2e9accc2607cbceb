"""
Runs trial and fails where trial would not: on no tests, on too little covered.

    python -m tests.gate pure | tests [--coverage PERCENT] | engine | browser
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Covered wholly, branches too, each by its own tests alone.
PURE = (
    "api/openai",
    "api/routes",
    "api/sse",
    "config/access",
    "config/api_paths",
    "config/daemon_kinds",
    "config/endpoints",
    "config/expand",
    "config/hosts",
    "config/ini",
    "config/keys",
    "config/limits",
    "config/loader",
    "config/model",
    "config/options",
    "config/value_types",
    "config/values",
    "engine/options",
    "errors",
    "fleet/history",
    "fleet/lifecycle",
    "fleet/planner",
    "server/address",
    "server/auth",
    "server/json_body",
    "server/json_grammar",
    "server/target",
    "upstream/response_head",
)
# Those that need the engine and the model of the extra `demo`.
ENGINE = (
    "tests.engine.test_real",
    "tests.engine.test_process",
    "tests.engine.test_streams",
)
# The engine on an older CPU than this one's, which QEMU plays.
OLDER_CPU = ("tests.engine.test_older_cpu",)
# Those that need a browser.
BROWSER = ("tests.end_to_end.test_browser",)
# Run as programs of their own, or by another environment.
NOT_MEASURED = (
    "tests/check_wheel.py",
    "tests/engine_rig.py",
    "tests/fake_*.py",
    "tests/gate.py",
    "tests/end_to_end/test_browser.py",
    "tests/engine/test_older_cpu.py",
    "tests/engine/test_process.py",
    "tests/engine/test_real.py",
    "tests/engine/test_streams.py",
)


def engine_expected() -> bool:
    """
    Whether the extra `demo` brings an engine to this machine: there are wheels for it.
    """
    machine = (sys.platform, platform.machine())
    linux = {("linux", "x86_64"), ("linux", "aarch64")}
    return machine in linux | {("darwin", "x86_64"), ("darwin", "arm64")}


def qemu() -> str | None:
    """
    What plays another x86_64 CPU on this one, if it is one and has it.
    """
    here = (sys.platform, platform.machine()) == ("linux", "x86_64")
    return shutil.which("qemu-x86_64") if here else None


def chromium() -> str | None:
    """
    Where this machine has a browser, if it has one.
    """
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)


def trial(*names: str, measured: bool = True, told: bool = True) -> None:
    """
    Run these tests, under coverage unless it shall not be measured.

    :param told: whether a run that passed is shown.
    """
    coverage = ["-m", "coverage", "run"] if measured else []
    argv = [sys.executable, *coverage, "-m", "twisted.trial", *names]
    run = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False)
    # Where there was nothing but skips, trial is content too.
    passed = re.search(r"^PASSED .*successes=[1-9]", run.stdout, re.MULTILINE)
    good = run.returncode == 0 and passed is not None
    if told or not good:
        print(run.stdout, run.stderr, flush=True)
    if not good:
        sys.exit(f"failed, or no test ran: {' '.join(names)}")


def report(floor: str, *options: str) -> None:
    """
    Show what the run before this covered, and fail below the floor.
    """
    for step in (["combine"], ["report", f"--fail-under={floor}", *options]):
        argv = [sys.executable, "-m", "coverage", *step]
        if subprocess.run(argv, cwd=ROOT, check=False).returncode:
            sys.exit(f"coverage is below {floor} %")


def tests_of(pattern: str) -> list[str]:
    """
    The test modules of what is called so.

    :param pattern: of a module below `swapgate`, such as `config/ini`.
    """
    folder, _, name = pattern.rpartition("/")
    found = (ROOT / "tests" / folder).glob(f"test_{name}.py")
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found
    )


def main() -> None:
    """
    Run what the command line asks for.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("pure", "tests", "engine", "browser"))
    parser.add_argument("--coverage", default="0")
    args = parser.parse_args()
    if args.what == "pure":
        for name in PURE:
            # A long one has a second room, as in test_loader_mistakes.
            trial(*tests_of(name), *tests_of(f"{name}_*"), told=False)
            report("100", f"--include=swapgate/{name}.py")
    elif args.what == "tests":
        elsewhere = (*ENGINE, *OLDER_CPU, *BROWSER)
        everything = [*tests_of("*"), *tests_of("*/*")]
        trial(*(name for name in everything if name not in elsewhere))
        report(args.coverage, f"--omit={','.join(NOT_MEASURED)}")
    elif args.what == "browser":
        if chromium() is not None:
            trial(*BROWSER, measured=False)
        elif os.environ.get("CI"):
            sys.exit("there is no Chromium, without which this is no CI")
        else:
            print("no Chromium on this machine: not tested")
    elif not engine_expected():
        print("there is no wheel of the engine for this machine: not tested")
    else:
        trial(*ENGINE, measured=False)
        if qemu() is not None:
            trial(*OLDER_CPU, measured=False)
        elif os.environ.get("CI"):
            sys.exit("there is no qemu-x86_64, without which this is no CI")
        else:
            print("no qemu-x86_64 on this machine: an older CPU is not tested")


if __name__ == "__main__":
    main()
