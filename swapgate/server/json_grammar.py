"""
JSON grammar (RFC 8259): regular expressions for `json_body`, and checks of words.

Repeated groups are greedy, only single characters possessive: some releases of Python
3.11 match possessive groups wrongly. Backtracking is linear all the same, for no
branch can match where another one did.
"""

import json
import re
from math import isfinite
from typing import Final

#: How many levels a value may have that `MEMBER_RUN` and `ITEM_RUN` match whole.
LEVELS: Final = 2

#: How long a number may be.
NUMBER_LENGTH: Final = 1000

_S: Final = r"[ \t\n\r]*+"
_HEX: Final = r"[0-9a-fA-F]"
_HIGH: Final = rf"[dD][89abAB]{_HEX}{{2}}"
_PLAIN: Final = r'[^"\\\x00-\x1f]*+'
# A high surrogate only before a low one, a low one never alone.
_ESCAPE: Final = (
    r'\\(?:["\\/bfnrt]'
    rf"|u(?:[0-9a-ce-fA-CE-F]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}"
    rf"|{_HIGH}\\u[dD][c-fC-F]{_HEX}{{2}}))"
)
_INSIDE: Final = rf"{_PLAIN}(?:{_ESCAPE}{_PLAIN})*"
# Short and, at less than 1e100 times 1e100, finite without a look.
_TAME: Final = r"-?(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]{1,99}+)?(?:[eE][-+]?[0-9]{1,2}+)?"
_SCALAR: Final = rf'"{_INSIDE}"|{_TAME}|true|false|null'


def _leaf(levels: int) -> str:
    """
    A pattern for values of so many levels, whose arrays are small and whose objects
    have one member at most: then there is no duplicate to look for.
    """
    if not levels:
        return rf"(?:{_SCALAR})"
    inner = _leaf(levels - 1)
    items = rf"(?:{inner}{_S}(?:,{_S}(?!\])|(?=\]))){{0,100}}"
    member = rf'(?:"{_INSIDE}"{_S}:{_S}{inner}{_S})?'
    return rf"(?:{_SCALAR}|\[{_S}{items}\]|\{{{_S}{member}\}})"


def _run(element: str, closer: str) -> re.Pattern[str]:
    """
    Many elements, each with its comma or right before the closer; `comma` is empty
    where the last one has none. Bounded, because the matcher takes memory for each.
    """
    return re.compile(rf"(?:{element}{_S}(?P<comma>,{_S}|(?={closer}))){{1,1000}}")


_LEAVES: Final = [_leaf(levels) for levels in range(LEVELS + 1)]
_MEMBERS: Final = [rf'"({_INSIDE})"{_S}:{_S}({leaf})' for leaf in _LEAVES]

#: Indexed by how many more levels are allowed; a member's groups are key and value.
MEMBER: Final = [re.compile(member) for member in _MEMBERS]
MEMBER_RUN: Final = [_run(member, r"\}") for member in _MEMBERS]
ITEM_RUN: Final = [_run(leaf, r"\]") for leaf in _LEAVES]

_LITERALS: Final = {"true", "false", "null"}
_FOREIGN: Final = {"NaN", "Infinity", "-Infinity", "True", "False", "None", "undefined"}
_DECODER: Final = json.JSONDecoder()

SPACE: Final = re.compile(_S)
KEY: Final = re.compile(rf'"({_INSIDE})"{_S}:{_S}')
STRING: Final = re.compile(rf'("{_INSIDE}"){_S}')
INSIDE: Final = re.compile(_INSIDE)
#: An escape or a surrogate pair whose rest has not arrived yet.
HALF_ESCAPE: Final = re.compile(
    rf"\\(?:u(?:{_HEX}{{0,3}}|{_HIGH}(?:\\(?:u(?:[dD](?:[c-fC-F]{_HEX}?)?)?)?)?))?"
)
SURROGATE: Final = re.compile(rf"\\u[dD][89a-fA-F]{_HEX}{{2}}")
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


def unescaped(raw: str) -> str:
    """
    The text that the inside of a string, known to be valid, stands for.
    """
    return str(_DECODER.raw_decode(f'"{raw}"')[0]) if "\\" in raw else raw


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
