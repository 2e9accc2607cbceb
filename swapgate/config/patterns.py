"""
Patterns: regular expressions that are searched for in a header, in bounded time. Pure.

Python's matcher tries the ways to match one after the other, and its time grows with
their number: of n characters n ** 2 for one repetition, n ** 3 for two, and 2 ** n for
one within another. So:

1. Only the first `SEARCHED` characters of a value are looked at.
2. A pattern has `LENGTH` characters at most, repeats no group, and has one repetition
   (`*`, `+`, `{`) with two choices (`?`, `|`), or up to ten choices without one.
3. No back-references, no look-around: their cost cannot be seen.
"""

import re
from typing import Final

from swapgate.config.ini import BadValue

#: How many characters of a value are searched: those of browsers have 60 to 250.
SEARCHED: Final = 512
#: How long a pattern may be.
LENGTH: Final = 128

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# An escaped character, or a class: no more than a letter, whatever is in it.
_ATOM: Final = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]")
_IGNORE_CASE: Final = "(?i)"
# A choice doubles the ways. A repetition has one for each of the 2 ** 9 characters, of
# which half are left where it begins, on average.
_REPETITION: Final = 8
_WAYS: Final = 10


def header_name(text: str) -> str:
    """
    `header`: a name as RFC 9110, 5.1 has it.
    """
    if not _HEADER.fullmatch(text):
        raise BadValue(f"{text!r} is no header's name; write one like User-Agent")
    return text


def searched_pattern(text: str) -> re.Pattern[str]:
    """
    `match`: a regular expression that no value of a header can stall.
    """
    if len(text) > LENGTH:
        raise BadValue(
            f"has {len(text)} characters; write {LENGTH} at most, and a further "
            "section for what else it shall match"
        )
    if "\n" in text:
        raise BadValue("has two lines; write a section for each pattern")
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError) as error:
        raise BadValue(
            f"{text!r} is no regular expression ({error}); write one like Version/.* "
            "Safari, with \\ before a character that shall mean itself"
        ) from None
    skeleton = _ATOM.sub("x", text.removeprefix(_IGNORE_CASE))
    if "\\" in skeleton or re.search(r"\(\?(?!:)", skeleton):
        raise BadValue(
            f"{text!r} has more than groups; write (...) or (?:...), and (?i) at the "
            "beginning to ignore case"
        )
    skeleton = skeleton.replace("(?:", "(")
    choices = len(re.findall(r"[?|]", skeleton))
    repetitions = len(re.findall(r"[*+{]", skeleton))
    if re.search(r"\)[*+{]", skeleton) or (_REPETITION * repetitions + choices > _WAYS):
        raise BadValue(
            f"{text!r} could take too long; repeat no group, write one of * + {{ at "
            "most, and with it two of ? | at most, and a further section for the rest"
        )
    return pattern


def is_found(pattern: re.Pattern[str], value: str) -> bool:
    """
    Whether the beginning of a header's value has a match in it.
    """
    return pattern.search(value, 0, SEARCHED) is not None
