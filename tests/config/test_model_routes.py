"""
Model routes: how they are read, and which model they choose.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, Section
from swapgate.config.model_routes import (
    ModelRoute,
    Routing,
    is_route,
    read_routing,
)
from tests.browsers import BRAVE, CHROME, SAFARI, fields

EXPANDER = Expander(folder="/etc", python="/bin/py", environ={})
NAMES = {"gemma": "gemma", "qwen": "qwen", "Phi 4": "phi", "phi": "phi"}


def section(name: str, **options: str) -> Section:
    return Section(path="/c", name=name, options=options)


def read(*sections: Section, **general: str) -> Routing:
    return read_routing(section("swapgate", **general), sections, NAMES, EXPANDER)


# What etc/swapgate.cfg has, in short.
BROWSERS = read(
    section("route brave", header="Sec-CH-UA", match='"Brave"', model="gemma"),
    section("route chrome", header="sec-ch-ua", match='"Google Chrome"', model="qwen"),
    section(
        "route safari",
        header="User-Agent",
        match=r"Version/[0-9.]+ Safari/",
        model="Phi 4",
    ),
)


class ReadTests(SynchronousTestCase):
    """
    Sections to rules.
    """

    def test_sections(self) -> None:
        """
        Those that are read as rules, with a name or without.
        """
        for name in ("route a", "route  a b", "route"):
            self.assertTrue(is_route(section(name)))
        for name in ("routes a", "model route", "swapgate", "Route a", "routea"):
            self.assertFalse(is_route(section(name)))

    def test_read(self) -> None:
        """
        In their order; an alias means its model.
        """
        self.assertEqual(read(), Routing())
        self.assertEqual(read(default_model="Phi 4"), Routing(default_model="phi"))
        self.assertEqual(
            read(section("route a", header="X-A", match="b$", model="Phi 4")).routes,
            (ModelRoute(header="X-A", match=re.compile("b$"), model="phi"),),
        )
        models = [route.model for route in BROWSERS.routes]
        self.assertEqual(models, ["gemma", "qwen", "phi"])

    def test_mistakes(self) -> None:
        """
        Each with its remedy.
        """
        right = {"header": "X-A", "match": "a", "model": "qwen"}
        for name, change, said in (
            ("route", {}, "has no name; write [route NAME]"),
            ("route  ", {}, "has no name; write [route NAME]"),
            ("route a", {"header": None}, "needs header; write header = User-Agent"),
            ("route a", {"match": None}, "needs match; write match = Safari"),
            ("route a", {"model": None}, "needs model; write model = NAME"),
            (
                "route a",
                {"model": "qwem"},
                (
                    "model: 'qwem' is no model here; did you mean qwen? "
                    "write gemma, qwen, Phi 4 or phi"
                ),
            ),
            (
                "route a",
                {"model": "auto"},
                "model: 'auto' is no model here; write gemma, qwen, Phi 4 or phi",
            ),
            (
                "route a",
                {"colour": "x"},
                "colour: is no option here; there are header, match, model",
            ),
        ):
            options = {k: v for k, v in (right | change).items() if v is not None}
            with self.subTest(said):
                error = self.assertRaises(ConfigError, read, section(name, **options))
                self.assertEqual(str(error), f"/c: [{name}] {said}")
        error = self.assertRaises(ConfigError, read, default_model="x")
        said = "'x' is no model here; write gemma, qwen, Phi 4 or phi"
        self.assertEqual(str(error), f"/c: [swapgate] default_model: {said}")


class ChoiceTests(SynchronousTestCase):
    """
    Headers to a model.
    """

    def test_browsers(self) -> None:
        """
        Each is told by what it really sends.
        """
        for headers, model in ((BRAVE, "gemma"), (CHROME, "qwen"), (SAFARI, "phi")):
            self.assertEqual(BROWSERS.model_for(fields(headers)), model)

    def test_only_a_hint_tells_brave(self) -> None:
        """
        Where there is none, over plain http to another machine, it is nobody's.
        """
        for browser in (BRAVE, CHROME):
            agent = {"User-Agent": browser["User-Agent"]}
            self.assertIsNone(BROWSERS.model_for(fields(agent)))

    def test_first_that_matches(self) -> None:
        """
        In the order of the file; else the default, else none.
        """
        a = section("route a", header="X-A", match="1", model="gemma")
        b = section("route b", header="X-B", match="^1?$", model="qwen")
        both = fields({"x-a": "1", "X-B": ""})
        self.assertEqual(read(a, b).model_for(both), "gemma")
        self.assertEqual(read(b, a).model_for(both), "qwen")
        self.assertEqual(read(a, b).model_for(fields({"x-b": "1"})), "qwen")
        self.assertIsNone(read(a, b).model_for(fields({"x-a": "2"})))
        self.assertIsNone(read(a, b).model_for({}))
        self.assertEqual(read(a, default_model="phi").model_for({}), "phi")
        self.assertEqual(read(default_model="phi").model_for(both), "phi")

    def test_several_of_one_name(self) -> None:
        """
        They are one list; any bytes are characters.
        """
        route = section("route a", header="X-A", match="^1, \xe9$", model="gemma")
        self.assertEqual(read(route).model_for({b"x-a": [b"1", b"\xe9"]}), "gemma")

    def test_listed(self) -> None:
        """
        `auto` as well, last, where there are rules.
        """
        self.assertEqual(BROWSERS.listed(["b", "a"]), ("b", "a", "auto"))
        self.assertEqual(Routing(default_model="a").listed(["b", "a"]), ("b", "a"))
