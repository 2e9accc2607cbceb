"""
Installs the clients of npm into this Python's environment; never into the checkout.

    python tests/clients/install_node.py

Not a module of the tests: these have a home folder of their own, and npm is configured
in the user's.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "node"
# The scripts are copied: node looks for packages beside the file that imports them.
INSTALLED = Path(sys.prefix) / "swapgate-clients"


def main() -> None:
    """
    Copy the scripts, and install just the versions that the lock file names.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        if os.environ.get("CI"):
            sys.exit("there is no node with npm, without which this is no CI")
        print("no node with npm on this machine: its clients are not tested")
        return
    INSTALLED.mkdir(exist_ok=True)
    for path in HERE.iterdir():
        if path.is_file():
            shutil.copy(path, INSTALLED)
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=INSTALLED,
        check=True,
    )


if __name__ == "__main__":
    main()
