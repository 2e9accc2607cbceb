"""
INI parser: the sections and options of a text, their lines, and errors that name them.

`configparser` decides what the text says; this adds the line numbers, so that each
mistake is one line: place, what is wrong, the remedy.
"""

import configparser
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

from attrs import field, frozen

T = TypeVar("T")

# A carriage return may only end a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n|\Z)")
_COMMENT = re.compile(r"\s[#;]")


class BadValue(ValueError):
    """
    A value that cannot be meant; the message is "what is wrong; what would be right".
    """


class ConfigError(Exception):
    """
    One line for the user: "FILE:LINE: [section] option: what is wrong; the remedy".
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str,
        line: int | None = None,
        section: str | None = None,
        option: str | None = None,
    ) -> None:
        place = path if line is None else f"{path}:{line}"
        parts = [] if section is None else [f"[{section}]"]
        if option is not None:
            parts.append(f"{option}:")
        message = f"{place}: {' '.join([*parts, problem])}"
        # Values and names are quoted from the file: they must not break the line.
        super().__init__(
            "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        )


@frozen(kw_only=True)
class Section:
    """
    One section as written, with the lines of its header and of its options.
    """

    path: str
    name: str
    line: int | None = None
    options: Mapping[str, str] = field(factory=dict)
    lines: Mapping[str, int] = field(factory=dict)

    def error(self, problem: str, option: str | None = None) -> ConfigError:
        """
        The error that says `problem` of this section, or of one of its options.
        """
        line = self.line if option is None else self.lines.get(option)
        return ConfigError(
            problem, path=self.path, line=line, section=self.name, option=option
        )

    def read(self, option: str, reading: Callable[[str], T]) -> T:
        """
        What `reading` makes of the option's text.
        """
        text = self.options[option].strip()
        try:
            if not text:
                raise BadValue("is empty; give it a value or leave it out")
            return reading(text)
        except BadValue as bad:
            raise self.error(f"{bad}{_hint(text)}", option) from None


def _hint(text: str) -> str:
    """
    The likeliest cause of a bad value, where its look gives one away.
    """
    if _COMMENT.search(text):
        return " (a comment needs a line of its own)"
    if "\n" in text:
        return " (an indented line continues the option above it)"
    return ""


class _Parser(configparser.RawConfigParser):
    # The stock pattern ignores what follows the bracket.
    SECTCRE = re.compile(r"\[(?P<header>.+)\]$")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_sections(text: str, path: str) -> tuple[Section, ...]:
    """
    All sections in their order; `path` is only for messages.
    """
    text = text.removeprefix("\ufeff")
    if found := _CONTROL.search(text):
        raise ConfigError(
            f"holds the control character {found[0]!r}; take it out",
            path=path,
            line=text.count("\n", 0, found.start()) + 1,
        )
    # No header can be empty, so no section is the default one: [DEFAULT] is found
    # like any other, and refused where the sections' names are read.
    parser = _Parser(delimiters=("=",), default_section="")
    places: dict[str, dict[str, int]] = {}
    try:
        parser.read_file(_watched(parser, text.split("\n"), places))
    except configparser.Error as error:
        raise _mistake(error, text, path) from None
    return tuple(
        Section(
            path=path,
            name=name,
            line=lines.pop(""),
            options=dict(parser[name]),
            lines=lines,
        )
        for name, lines in places.items()
    )


def _watched(
    parser: configparser.RawConfigParser,
    lines: Iterable[str],
    places: dict[str, dict[str, int]],
) -> Iterator[str]:
    """
    Hand the parser its lines, and note after which it has a section or an option more.

    configparser keeps no line numbers.

    :param places: the lines of each section's options, and its header's at "".
    """
    for number, line in enumerate(lines, 1):
        yield line
        for section in parser.sections()[-1:]:
            for option in ("", *parser.options(section)):
                places.setdefault(section, {}).setdefault(option, number)


def _mistake(error: configparser.Error, text: str, path: str) -> ConfigError:
    """
    What configparser refuses, with the remedy.
    """
    line: int | None = getattr(error, "lineno", None)
    match error:
        case configparser.DuplicateSectionError():
            problem = "stands here for the second time; make one section of both"
        case configparser.DuplicateOptionError():
            problem = "stands in this section for the second time; keep one of the two"
        case configparser.MissingSectionHeaderError():
            problem = (
                f"{error.line.strip()!r} stands before any section; "
                "begin with [swapgate] or [model NAME]"
            )
        case _:
            assert isinstance(error, configparser.ParsingError), "there is no other"
            line = error.errors[0][0]
            bad = text.split("\n")[line - 1].strip()
            problem = (
                f"{bad!r} is no section, option or comment; "
                "write [section], option = value or # comment"
            )
    return ConfigError(
        problem,
        path=path,
        line=line,
        section=getattr(error, "section", None),
        option=getattr(error, "option", None),
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """
    "did you mean this? " where one of the known words is close to `word`, else "".
    """
    close = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {close[0]}? " if close else ""
