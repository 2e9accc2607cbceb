"""
The installed wheel, seen from outside the checkout; `tox -e wheel` runs it.

Only the standard library is at hand here, and the checkout must not be.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.metadata import files
from pathlib import Path
from signal import SIGTERM
from urllib.request import urlopen

CHECKOUT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# What a shell has, without the configuration and the state folder of whoever runs this.
KEPT = ("PATH", "LANG", "TMPDIR")
CONFIG = """
[swapgate]
listen = tcp:0:interface=127.0.0.1
state_dir = ${dir}/state
[model a]
service = child
command = true ${port}
"""


def check(holds: object, promise: str) -> None:
    """
    Say what was looked at; end where it does not hold.
    """
    if not holds:
        sys.exit(f"FAILED: {promise}")
    print(f"ok: {promise}")


def environment(home: str) -> dict[str, str]:
    """
    A shell's, in which nothing of whoever runs this can be found.
    """
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": home
    }


def output(*argv: str | Path) -> str:
    """
    What a command prints; it must succeed.
    """
    with tempfile.TemporaryDirectory() as home:
        env = environment(home)
        return subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout


def check_place() -> None:
    """
    What is imported is what was installed.
    """
    import swapgate  # noqa: PLC0415

    found = Path(swapgate.__file__ or "").resolve()
    check(not found.is_relative_to(CHECKOUT / "swapgate"), "not from the checkout")
    check(found.is_relative_to(Path(sys.prefix).resolve()), "from this environment")
    outside = not Path.cwd().resolve().samefile(CHECKOUT)
    check(outside and str(CHECKOUT) not in sys.path, "the checkout is out of reach")


def check_files() -> None:
    """
    The wheel holds all it should, and overwrites nothing of Twisted's.
    """
    installed = {str(path): path for path in files("swapgate") or ()}
    check("twisted/plugins/swapgate_plugin.py" in installed, "the plugin is there")
    check("twisted/plugins/__init__.py" not in installed, "Twisted's file is not ours")
    twisteds = {str(path): path for path in files("twisted") or ()}
    theirs = twisteds["twisted/plugins/__init__.py"]
    digest = urlsafe_b64encode(sha256(theirs.read_binary()).digest()).decode()
    check(
        theirs.hash is not None and theirs.hash.value == digest.rstrip("="),
        "and stands as Twisted brought it",
    )
    for persona in ("general", "japanese", "programming"):
        name = f"swapgate/demo/templates/{persona}.jinja"
        check(
            name in installed and Path(str(installed[name].locate())).is_file(),
            f"{name} is there",
        )
    for page in (CHECKOUT / "swapgate" / "pages" / "static").iterdir():
        name = f"swapgate/pages/static/{page.name}"
        check(name in installed, f"{name} is there")
    name = "swapgate/engine/__main__.py"
    check(name in installed, f"{name} is there")
    engine = subprocess.run(
        [sys.executable, "-m", "swapgate.engine", "--colour"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = "swapgate engine: there is no option '--colour' here"
    check(engine.stderr.startswith(said), "and refuses what it does not know")
    for name in ("swapgate.cfg", "demo.cfg"):
        shared = Path(sys.prefix, "etc", name)
        text = (CHECKOUT / "etc" / name).read_bytes()
        check(shared.read_bytes() == text, f"etc/{name} is installed, as it is here")
        path = str(shared)
        said = output(BIN / "twistd", "swapgate", "--check", "--config", path)
        check("good, 3 models" in said, f"etc/{name} is good where it was installed")


def check_help() -> None:
    """
    twistd knows the command, and the command its options.
    """
    commands = output(BIN / "twistd", "--help")
    check(re.search(r"^ +swapgate ", commands, re.MULTILINE), "twistd lists swapgate")
    options = output(BIN / "twistd", "swapgate", "--help")
    check("--config" in options and "--check" in options, "its help tells its options")


def check_run() -> None:
    """
    A gateway of it answers, and ends on SIGTERM.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "swapgate.cfg")
        config.write_text(CONFIG, "utf-8")
        argv = [str(BIN / "twistd"), "-n", "--pidfile="]
        gateway = subprocess.Popen(
            [*argv, "swapgate", "--config", str(config)],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert gateway.stdout is not None
            started = next(
                (f for line in gateway.stdout if (f := re.search(r"on (\d+)$", line))),
                None,
            )
            check(started, "a gateway starts")
            assert started is not None
            with urlopen(f"http://127.0.0.1:{started[1]}/v1/models") as answer:
                listed = json.load(answer)
            check([entry["id"] for entry in listed["data"]] == ["a"], "it answers")
            with urlopen(f"http://127.0.0.1:{started[1]}/status") as answer:
                page = answer.read()
            check(b"/status_start.js" in page, "with its own pages")
            gateway.send_signal(SIGTERM)
            said, _ = gateway.communicate(timeout=30)
            # twistd raises the signal again when all is done.
            check(gateway.returncode in (0, -SIGTERM), "it ends on SIGTERM")
            check("Server Shut Down" in said, "in order")
        finally:
            gateway.kill()


def main() -> None:
    """
    All of it.
    """
    # A path to the checkout would make everything here true of the wrong files.
    os.environ.pop("PYTHONPATH", None)
    check_place()
    check_files()
    check_help()
    check_run()


if __name__ == "__main__":
    main()
