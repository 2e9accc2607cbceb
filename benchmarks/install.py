"""
Another commit of this repository, installed beside the checkout.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT, Install

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def installed(commit: str) -> Iterator[Install]:
    """
    An environment with that commit and the libraries that are installed here.
    """
    git = ["git", "-C", str(ROOT)]
    name = subprocess.check_output(
        [*git, "rev-parse", "--short", f"{commit}^{{commit}}"], text=True
    ).strip()
    with tempfile.TemporaryDirectory(prefix="swapgate-against-") as folder:
        archive = Path(folder, "source.tar")
        subprocess.run([*git, "archive", "-o", str(archive), name], check=True)
        source, environment = Path(folder, "source"), Path(folder, "environment")
        with tarfile.open(archive) as tar:
            tar.extractall(source, filter="data")
        # Two versions of Twisted would be what is compared.
        same = Path(folder, "constraints")
        same.write_text(
            "".join(
                f"{each.name}=={each.version}\n"
                for each in distributions()
                if each.name != "swapgate"
            )
        )
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        pip += ["--disable-pip-version-check", "--constraint", str(same)]
        subprocess.run([*pip, str(source)], check=True)
        yield Install(name, python)
