"""
JSON grammar (RFC 8259) for `json_body`: values and strings read in C, patterns, words.

1. The C code of `json` reads what is here whole. It is not strict: what it lets through
   is looked for here. What is refused so may yet be good; the patterns tell.
2. Repeated groups are greedy, only single characters possessive: some releases of
   Python 3.11 match possessive groups wrongly. Backtracking is linear all the same, for
   no branch can match where another one did.
"""

import json
import re
from collections.abc import Iterable
from itertools import chain
from math import isfinite
from typing import Any, Final

import msgspec

#: How long a number may be.
NUMBER_LENGTH: Final = 1000

BLANKS: Final = " \t\n\r"
_S: Final = rf"[{BLANKS}]*+"
_HEX: Final = r"[0-9a-fA-F]"
_HIGH: Final = rf"[dD][89abAB]{_HEX}{{2}}"
_LOW: Final = rf"[dD][c-fC-F]{_HEX}{{2}}"
_PLAIN: Final = r'[^"\\\x00-\x1f]*+'
# A high surrogate only before a low one, a low one never alone.
_ESCAPE: Final = (
    r'\\(?:["\\/bfnrt]'
    rf"|u(?:[0-9a-ce-fA-CE-F]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}|{_HIGH}\\u{_LOW}))"
)
_INSIDE: Final = rf"{_PLAIN}(?:{_ESCAPE}{_PLAIN})*"
# Short and, at less than 1e100 times 1e100, finite without a look.
_TAME: Final = r"-?(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]{1,99}+)?(?:[eE][-+]?[0-9]{1,2}+)?"
_SCALAR: Final = rf'(?:"{_INSIDE}"|{_TAME}|true|false|null)'
# A small array, or an object of one member at most: then there is no duplicate.
_ITEMS: Final = rf"(?:{_SCALAR}{_S}(?:,{_S}(?!\])|(?=\]))){{0,100}}"
_MEMBER: Final = rf'(?:"{_INSIDE}"{_S}:{_S}{_SCALAR}{_S})?'
_SMALL: Final = rf"(?:{_SCALAR}|\[{_S}{_ITEMS}\]|\{{{_S}{_MEMBER}\}})"

# What a value may end with, by how it begins.
_ENDS: Final = {'"': '"', "[": "]", "{": "}"}
_LITERALS: Final = {"true", "false", "null"}
_FOREIGN: Final = {"NaN", "Infinity", "-Infinity", "True", "False", "None", "undefined"}

SPACE: Final = re.compile(_S)
_COMMA: Final = re.compile(rf"{_S},{_S}")
KEY: Final = re.compile(rf'"({_INSIDE})"{_S}:{_S}')
_SHORT: Final = re.compile(r'[^"\\\x00-\x1f]{0,100}+(?=")')
INSIDE: Final = re.compile(_INSIDE)
#: Many small items, each with its comma, by how many levels more are allowed: none, or
#: some. Bounded, because the matcher takes memory for each.
ITEM_RUN: Final = [
    re.compile(rf"(?:{item}{_S},{_S}){{1,1000}}") for item in (_SCALAR, _SMALL)
]
#: An escape or a surrogate pair whose rest has not arrived yet.
HALF_ESCAPE: Final = re.compile(
    rf"\\(?:u(?:{_HEX}{{0,3}}|{_HIGH}(?:\\(?:u(?:[dD](?:[c-fC-F]{_HEX}?)?)?)?)?))?"
)
SURROGATE: Final = re.compile(rf"\\u[dD][89a-fA-F]{_HEX}{{2}}")
_ESCAPE_LENGTH: Final = len(r"\ud83d\ude00")
_PAIR: Final = re.compile(rf"\\u{_HIGH}\\u{_LOW}")
#: Arrays, or ends of arrays and objects, in a row.
OPENERS: Final = re.compile(r"[\[ \t\n\r]*+")
CLOSERS: Final = re.compile(r"[\]} \t\n\r]*+")
WORD: Final = re.compile(r"[-+.0-9A-Za-z]*+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")


def past(pattern: re.Pattern[str], text: str, at: int) -> int:
    """
    Where the match of `pattern` at this position ends; the position if none.
    """
    match = pattern.match(text, at)
    return match.end() if match else at


# Hooks of `json`, which lets through what they refuse.


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a duplicate")
    return members


def _number(word: str) -> float:
    if len(word) > NUMBER_LENGTH or not isfinite(float(word)):
        raise ValueError("too large")
    return 0.0


# Strict but for UTF-8 and numbers, and four times as fast as `json` in a string.
_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode
_read: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number,
    parse_float=_number,
    parse_constant=_number,
).raw_decode


def whole_values(
    text: str, at: int, levels: int, *, many: bool
) -> tuple[list[Any], int] | None:
    """
    The string, array or object that begins here, or many values with commas between.

    They end with the last that is here whole. None if the first is not, or if one has
    a fault, or more than so many levels.
    """
    if text.find(_ENDS[text[at]], at + 1) < 0:
        return None
    values: list[Any] = []
    start = end = at
    try:
        while many or not values:
            value, after = _read(text, at)
            comma = _COMMA.match(text, after)
            # A number may go on.
            if comma or text[at] in _ENDS:
                values.append(value)
                end = after
            if not comma:
                break
            at = comma.end()
    except (ValueError, RecursionError):
        if not values:
            return None
    raw = text[start:end]
    if r"\u" in raw and SURROGATE.search(_PAIR.sub("", raw.replace(r"\\", "_"))):
        return None
    # Most have too few brackets to be too deep.
    brackets = raw.count("[") + raw.count("{")
    return None if brackets > levels < _levels(values) else (values, end)


def _levels(values: Iterable[Any]) -> int:
    levels = 0
    while inner := [one for one in values if isinstance(one, (dict, list))]:
        levels += 1
        values = chain(*(o.values() if isinstance(o, dict) else o for o in inner))
    return levels


def inside(text: str, at: int) -> int:
    """
    How far the inside of a string goes from here.
    """
    if short := _SHORT.match(text, at):
        return short.end()
    end = text.find('"', at)
    if end < 0 or text[end - 1] == "\\":
        # It may go on through all of this; an escape may be cut off.
        escape = text.find("\\", max(at, len(text) - _ESCAPE_LENGTH))
        end = at + len(text[at:escape].rstrip("\\")) if escape >= 0 else len(text)
    try:
        _skip(f'"{text[at:end]}"')
    except msgspec.DecodeError:
        # Its end is here, or a fault.
        if string := whole_values(f'"{text[at:]}"', 0, 0, many=False):
            return at + string[1] - 2
    else:
        at = end
    return past(INSIDE, text, at)


def unescaped(raw: str) -> str:
    """
    The text that the inside of a string, known to be valid, stands for.
    """
    return str(_read(f'"{raw}"')[0]) if "\\" in raw else raw


def quoted(text: str) -> str:
    """
    A client's text, fit to be shown: escaped, and forty characters at most.
    """
    return json.dumps(text[:40]) + ("..." if len(text) > 40 else "")


def word_fault(word: str) -> str | None:
    """
    Why this word is no JSON value; None if it is one.
    """
    if word in _LITERALS:
        return None
    if word in _FOREIGN:
        return f"{word} is not JSON"
    if len(word) > NUMBER_LENGTH:
        return f"a number may have {NUMBER_LENGTH} characters at most"
    if not _NUMBER.fullmatch(word):
        return "a value must come here: a string, number, true, false, null, [ or {"
    if not isfinite(float(word)):
        return "a number must fit into a double"
    return None
