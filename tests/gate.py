"""
Gate: runs trial and fails where trial would not, on no tests or too little covered.

    python -m tests.gate pure | tests [--coverage PERCENT] | engine | browser
    python -m tests.gate clients

1. Each test runs once. The tests of a pure module run in a process of their own, whose
   coverage data alone must show the module covered; all data together make the total.
2. As many processes run at a time as there are cores, each in a folder of its own.
3. A run without a test that passed fails, and in CI one with a skipped test, too.
4. What failed is shown where it happens and again at the end, below the table: a log
   is often kept by its tail.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
# trial empties the folder that it runs in.
FOLDERS = ROOT / "_trial_temp_gate"
# trial's last line, such as "PASSED (skips=1, successes=2)".
SUMMARY = re.compile(r"^(PASSED|FAILED)(?: \((.*)\))?\n", re.MULTILINE)
# Where trial's list of results ends, and tracebacks begin.
FAILURES = re.compile(r"^={79}\n.*", re.MULTILINE | re.DOTALL)
# Covered wholly, branches too, each by its own tests alone.
PURE = (
    "api/engine_errors",
    "api/ollama",
    "api/ollama_answers",
    "api/ollama_chunks",
    "api/ollama_listings",
    "api/ollama_messages",
    "api/ollama_requests",
    "api/openai",
    "api/routes",
    "api/sse",
    "api/surfaces",
    "config/access",
    "config/url_paths",
    "config/daemon_kinds",
    "config/endpoints",
    "config/expand",
    "config/hosts",
    "config/ini",
    "config/keys",
    "config/limits",
    "config/loader",
    "config/model",
    "config/model_routes",
    "config/options",
    "config/patterns",
    "config/value_types",
    "config/values",
    "continuity/answers",
    "continuity/beginnings",
    "continuity/commands",
    "continuity/places",
    "continuity/slot_table",
    "continuity/snapshots",
    "continuity/speeds",
    "continuity/validity",
    "daemons/output",
    "engine/options",
    "errors",
    "fleet/history",
    "fleet/lifecycle",
    "fleet/moves",
    "fleet/planner",
    "fleet/timeline",
    "fleet/token_rate",
    "pages/files",
    "pages/negotiation",
    "server/address",
    "server/auth",
    "server/json_body",
    "server/json_grammar",
    "server/target",
)
# Those that need the engine and the model of the extra `demo`.
ENGINE = (
    "tests.engine.test_real",
    "tests.engine.test_process",
    "tests.engine.test_streams",
    "tests.engine.test_clients",
    "tests.engine.test_continuity",
)
# The engine on an older CPU than this one's, which QEMU plays.
OLDER_CPU = ("tests.engine.test_older_cpu",)
# Those that need a browser.
BROWSER = (
    "tests.browser.test_chat",
    "tests.browser.test_conversations",
    "tests.browser.test_gateway",
    "tests.browser.test_layouts",
    "tests.browser.test_markdown",
    "tests.browser.test_speed",
    "tests.browser.test_status",
    "tests.browser.test_status_words",
    "tests.end_to_end.test_browser",
)
# Those that need another browser.
FIREFOX = ("tests.browser.test_firefox",)
# Those that need both a browser and the engine.
BROWSER_ENGINE = ("tests.browser.test_real",)
# Those that need the clients of PyPI and npm; what takes the longest comes first.
CLIENTS = (
    "tests.clients.test_node",
    "tests.clients.test_openai",
    "tests.clients.test_litellm",
    "tests.clients.test_llm",
    "tests.clients.test_ollama",
    "tests.clients.test_anthropic",
)
# Folders whose tests mostly wait, for processes and in real time.
REAL_TIME = ("daemons", "end_to_end")
# What takes the longest comes first, so that all cores are done at about one time.
LONGEST = (
    "tests.fleet.test_random_histories",
    "tests.end_to_end.test_kinds",
    "tests.daemons.test_launchd",
    "tests.end_to_end.test_strangers",
    "tests.server.test_json_body",
)
# Run as programs of their own, or by another environment.
NOT_MEASURED = (
    "tests/browser/*.py",
    "tests/check_wheel.py",
    "tests/client_rig.py",
    "tests/clients/*.py",
    "tests/engine_rig.py",
    "tests/fake_*.py",
    "tests/gate.py",
    "tests/end_to_end/test_browser.py",
    "tests/engine/test_clients.py",
    "tests/engine/test_continuity.py",
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


def firefox() -> str | None:
    """
    Where this machine has a Firefox, if it has one; Debian's is called firefox-esr.
    """
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Job(NamedTuple):
    """
    Test modules that share a process, and what they alone must cover.
    """

    name: str
    modules: tuple[str, ...]
    pure: str = ""


class Result(NamedTuple):
    """
    How a job ended.

    :param failures: what is shown again at the end; empty where all was well.
    """

    counts: Counter[str]
    failures: str


def run_trial(*options: str, measure_to: str = "") -> tuple[bool, Counter[str], str]:
    """
    Whether all was well, how many tests ended in which way, and what trial wrote.

    :param measure_to: the file for coverage's data; empty: not measured.
    """
    measure = ["-m", "coverage", "run", f"--data-file={measure_to}"]
    argv = [sys.executable, *(measure if measure_to else ()), "-m", "twisted.trial"]
    run = subprocess.run(
        [*argv, *options],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    ended: Counter[str] = Counter()
    for summary in SUMMARY.finditer(run.stdout):
        for kind, count in re.findall(r"(\w+)=(\d+)", summary[2] or ""):
            ended[kind] += int(count)
    ran = ended["successes"] + ended["skips"] > 0
    return run.returncode == 0 and ran, ended, run.stdout


def trial(*names: str) -> None:
    """
    Run these tests in one process, not measured.
    """
    good, ended, output = run_trial(*names)
    print(output, flush=True)
    if not good:
        sys.exit(f"failed, or no test ran: {' '.join(names)}")
    something_passed(ended)


def trial_each(*names: str) -> None:
    """
    Run each of these in a process of its own, as many at a time as there are cores.
    """
    shutil.rmtree(FOLDERS, ignore_errors=True)
    FOLDERS.mkdir()
    ended: Counter[str] = Counter()
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        folders = (f"--temp-directory={FOLDERS / name}" for name in names)
        runs = pool.map(run_trial, folders, names)
        for name, (good, counts, output) in zip(names, runs, strict=True):
            print(output, flush=True)
            ended += counts
            if not good:
                failed.append(name)
    if failed:
        sys.exit(f"failed, or no test ran: {', '.join(failed)}")
    something_passed(ended)


def something_passed(ended: Counter[str]) -> None:
    """
    Fail where there was nothing but skips, and in CI where there was any.
    """
    if not ended["successes"]:
        sys.exit("no test has passed")
    if ended["skips"] and os.environ.get("CI"):
        sys.exit("a test was skipped, without which this is no CI")


def coverage(*argv: str) -> tuple[bool, str]:
    """
    Whether this command of coverage went well, and what it wrote.
    """
    run = subprocess.run(
        [sys.executable, "-m", "coverage", *argv],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return run.returncode == 0, run.stdout


def covered(data: Iterable[Path], into: Path, *options: str) -> tuple[bool, str]:
    """
    Join what was measured; whether coverage is content with it, and its table.
    """
    files = [str(path) for path in data]
    good, said = coverage("combine", "--keep", f"--data-file={into}", *files)
    if good:
        good, said = coverage("report", f"--data-file={into}", *options)
    return good, said


def run_job(number: int, job: Job, data: Path) -> Result:
    """
    Run it, and show what trial wrote with a line of our own at the end.
    """
    began = time.monotonic()
    good, ended, output = run_trial(
        f"--temp-directory={FOLDERS / str(number)}",
        *job.modules,
        measure_to=str(data / f"{number}"),
    )
    # The one summary that ends the output is that of all jobs.
    output = SUMMARY.sub("", output).rstrip()
    verdict = "good" if good else "FAILED, or no test ran"
    if good and job.pure:
        wanted = ("--fail-under=100", f"--include=swapgate/{job.pure}.py")
        measured = data.glob(f"{number}.*")
        good, table = covered(measured, data / f"alone-{number}", *wanted)
        if not good:
            output += f"\n{table}"
            verdict = f"FAILED: {job.pure} is not wholly covered by its own tests"
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(ended.items()))
    took_s = time.monotonic() - began
    line = f"=== {job.name}: {verdict} ({counts}) in {took_s:.0f} s"
    print(f"{output}\n{line}\n", flush=True)
    found = FAILURES.search(output)
    failures = f"{found[0] if found else output}\n{line}"
    return Result(ended, "" if good else failures)


def run_jobs(jobs: list[Job], floor: str) -> None:
    """
    Run them side by side, and fail where one did, or below the floor.
    """
    shutil.rmtree(FOLDERS, ignore_errors=True)
    FOLDERS.mkdir()
    into = Path(os.environ.get("COVERAGE_FILE", ROOT / ".coverage"))
    with tempfile.TemporaryDirectory(prefix="swapgate-coverage-") as name:
        data = Path(name)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            running = [
                (job, pool.submit(run_job, number, job, data))
                for number, job in enumerate(jobs)
            ]
            results = [(job, future.result()) for job, future in running]
        measured = data.glob("[0-9]*.*")
        omitted = f"--omit={','.join(NOT_MEASURED)}"
        enough, table = covered(measured, into, f"--fail-under={floor}", omitted)
    print(table)
    ended = sum((result.counts for _, result in results), Counter[str]())
    failed = [job.name for job, result in results if result.failures]
    for _, result in results:
        if result.failures:
            print(f"{result.failures}\n")
    counts = ", ".join(f"{kind}={count}" for kind, count in sorted(ended.items()))
    print(f"{'FAILED' if failed else 'PASSED'} ({counts})", flush=True)
    if failed:
        sys.exit(f"failed, or no test ran, or not covered: {', '.join(failed)}")
    if not enough:
        sys.exit(f"coverage is below {floor} %")
    something_passed(ended)


def module_of(path: Path) -> str:
    """
    What a file of the checkout is called where it is imported.
    """
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def tests_of(name: str) -> tuple[str, ...]:
    """
    The test modules of one module below `swapgate`.

    :param name: such as `config/ini`.
    """
    folder, _, last = name.rpartition("/")
    # A long one has a second room, as in test_loader_mistakes; auth_delay is no room
    # of auth, but a module.
    rooms = (TESTS / folder).glob(f"test_{last}_*.py")
    found = [
        room
        for room in rooms
        if not (ROOT / "swapgate" / folder / room.name.removeprefix("test_")).exists()
    ]
    return tuple(map(module_of, sorted([TESTS / folder / f"test_{last}.py", *found])))


def pure_jobs() -> list[Job]:
    return [Job(name, tests_of(name), pure=name) for name in PURE]


def all_jobs() -> list[Job]:
    """
    Each test module that no other environment runs is in one of them.
    """
    jobs = pure_jobs()
    taken = {*ENGINE, *OLDER_CPU, *BROWSER, *FIREFOX, *BROWSER_ENGINE, *CLIENTS}
    taken.update(*(job.modules for job in jobs))
    folders: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        module = module_of(path)
        if module not in taken:
            alone = path.parent.name in REAL_TIME or module in LONGEST
            name = module if alone else module_of(path.parent)
            folders.setdefault(name, []).append(module)
    jobs += (Job(name, tuple(modules)) for name, modules in folders.items())
    return sorted(jobs, key=rank)


def rank(job: Job) -> tuple[int, bool]:
    """
    Where it stands among all: the pure ones, which are short, fill the gaps at the end.
    """
    long = (LONGEST.index(module) for module in job.modules if module in LONGEST)
    return min(long, default=len(LONGEST)), bool(job.pure)


def main() -> None:
    """
    Run what the command line asks for.
    """
    parser = argparse.ArgumentParser()
    known = ("pure", "tests", "engine", "browser", "clients")
    parser.add_argument("what", choices=known)
    parser.add_argument("--coverage", default="0")
    args = parser.parse_args()
    if args.what == "pure":
        run_jobs(pure_jobs(), args.coverage)
    elif args.what == "tests":
        run_jobs(all_jobs(), args.coverage)
    elif args.what == "clients":
        trial_each(*CLIENTS)
    elif args.what == "browser":
        engine = BROWSER_ENGINE if engine_expected() else ()
        other = FIREFOX if firefox() else ()
        if os.environ.get("CI") and not (chromium() and firefox()):
            sys.exit("there is no Chromium or no Firefox, without which this is no CI")
        if chromium() is not None:
            trial_each(*BROWSER, *engine, *other)
        else:
            print("no Chromium on this machine: not tested")
    elif not engine_expected():
        print("there is no wheel of the engine for this machine: not tested")
    else:
        trial(*ENGINE)
        if qemu() is not None:
            trial(*OLDER_CPU)
        elif os.environ.get("CI"):
            sys.exit("there is no qemu-x86_64, without which this is no CI")
        else:
            print("no qemu-x86_64 on this machine: an older CPU is not tested")


if __name__ == "__main__":
    main()
