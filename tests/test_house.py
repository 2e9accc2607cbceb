"""
What holds for the whole house: who imports whom, and what stands where.
"""

import ast
import os
import pwd
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.loader import candidates, read_config
from tests.gate import PURE, ROOT

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
        They import attrs, each other, and what knows no clock and does no I/O.
        """
        outside = {*sys.stdlib_module_names, "attrs"} - _IMPURE
        for name in PURE:
            path = PACKAGE / f"{name}.py"
            # The package it stands in holds nothing but an exception.
            own = {name.partition("/")[0]}
            self.assertLessEqual(_rooms(path), {*PURE} | own, name)
            packages = {imported.partition(".")[0] for imported in _names(path)}
            self.assertLessEqual(packages - {"swapgate"}, outside, name)

    def test_pure_modules_have_their_tests(self) -> None:
        """
        Each has a test module of its own, which covers it alone.
        """
        for name in PURE:
            self.assertTrue((PACKAGE / f"{name}.py").is_file(), name)
            test = f"test_{name.replace('/', '_')}.py"
            self.assertTrue((ROOT / "tests" / test).is_file(), name)

    def test_only_tap_imports_the_reactor(self) -> None:
        """
        Everyone else is handed what they need.
        """
        found = {path.name for path in MODULES if REACTOR in _names(path)}
        self.assertEqual(found, {"tap.py"})

    def test_arrows_go_one_way(self) -> None:
        """
        pure <- daemons, health, upstream, relay <- fleet <- web <- tap.
        """
        floors = (
            {*PURE},
            {"keyfiles"},
            {"wire", "connection", "logs", "descriptors"},
            {"upstream", "health", "daemons"},
            {"tickets", "relay", "startup", "state"},
            {"line"},
            {"place"},
            {"books", "hangups", "tending"},
            {"fleet", "stopping"},
            {"survey"},
            {"web"},
            {"tap"},
        )
        height = {name: n for n, names in enumerate(floors) for name in names}
        for path in MODULES:
            name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            if name in ("__init__", "demo", "engine"):
                apart = {"demo", "engine"}
                self.assertEqual(_rooms(path) - apart, set(), f"imported by {path}")
                continue
            self.assertIn(name, height, "on which floor is it?")
            for other in _rooms(path):
                self.assertLessEqual(height[other], height[name], f"{name} -> {other}")

    def test_docstrings(self) -> None:
        """
        Every module says what it is.
        """
        self.assertIn(PACKAGE / "tap.py", MODULES)
        for path in MODULES:
            docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
            self.assertTrue(docstring, path)

    def test_the_first_docstring_names_every_module(self) -> None:
        """
        The reading order leaves nobody out.
        """
        text = (PACKAGE / "__init__.py").read_text("utf-8")
        rooms = {path.relative_to(PACKAGE).parts[0] for path in MODULES}
        for name in sorted(rooms - {"__init__.py"}):
            self.assertIn(f"`{name.removesuffix('.py')}`", text)

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
        for path in (*ROOT.glob("tests/*.py"), *ROOT.glob("benchmarks/*.py")):
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


def _rooms(path: Path) -> set[str]:
    """
    What a module imports of swapgate: the first names below it.
    """
    return {name.split(".")[1] for name in _names(path) if name.startswith("swapgate.")}
