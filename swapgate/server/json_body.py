"""
JSON body parser: strict and incremental; finds the fields `model` and `stream`. Pure.

1. It parses as the bytes arrive, in bounded memory and with little work for each piece:
   a body may be 20 MB of one string or of `[],[],[],`.
2. All of RFC 8259 is checked, at any depth, and what parsers read differently is
   refused, or it would get past the first of them: duplicate keys (escaped ones too),
   lone surrogates, numbers that no double holds.
3. Values that are here whole, and the inside of a string that goes on, are read in C;
   what is cut off, too deep or at fault goes token by token, through a state machine,
   which alone says what is wrong. No fault is found by C alone.
"""

import codecs
import json
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any, Final

from attrs import frozen

from swapgate.server import json_grammar as grammar
from swapgate.server.json_grammar import (
    NUMBER_LENGTH,
    inside,
    past,
    quoted,
    unescaped,
    whole_values,
    word_fault,
)

#: How deep arrays and objects may be nested.
DEPTH: Final = 128
#: How long a key may be, and the model's name.
TEXT_LENGTH: Final = 64 * 1024
#: How many characters the keys of all open objects may have together, where each key
#: costs KEY_COST more: some 20 MB at the worst.
KEY_ROOM: Final = 2 * 1024 * 1024
KEY_COST: Final = 16
# What a unit of KEY_ROOM takes in bytes at most, whatever the keys are.
_KEY_BYTES: Final = 8
#: How often in one go a value is sought that turns out not to be here whole.
MISSES: Final = 4
#: How many bytes are parsed in one go.
PIECE: Final = 32 * 1024


class BadJSON(ValueError):
    """
    The body is not strict JSON: a sentence that says what is wrong, and where.
    """


class JSONType(Enum):
    """
    The type of a value, in the words of an error message.
    """

    ABSENT = "missing"
    NULL = "null"
    BOOLEAN = "a boolean"
    NUMBER = "a number"
    STRING = "a string"
    ARRAY = "an array"
    OBJECT = "an object"


@frozen(kw_only=True)
class BodyFields:
    """
    The fields of the top level: the value, or its type where that is the wrong one.
    """

    model: str | JSONType = JSONType.ABSENT
    stream: bool | JSONType = JSONType.ABSENT


_WANTED: Final = {"model": JSONType.STRING, "stream": JSONType.BOOLEAN}
_TYPES: Final[dict[type, JSONType]] = {int: JSONType.NUMBER} | dict(
    zip((NoneType, bool, float, str, list, dict), [*JSONType][1:], strict=True)
)


def fields_at_once(data: bytes) -> BodyFields | None:
    """
    The fields of a small body that is here whole, read in C; None where only BodyParser
    can tell what they are, or what is wrong.
    """
    if len(data) > TEXT_LENGTH:
        return None
    try:
        text = data.decode().strip(grammar.BLANKS)
    except UnicodeDecodeError:
        return None
    whole = whole_values(text, 0, DEPTH, many=False) if text.startswith("{") else None
    if whole is None or whole[1] < len(text):
        return None
    [members] = whole[0]
    return BodyFields(
        **{name: _read_as(name, members[name]) for name in _WANTED if name in members}
    )


def _read_as(name: str, value: object) -> Any:
    """
    The value of a wanted field, or its type if that is the wrong one.
    """
    found = _TYPES[type(value)]
    return value if found is _WANTED[name] else found


class BodyParser:
    """
    Feed it the body as it arrives, then close it for the fields.

    The first fault is raised as BadJSON, and again by every later call.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes = 0
        # Text that is not parsed yet, and how many characters came before it.
        self._text = ""
        self._before = 0
        # The state: one of the methods below, which parses what it can at a position
        # and returns the next position, or the same one if it needs more text.
        # Unbound, or every parser would be a reference cycle.
        self._state: Callable[[BodyParser, str, int], int] = BodyParser._start
        # The closers of the open containers, and the keys of the objects among them.
        self._closers: list[str] = []
        self._keys: list[set[str]] = []
        self._key_room = KEY_ROOM
        self._misses = 0
        # A string in pieces: those to be kept, whether it is a key, where it began.
        self._pieces: list[str] | None = None
        self._text_room = 0
        self._is_key = False
        self._began = 0
        # The wanted key whose value comes next, and the values found.
        self._name: str | None = None
        self._found: dict[str, Any] = {}
        self._fault: BadJSON | None = None

    def feed(self, data: bytes) -> None:
        """
        Parse the next bytes. 64 KiB at a time keep each call short.
        """
        for start in range(0, len(data), PIECE):
            self._parse(data[start : start + PIECE])

    @property
    def is_in_string(self) -> bool:
        """
        Whether what comes next is, at first, cheap to read.
        """
        return self._state is BodyParser._in_string

    @property
    def key_memory(self) -> int:
        """
        How many bytes the keys of all open objects take; a short one some 110.
        """
        return _KEY_BYTES * (KEY_ROOM - self._key_room)

    def close(self) -> BodyFields:
        """
        The body has ended: its fields.
        """
        self._parse(b"", final=True)
        if self._state is not BodyParser._end:
            nothing = self._state is BodyParser._start
            what = "it is empty" if nothing else "it ends too early"
            raise self._refuse(what, len(self._text))
        return BodyFields(**self._found)

    def _parse(self, data: bytes, *, final: bool = False) -> None:
        if self._fault:
            raise self._fault
        try:
            text = self._text + self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            self._fault = self._not_utf8(error)
            raise self._fault from None
        self._bytes += len(data)
        at = self._misses = 0
        if self._state is not BodyParser._in_string:
            at = past(grammar.SPACE, text, 0)
        while at < len(text):
            after = self._state(self, text, at)
            if after == at:
                break
            at = after
        self._text = text[at:]
        self._before += at

    def _not_utf8(self, error: UnicodeDecodeError) -> BadJSON:
        undecoded = len(self._decoder.getstate()[0])
        place = self._bytes - undecoded + error.start
        hint = "" if place else " (UTF-16 and UTF-32 are not accepted)"
        return BadJSON(f"the body must be UTF-8, and after {place} bytes is not{hint}")

    def _refuse(self, what: str, at: int) -> BadJSON:
        """
        The fault to be raised, now and by every later call.
        """
        place = self._before + at
        self._fault = BadJSON(f"the body is not JSON after {place} characters: {what}")
        return self._fault

    def _unexpected(self, needed: str, text: str, at: int) -> BadJSON:
        """
        The fault of a token in the place of another one.
        """
        what = f"{needed} must come here"
        if text[at] == "\0":
            what += ", not a NUL (UTF-16 and UTF-32 are not accepted)"
        return self._refuse(what, at)

    # States: what may come next.

    def _start(self, text: str, at: int) -> int:
        if text[at] == "{":
            return self._opens(text, at)
        if text[at] == "\ufeff":
            raise self._refuse("a byte order mark is not accepted", at)
        raise self._unexpected("an object, beginning with {,", text, at)

    def _first_member(self, text: str, at: int) -> int:
        if text[at] == "}":
            return self._closes(text, at)
        return self._key(text, at)

    def _key(self, text: str, at: int) -> int:
        if text[at] != '"':
            raise self._unexpected("a key in double quotes", text, at)
        if key := grammar.KEY.match(text, at):
            self._add_key(unescaped(key[1]), at)
            self._state = BodyParser._value
            return key.end()
        return self._string_begins(at, is_key=True)

    def _colon(self, text: str, at: int) -> int:
        if text[at] != ":":
            raise self._unexpected("a colon", text, at)
        self._state = BodyParser._value
        return past(grammar.SPACE, text, at + 1)

    def _first_item(self, text: str, at: int) -> int:
        if text[at] == "]":
            return self._closes(text, at)
        return self._items(text, at)

    def _items(self, text: str, at: int) -> int:
        self._state = BodyParser._items
        run = grammar.ITEM_RUN[len(self._closers) < DEPTH]
        end = past(run, text, at)
        return self._value(text, at) if end == at else end

    def _value(self, text: str, at: int) -> int:
        first = text[at]
        many = self._closers[-1] == "]"
        # A member's string or array may be long; it is taken as it comes.
        if (first == "{" or (first in '"[' and many)) and (
            whole := self._whole_values(text, at, many=many)
        ):
            values, end = whole
            self._note(values[0])
            self._state = BodyParser._after
            return past(grammar.SPACE, text, end)
        if first == '"':
            return self._string_begins(at, is_key=False)
        if first in "{[":
            self._note({} if first == "{" else [])
            return self._opens(text, at)
        end = past(grammar.WORD, text, at)
        word = text[at:end]
        if end == len(text) and len(word) <= NUMBER_LENGTH:
            return at
        if fault := word_fault(word):
            raise self._refuse(fault, at)
        self._note(json.loads(word))
        self._state = BodyParser._after
        return past(grammar.SPACE, text, end)

    def _in_string(self, text: str, at: int) -> int:
        end = inside(text, at)
        if self._pieces is not None:
            self._pieces.append(text[at:end])
            self._text_room -= end - at
            if self._text_room < 0:
                what = f"keys and model names have {TEXT_LENGTH} characters at most"
                raise self._refuse(what, at)
        if end == len(text) or grammar.HALF_ESCAPE.fullmatch(text, end):
            return end
        if text[end] == '"':
            self._string_ends()
            return past(grammar.SPACE, text, end + 1)
        if text[end] != "\\":
            what = "a control character in a string must be escaped"
        elif grammar.SURROGATE.match(text, end):
            what = "half of a surrogate pair stands alone"
        else:
            what = "JSON has no such escape"
        raise self._refuse(what, end)

    def _after(self, text: str, at: int) -> int:
        if text[at] != ",":
            return self._closes(text, at)
        in_object = self._closers[-1] == "}"
        self._state = BodyParser._key if in_object else BodyParser._items
        return past(grammar.SPACE, text, at + 1)

    def _end(self, text: str, at: int) -> int:
        raise self._unexpected("nothing more", text, at)

    # Actions.

    def _whole_values(
        self, text: str, at: int, *, many: bool = False
    ) -> tuple[list[Any], int] | None:
        """
        What `whole_values` finds, if it is worth while to look.
        """
        # Where the keys may be too many, they are looked at one by one.
        if self._misses == MISSES or self._key_room < KEY_COST * (len(text) - at):
            return None
        whole = whole_values(text, at, DEPTH - len(self._closers), many=many)
        self._misses += whole is None
        return whole

    def _opens(self, text: str, at: int) -> int:
        """
        Open the object that begins here, or this array and all that follow at once.
        """
        if text[at] == "{":
            end = past(grammar.SPACE, text, at + 1)
            self._closers.append("}")
            self._keys.append(set())
            self._state = BodyParser._first_member
        else:
            end = past(grammar.OPENERS, text, at)
            self._closers += "]" * text.count("[", at, end)
            self._state = BodyParser._first_item
        if len(self._closers) > DEPTH:
            raise self._refuse(f"more than {DEPTH} levels stand in one another", at)
        return end

    def _closes(self, text: str, at: int) -> int:
        """
        Close all arrays and objects that end here; there must be one.
        """
        end = past(grammar.CLOSERS, text, at)
        for place, closer in enumerate(text[at:end] or text[at], at):
            if closer in grammar.BLANKS:
                continue
            if closer != self._closers[-1]:
                raise self._unexpected(f"a comma or {self._closers[-1]}", text, place)
            if self._closers.pop() == "}":
                keys = self._keys.pop()
                self._key_room += KEY_COST * len(keys) + sum(map(len, keys))
            if not self._closers:
                self._state = BodyParser._end
                return past(grammar.SPACE, text, place + 1)
        self._state = BodyParser._after
        return end

    def _add_key(self, key: str, at: int) -> None:
        """
        Add a key to the object; its value may be wanted.
        """
        known = self._keys[-1]
        if key in known:
            raise self._refuse(f"the key {quoted(key)} is a duplicate", at)
        known.add(key)
        self._key_room -= KEY_COST + len(key)
        if self._key_room < 0:
            raise self._refuse("the open objects have too many keys, or too long", at)
        if key in _WANTED and len(self._closers) == 1:
            self._name = key

    def _note(self, value: object) -> None:
        """
        Keep a value that is wanted, or its type if that is the wrong one.
        """
        if self._name is not None:
            self._found[self._name] = _read_as(self._name, value)
            self._name = None

    def _string_begins(self, at: int, *, is_key: bool) -> int:
        """
        Begin a string whose end has not arrived; keep its pieces if they matter.
        """
        self._is_key = is_key
        self._began = self._before + at
        self._text_room = TEXT_LENGTH
        self._pieces = [] if is_key or self._name == "model" else None
        self._state = BodyParser._in_string
        return at + 1

    def _string_ends(self) -> None:
        text = "".join(self._pieces or ())
        if self._is_key:
            self._add_key(unescaped(text), self._began - self._before)
            self._state = BodyParser._colon
        else:
            self._note(unescaped(text))
            self._state = BodyParser._after
