"""
The table of options: its defaults, and how a section is read by it.
"""

from attrs import field, fields_dict, frozen
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.expand import Expander
from swapgate.config.ini import ConfigError, Section
from swapgate.config.options import (
    GENERAL,
    KINDS,
    MODEL,
    OPTIONS,
    ROUTE,
    Needed,
    allow_only,
    default,
    fields,
    read,
    scoped,
)

EXPANDER = Expander(folder="/etc", python="/bin/py", environ={"SOON": "5 s"})


def section(**options: str) -> Section:
    return Section(path="/c", name="s", options=options)


@frozen
class Some:
    """
    A class with some fields that options set.
    """

    load_timeout_s: float = default("load_timeout")
    max_body_bytes: int = default("max_body")
    pin: bool = default("pin")
    plist: str = field(default="none")


class TableTests(SynchronousTestCase):
    """
    What holds for every row.
    """

    def test_scopes(self) -> None:
        """
        Sections or kinds of daemon, never both.
        """
        for name, option in OPTIONS.items():
            scopes = {*option.scopes}
            self.assertTrue(scopes, name)
            allowed = ({GENERAL, MODEL}, {ROUTE}, {*KINDS})
            self.assertTrue(any(scopes <= each for each in allowed), name)

    def test_help_is_one_line(self) -> None:
        """
        A plain phrase, which a row of a page can hold.
        """
        for name, option in OPTIONS.items():
            self.assertRegex(option.help, r"^[^|\n.]{8,75}$", name)

    def test_defaults(self) -> None:
        """
        What is written as the default is read as any value is.
        """
        for name, expected in {
            "listen": ("tcp:11430:interface=127.0.0.1",),
            "load_timeout": 180.0,
            "drain_timeout": None,
            "max_body": 2**26,
            "open": False,
            "verbs": "bootstrap",
            "memory_budget": None,
            "plist": None,
        }.items():
            self.assertEqual(default(name), expected, name)

    def test_no_default_for_what_is_needed(self) -> None:
        """
        These must be written, each with its kind of daemon.
        """
        needed = {n for n, o in OPTIONS.items() if isinstance(o.default, Needed)}
        kinds = {"service", "command", "plist", "unit", "start", "stop"}
        self.assertEqual(needed, {*kinds, "header", "match", "model"})


class ReadTests(SynchronousTestCase):
    """
    One option, or the fields that several set.
    """

    def test_read(self) -> None:
        """
        The value, with its variables substituted; else the default, or None.
        """
        self.assertEqual(read(section(linger="${SOON}"), "linger", EXPANDER), 5.0)
        self.assertEqual(read(section(), "linger", EXPANDER), 0.5)
        self.assertIsNone(read(section(), "memory", EXPANDER))
        error = self.assertRaises(ConfigError, read, section(), "unit", EXPANDER)
        self.assertEqual(str(error), "/c: [s] needs unit; write unit = NAME.service")

    def test_fields(self) -> None:
        """
        Of the fields of a class only what is set here, under names with units.
        """
        here = section(load_timeout="${SOON}", max_body="1 MB", linger="1", pin="yes")
        self.assertEqual(
            fields(here, Some, EXPANDER, GENERAL),
            {"load_timeout_s": 5.0, "max_body_bytes": 10**6},
        )
        self.assertEqual(
            fields(here, Some, EXPANDER, MODEL), {"load_timeout_s": 5.0, "pin": True}
        )
        self.assertEqual(fields(section(), Some, EXPANDER, GENERAL), {})
        self.assertEqual(set(fields_dict(Some)) - {"plist"}, {*self.set_by(here)})

    def set_by(self, here: Section) -> set[str]:
        return {*fields(here, Some, EXPANDER, GENERAL, MODEL)}

    def test_fields_that_are_needed(self) -> None:
        """
        They must be there.
        """
        here = section(plist="x")
        self.assertEqual(fields(here, Some, EXPANDER, "launchd"), {"plist": "/etc/x"})
        error = self.assertRaises(
            ConfigError, fields, section(), Some, EXPANDER, "launchd"
        )
        self.assertEqual(str(error), "/c: [s] needs plist; write plist = PATH")


class PlaceTests(SynchronousTestCase):
    """
    Where an option may stand.
    """

    def test_scoped(self) -> None:
        """
        Those of one scope, or of any of several.
        """
        self.assertEqual({*scoped("remote")}, {"api_key", "health"})
        self.assertEqual(
            {*scoped("child", "systemd")},
            {*scoped("child")}
            | {
                "unit",
                "scope",
                "health",
            },
        )
        self.assertEqual(len(scoped(GENERAL, MODEL, ROUTE, *KINDS)), len(OPTIONS))

    def test_allow_only(self) -> None:
        """
        What stands elsewhere is told where.
        """
        allow_only(section(listen="x", linger="x"), GENERAL)
        allow_only(section(linger="x", pin="x", plist="x"), MODEL, "launchd")
        for scopes, option, place in (
            ((GENERAL,), "pin", "[model NAME]"),
            ((GENERAL,), "plist", "[model NAME]"),
            ((GENERAL,), "match", "[route NAME]"),
            ((MODEL, "child"), "header", "[route NAME]"),
            ((ROUTE,), "pin", "[model NAME]"),
            ((ROUTE,), "plist", "[model NAME]"),
            ((ROUTE,), "linger", "[swapgate]"),
            ((ROUTE,), "listen", "[swapgate]"),
            ((MODEL, "child"), "listen", "[swapgate]"),
            ((MODEL, "child"), "plist", "service = launchd"),
            ((MODEL, "launchd"), "env", "service = child or command"),
        ):
            with self.subTest(option=option):
                error = self.assertRaises(
                    ConfigError, allow_only, section(**{option: "x"}), *scopes
                )
                said = f"/c: [s] {option}: is no option here; it belongs to {place}"
                self.assertEqual(str(error), said)

    def test_unknown(self) -> None:
        """
        What stands nowhere may be meant for another, or is told what there is.
        """
        known = "there are health, label, plist, snapshot_dir, verbs"
        for option, said in (
            ("labl", f"did you mean label? {known}"),
            ("x", known),
        ):
            error = self.assertRaises(
                ConfigError, allow_only, section(**{option: "x"}), "launchd"
            )
            self.assertEqual(str(error), f"/c: [s] {option}: is no option here; {said}")
