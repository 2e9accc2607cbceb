"""
Runs trial and fails where trial would not: on no tests, on too little covered.

    python -m tests.gate pure | tests [--coverage PERCENT] | engine
"""

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Covered wholly, branches too, each by its own tests alone.
PURE = (
    "body",
    "config",
    "grammar",
    "ini",
    "models",
    "phases",
    "plan",
    "routing",
    "sse",
    "values",
    "words",
)
# Those that need the engine and the model of the extra `demo`.
ENGINE = ("tests.test_engine",)


def trial(*names: str, covered: str | None = None) -> None:
    """
    Run these tests; `covered` limits what coverage measures, "" turns it off.
    """
    measured = ["-m", "coverage", "run"]
    if covered is not None:
        measured += ["--parallel-mode", f"--include={covered}"] if covered else []
    runner = [] if covered == "" else measured
    argv = [sys.executable, *runner, "-m", "twisted.trial", *names]
    run = subprocess.run(argv, cwd=ROOT, text=True, capture_output=True, check=False)
    print(run.stdout, run.stderr, flush=True)
    ran = re.search(r"^Ran (\d+) tests", run.stdout, re.MULTILINE)
    if run.returncode or ran is None or ran[1] == "0":
        sys.exit(f"failed, or no test ran: {' '.join(names)}")


def report(floor: str, *options: str) -> None:
    for step in (["combine"], ["report", f"--fail-under={floor}", *options]):
        argv = [sys.executable, "-m", "coverage", *step]
        if subprocess.run(argv, cwd=ROOT, check=False).returncode:
            sys.exit(f"coverage is below {floor} %")


def imports(module: Path) -> set[str]:
    """
    The modules that a file imports, anywhere in it.
    """
    found = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def main() -> None:
    """
    Run what the command line asks for.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("pure", "tests", "engine"))
    parser.add_argument("--coverage", default="0")
    args = parser.parse_args()
    all_tests = sorted(f"tests.{path.stem}" for path in ROOT.glob("tests/test_*.py"))
    if args.what == "pure":
        for name in PURE:
            trial(f"tests.test_{name}", covered=f"swapgate/{name}.py")
            report("100")
    elif args.what == "tests":
        trial(*(name for name in all_tests if name not in ENGINE))
        report(args.coverage)
    else:
        trial(*ENGINE, covered="")


if __name__ == "__main__":
    main()
