"""
What holds for the whole house: who imports whom, and what stands where.
"""

import ast
import os
import pwd
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import candidates, read_config
from tests.gate import (
    BROWSER,
    BROWSER_ENGINE,
    CLIENTS,
    ENGINE,
    FIREFOX,
    OLDER_CPU,
    PURE,
    ROOT,
    all_jobs,
    module_of,
)

PACKAGE = ROOT / "swapgate"
MODULES = sorted(PACKAGE.rglob("*.py"))
REACTOR = "twisted.internet.reactor"
_IMPURE = {"asyncio", "io", "os", "socket", "subprocess", "threading", "time"}


class HouseTests(SynchronousTestCase):
    """
    Read from the source, so that a mistake is found before it is run.
    """

    def test_pure_modules(self) -> None:
        """
        They import attrs, msgspec, each other, and what knows no clock and does no I/O.
        """
        outside = {*sys.stdlib_module_names, "attrs", "msgspec"} - _IMPURE
        pure = {f"swapgate.{name.replace('/', '.')}" for name in PURE}
        for name in PURE:
            imported = set(_names(PACKAGE / f"{name}.py"))
            ours = {each for each in imported if each.startswith("swapgate.")}
            # `from package import module`, or `from module import name`.
            modules = {e if e in pure else e.rpartition(".")[0] for e in ours}
            # This package holds an exception.
            self.assertLessEqual(modules - {"swapgate.engine"}, pure, name)
            packages = {each.partition(".")[0] for each in imported - ours}
            self.assertLessEqual(packages, outside, name)

    def test_pure_modules_have_their_tests(self) -> None:
        """
        Each has a test module of its own, which covers it alone.
        """
        for name in PURE:
            self.assertTrue((PACKAGE / f"{name}.py").is_file(), name)
            folder, _, last = name.rpartition("/")
            test = ROOT / "tests" / folder / f"test_{last}.py"
            self.assertTrue(test.is_file(), name)

    def test_every_test_module_is_run_once(self) -> None:
        """
        By one job of the gate, or by another environment.
        """
        found = {module_of(path) for path in (ROOT / "tests").rglob("test_*.py")}
        elsewhere = {*ENGINE, *OLDER_CPU, *BROWSER, *FIREFOX, *BROWSER_ENGINE, *CLIENTS}
        self.assertLessEqual(elsewhere, found)
        run = [module for job in all_jobs() for module in job.modules]
        self.assertEqual(sorted(run), sorted(found - elsewhere))

    def test_only_tap_imports_the_reactor(self) -> None:
        """
        Everyone else is handed what they need.
        """
        found = {path.name for path in MODULES if REACTOR in _names(path)}
        self.assertEqual(found, {"tap.py"})

    def test_docstrings(self) -> None:
        """
        Every module says what it is.
        """
        self.assertIn(PACKAGE / "tap.py", MODULES)
        for path in MODULES:
            docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
            self.assertTrue(docstring, path)

    def test_a_home_of_their_own(self) -> None:
        """
        Whoever runs the tests has another one, with a gateway's state in it, perhaps.
        """
        home = pwd.getpwuid(os.getuid()).pw_dir
        self.assertNotEqual(os.environ["HOME"], home)
        found = read_config(
            "[model a]\nservice = child\ncommand = true ${port}\n",
            path="/c.cfg",
            environ=os.environ,
            python=sys.executable,
            platform=sys.platform,
        )
        places = [found.state_dir, *candidates(os.environ, sys.platform)]
        own = [place for place in places if not place.startswith("/etc/")]
        self.assertEqual(len(own), 2)
        for place in own:
            self.assertTrue(place.startswith(os.environ["HOME"]), place)

    def test_every_twistd_has_a_home_of_its_own(self) -> None:
        """
        Whoever names the program says which home folder it gets.
        """
        spawners = set()
        for path in (*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py")):
            text = path.read_text("utf-8")
            words = {
                node.value
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Constant)
            }
            if "twistd" in words and path != Path(__file__):
                spawners.add(path.name)
                self.assertIn("HOME", words, f"for twistd in {path}")
        expected = {"check_wheel.py", "engine_rig.py", "processes.py", "test_tap.py"}
        self.assertEqual(spawners, expected)

    def test_the_oldest_versions_are_tested(self) -> None:
        """
        The environment `oldest` has each library's lowest version that is allowed.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        lowest = {
            each.partition(",")[0].replace(">=", "==")
            for each in project["dependencies"]
        }
        tox = ConfigParser(interpolation=None)
        tox.read(ROOT / "tox.ini")
        pinned = {
            each for each in tox["testenv:oldest"]["deps"].split() if "==" in each
        }
        self.assertEqual(pinned, lowest)

    def test_the_plugin_folder_is_no_package(self) -> None:
        """
        An `__init__.py` there would overwrite Twisted's own.
        """
        found = {path.name for path in (ROOT / "twisted").rglob("*.py")}
        self.assertEqual(found, {"swapgate_plugin.py"})


def _names(path: Path) -> set[str]:
    """
    Every imported name with its module, as `from module import name` reads.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found
