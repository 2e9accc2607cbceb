"""
JSON grammar (RFC 8259) for `json_body`: what is read in C, patterns, words.

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

_HEX: Final = rb"[0-9a-fA-F]"
_HIGH: Final = rb"[dD][89abAB]%b{2}" % _HEX
_LOW: Final = rb"[dD][c-fC-F]%b{2}" % _HEX
_PLAIN: Final = rb'[^"\\\x00-\x1f]*+'
# A high surrogate only before a low one, a low one never alone.
_ESCAPE: Final = (
    rb'\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F]%b{3}|[dD][0-7]%b{2}|%b\\u%b))'
    % (_HEX, _HEX, _HIGH, _LOW)
)
LONGEST_ESCAPE: Final = len(rb"\ud83d\ude00")

_LITERALS: Final = {"true", "false", "null"}
_FOREIGN: Final = {"NaN", "Infinity", "-Infinity", "True", "False", "None", "undefined"}

BLANKS: Final = " \t\n\r"
SPACE: Final = re.compile(rb"[ \t\n\r]*+")
INSIDE: Final = re.compile(rb"%b(?:%b%b)*" % (_PLAIN, _ESCAPE, _PLAIN))
_SHORT: Final = re.compile(rb'[^"\\\x00-\x1f]{0,100}+(?=")')
#: An escape or a surrogate pair whose rest does not come.
HALF_ESCAPE: Final = re.compile(
    rb"\\(?:u(?:%b{0,3}|%b(?:\\(?:u(?:[dD](?:[c-fC-F]%b?)?)?)?)?))?"
    % (_HEX, _HIGH, _HEX)
)
SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]%b{2}" % _HEX)
WORD: Final = re.compile(rb"[-+.0-9A-Za-z]*+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")


Bytes = bytes | bytearray


def past(pattern: re.Pattern[bytes], text: Bytes, at: int, limit: int = 2**31) -> int:
    """
    Where the match of `pattern` at this position ends; an empty one is one, too.
    """
    match = pattern.match(text, at, limit)
    assert match is not None
    return match.end()


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


_read: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number,
    parse_float=_number,
    parse_constant=_number,
).raw_decode
# Strict but for UTF-8, numbers and duplicates, and four times as fast.
_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode


def whole_value(text: str, levels: int) -> tuple[Any, int] | None:
    """
    The string, array or object that this begins with, and where it ends.

    None if it is not here whole, or has a fault, or more than so many levels.
    """
    try:
        value, end = _read(text, 0)
        _skip(text if end == len(text) else text[:end])
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None
    # Most have too few brackets to be too deep.
    brackets = text.count("[", 0, end) + text.count("{", 0, end)
    return None if brackets > levels < _levels([value]) else (value, end)


def _levels(values: Iterable[Any]) -> int:
    levels = 0
    while inner := [one for one in values if isinstance(one, (dict, list))]:
        levels += 1
        values = chain(*(o.values() if isinstance(o, dict) else o for o in inner))
    return levels


def inside(text: Bytes, at: int, limit: int) -> int:
    """
    How far the inside of a string goes from here, up to a limit, or a little less.
    """
    if short := _SHORT.match(text, at, limit):
        return short.end()
    end = text.find(b'"', at, limit)
    if end < 0 or text[end - 1 : end] == b"\\":
        # It may go on through all of this; an escape may be cut off.
        escape = text.find(b"\\", max(at, limit - LONGEST_ESCAPE), limit)
        end = at + len(text[at:escape].rstrip(b"\\")) if escape >= 0 else limit
    try:
        _skip(b'"' + text[at:end] + b'"')
    except msgspec.DecodeError:
        # Its end is here, or a fault. A character may be cut off at either side.
        rest = text[at:limit].decode("latin-1")
        if string := whole_value(f'"{rest}"', 0):
            return at + string[1] - 2
    else:
        at = end
    return past(INSIDE, text, at, limit)


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
