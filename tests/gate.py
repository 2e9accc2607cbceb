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
    "access",
    "body",
    "config",
    "grammar",
    "guard",
    "heads",
    "ini",
    "limits",
    "loads",
    "models",
    "phases",
    "plan",
    "routes",
    "routing",
    "services",
    "sse",
    "swaps",
    "values",
    "words",
)
# Those that need the engine and the model of the extra `demo`.
ENGINE = ("tests.test_engine", "tests.test_engine_streams")
# Those that need a browser.
BROWSER = ("tests.test_browser",)
# Run as programs of their own, or by another environment.
NOT_MEASURED = (
    "tests/check_wheel.py",
    "tests/engine_rig.py",
    "tests/fake_*.py",
    "tests/gate.py",
    "tests/test_browser.py",
    "tests/test_engine*.py",
)


def engine_expected() -> bool:
    """
    Whether the extra `demo` brings an engine to this machine.
    """
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


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
    """
    return sorted(f"tests.{path.stem}" for path in ROOT.glob(f"tests/test_{pattern}"))


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
            # A long one has a second room, as in test_config_mistakes.
            trial(*tests_of(f"{name}.py"), *tests_of(f"{name}_*.py"), told=False)
            report("100", f"--include=swapgate/{name}.py")
    elif args.what == "tests":
        trial(*(n for n in tests_of("*.py") if n not in (*ENGINE, *BROWSER)))
        report(args.coverage, f"--omit={','.join(NOT_MEASURED)}")
    elif args.what == "browser":
        if chromium() is not None:
            trial(*BROWSER, measured=False)
        elif os.environ.get("CI"):
            sys.exit("there is no Chromium, without which this is no CI")
        else:
            print("no Chromium on this machine: not tested")
    elif engine_expected():
        trial(*ENGINE, measured=False)
    else:
        print("no packaged engine for this machine: not tested")


if __name__ == "__main__":
    main()
