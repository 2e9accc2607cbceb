"""
JSON body: a strict reader that finds the fields `model` and `stream`. Pure.

1. All of RFC 8259 is checked, at any depth, and what parsers read differently is
   refused, or it would get past the first of them: duplicate keys (escaped ones too),
   lone surrogates, numbers that no double holds.
2. A small body is read in C, in one go. What is large or at fault goes token by token,
   in turns: a body may be 20 MB of `[],[],[],`. What of it is short, many items of an
   array or the inside of a string, is read in C as well. No fault is found by C alone.
"""

import codecs
import json
from collections.abc import Generator
from enum import Enum
from types import NoneType
from typing import Any, Final

from attrs import frozen

from swapgate.server import json_grammar as grammar
from swapgate.server.json_grammar import (
    NUMBER_LENGTH,
    Bytes,
    past,
    quoted,
    whole_value,
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


# How long most strings are, at the most.
_MOST_STRINGS: Final = 1024
_SHORTEST_REACH: Final = 64
# How many bytes are looked at in vain for each one that is read; what a look costs
# besides.
_VAIN: Final = 2
_LOOK_COST: Final = 256


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


def fields_at_once(body: Bytes) -> BodyFields | None:
    """
    The fields of a small body, read in C; None where only the strict reader can tell
    what they are, or what is wrong.
    """
    if len(body) > TEXT_LENGTH:
        return None
    try:
        text = body.decode().strip(grammar.BLANKS)
    except UnicodeDecodeError:
        return None
    whole = whole_value(text, DEPTH) if text.startswith("{") else None
    if whole is None or whole[1] < len(text):
        return None
    members = whole[0]
    return BodyFields(
        **{name: _noted(name, members[name]) for name in _WANTED if name in members}
    )


def _noted(name: str, value: object) -> Any:
    """
    The value of a wanted field, or its type if that is the wrong one.
    """
    found = _TYPES[type(value)]
    return value if found is _WANTED[name] else found


class Next(Enum):
    """
    What a container goes on with.
    """

    KEY = "a key"
    VALUE = "a value"
    COMMA = "a comma, or its end"


class StrictReader:
    """
    Reads one body, in which nothing changes meanwhile.
    """

    #: How many bytes are read in one turn; and of a string, which C reads fast.
    size, string_size = 16 * 1024, 64 * 1024

    def __init__(self, body: Bytes) -> None:
        self._body = body
        # Places in it, and how many characters there are before each.
        self._marks = [(0, 0)]
        # Where pieces begin that are nothing but blanks.
        self._blank: set[int] = set()
        self._next = Next.KEY
        # The closers of the open containers, and the keys of the objects among them.
        self._closers: list[bytes] = []
        self._keys: list[set[str]] = []
        self._key_room = KEY_ROOM
        # How far ahead something whole is looked for.
        self._reach = _SHORTEST_REACH
        # How much was looked at where there was nothing whole.
        self._in_vain = 0
        # The wanted key whose value comes next, and the values found.
        self._name: str | None = None
        self._found: dict[str, Any] = {}

    @property
    def key_memory(self) -> int:
        """
        How many bytes the keys of all open objects take; a short one some 110.
        """
        return _KEY_BYTES * (KEY_ROOM - self._key_room)

    def read(self) -> Generator[None, None, BodyFields]:
        """
        The fields, after some turns, each of which is short.

        :raises BadJSON: for the first fault.
        """
        yield from self._check_encoding()
        body, at = self._body, self._past_space(0)
        if at == len(body):
            raise self._refuse("it is empty", at)
        if body.startswith(codecs.BOM_UTF8, at):
            raise self._refuse("a byte order mark is not accepted", at)
        if body[at : at + 1] != b"{":
            raise self._unexpected("an object, beginning with {,", at)
        at = turn = self._open(at)
        while self._closers:
            if at + self._in_vain - turn >= self.size:
                turn = at + self._in_vain
                yield
            if self._next is Next.KEY:
                at = yield from self._read_key(at)
            elif self._next is Next.VALUE:
                at = yield from self._read_value(at)
            else:
                at = self._go_on(at)
        if at < len(body):
            raise self._unexpected("nothing more", at)
        return BodyFields(**self._found)

    def _check_encoding(self) -> Generator[None, None, None]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        place = characters = 0
        while place < len(self._body):
            piece = self._body[place : place + self.string_size]
            if not piece.strip(grammar.BLANKS.encode()):
                self._blank.add(place)
            undecoded = len(decoder.getstate()[0])
            try:
                final = place + len(piece) == len(self._body)
                characters += len(decoder.decode(piece, final))
            except UnicodeDecodeError as error:
                place += error.start - undecoded
                hint = "" if place else " (UTF-16 and UTF-32 are not accepted)"
                raise BadJSON(
                    f"the body must be UTF-8, and after {place} bytes is not{hint}"
                ) from None
            place += len(piece)
            self._marks.append((place - len(decoder.getstate()[0]), characters))
            yield

    # What may come next. Each begins where that does, and returns where the rest does.

    def _read_key(self, at: int) -> Generator[None, None, int]:
        if self._first(at) != b'"':
            raise self._unexpected("a key in double quotes", at)
        end = yield from self._read_string(at)
        self._add_key(self._text(at, end), at)
        at = self._past_space(end)
        if self._first(at) != b":":
            raise self._unexpected("a colon", at)
        self._next = Next.VALUE
        return self._past_space(at + 1)

    def _read_value(self, at: int) -> Generator[None, None, int]:
        first = self._first(at)
        if self._closers[-1] == b"]" and (end := self._items(at)):
            return self._ends(end)
        if first in b"{[":
            if whole := self._whole(at):
                self._note(whole[0])
                return self._ends(whole[1])
            self._note({} if first == b"{" else [])
            return self._open(at)
        if first == b'"':
            end = yield from self._read_string(at)
            self._note(self._text(at, end) if self._name == "model" else "")
        else:
            end = past(grammar.WORD, self._body, at, at + NUMBER_LENGTH + 1)
            if end == len(self._body):
                raise self._refuse("it ends too early", end)
            word = self._body[at:end].decode()
            if fault := word_fault(word):
                raise self._refuse(fault, at)
            self._note(json.loads(word))
        return self._ends(end)

    def _go_on(self, at: int) -> int:
        first, closer = self._first(at), self._closers[-1]
        if first == closer:
            return self._close(at)
        if first != b",":
            raise self._unexpected(f"a comma or {closer.decode()}", at)
        self._next = Next.KEY if closer == b"}" else Next.VALUE
        return self._past_space(at + 1)

    def _read_string(self, at: int) -> Generator[None, None, int]:
        body, end = self._body, at + 1
        # Most end soon, and all that is looked at is copied.
        size = min(_MOST_STRINGS, self.string_size)
        while True:
            at, limit = end, min(end + size, len(self._body))
            end = grammar.inside(body, at, limit)
            if limit == len(body) or end < limit - grammar.LONGEST_ESCAPE:
                break
            size = self.string_size
            yield
        if body[end : end + 1] == b'"':
            return end + 1
        if end == len(body) or grammar.HALF_ESCAPE.fullmatch(body, end):
            raise self._refuse("it ends too early", len(body))
        if body[end : end + 1] != b"\\":
            what = "a control character in a string must be escaped"
        elif grammar.SURROGATE.match(body, end):
            what = "half of a surrogate pair stands alone"
        else:
            what = "JSON has no such escape"
        raise self._refuse(what, end)

    # What is here whole, in C.

    def _whole(self, at: int) -> tuple[Any, int] | None:
        """
        The array or object that begins here, if it is short, and where it ends.
        """
        if not (text := self._ahead(at)):
            return None
        whole = whole_value(text, DEPTH - len(self._closers))
        self._learn(whole is not None)
        return whole and (whole[0], at + len(text[: whole[1]].encode()))

    def _items(self, at: int) -> int | None:
        """
        Where the last of many items ends that begin here.
        """
        if not (text := self._ahead(at)):
            return None
        levels = DEPTH - len(self._closers) + 1
        for separator in ("},", "],", ","):
            end = text.rfind(separator) + len(separator) - 1
            items = f"[{text[:end]}]"
            whole = whole_value(items, levels) if end > 0 else None
            if whole is not None and whole[1] == len(items):
                self._learn(found=True)
                return at + len(text[:end].encode())
        self._learn(found=False)
        return None

    def _ahead(self, at: int) -> str:
        """
        What is looked at in one go; nothing where the keys may be too many, or where
        too much was looked at in vain: many containers may begin here.
        """
        if self._key_room < KEY_COST * self.size or self._in_vain > _VAIN * at:
            return ""
        return self._body[at : at + self._reach].decode(errors="ignore")

    def _learn(self, found: bool) -> None:
        """
        Look less far where there is nothing whole.
        """
        if not found:
            self._in_vain += self._reach + _LOOK_COST
        reach = self._reach * 2 if found else self._reach // 2
        # What is not here in the least reach may be in the largest.
        self._reach = min(reach, self.size) if reach >= _SHORTEST_REACH else self.size

    # Actions.

    def _open(self, at: int) -> int:
        is_object = self._first(at) == b"{"
        self._closers.append(b"}" if is_object else b"]")
        if len(self._closers) > DEPTH:
            raise self._refuse(f"more than {DEPTH} levels stand in one another", at)
        if is_object:
            self._keys.append(set())
        self._next = Next.KEY if is_object else Next.VALUE
        at = self._past_space(at + 1)
        return self._close(at) if self._first(at) == self._closers[-1] else at

    def _close(self, at: int) -> int:
        if self._closers.pop() == b"}":
            keys = self._keys.pop()
            self._key_room += KEY_COST * len(keys) + sum(map(len, keys))
        return self._ends(at + 1)

    def _ends(self, at: int) -> int:
        """
        A value ends here.
        """
        self._next = Next.COMMA
        return self._past_space(at)

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
            self._found[self._name] = _noted(self._name, value)
            self._name = None

    def _text(self, at: int, end: int) -> str:
        """
        What the string that begins and ends here stands for.
        """
        raw = self._body[at + 1 : end - 1].decode()
        if len(raw) > TEXT_LENGTH:
            what = f"keys and model names have {TEXT_LENGTH} characters at most"
            raise self._refuse(what, at)
        return grammar.unescaped(raw)

    def _first(self, at: int) -> bytes | bytearray:
        if at == len(self._body):
            raise self._refuse("it ends too early", at)
        return self._body[at : at + 1]

    def _past_space(self, at: int) -> int:
        """
        Where the blanks that begin here end; 64 MB of them would take long to read.
        """
        size = self.string_size
        while at < len(self._body):
            limit = at - at % size + size
            if at not in self._blank:
                end = past(grammar.SPACE, self._body, at, limit)
                if end < limit:
                    return end
            at = limit
        return len(self._body)

    def _unexpected(self, needed: str, at: int) -> BadJSON:
        """
        The fault of a token in the place of another one.
        """
        what = f"{needed} must come here"
        if self._body[at : at + 1] == b"\0":
            what += ", not a NUL (UTF-16 and UTF-32 are not accepted)"
        return self._refuse(what, at)

    def _refuse(self, what: str, at: int) -> BadJSON:
        start, before = max(mark for mark in self._marks if mark[0] <= at)
        place = before + len(self._body[start:at].decode())
        return BadJSON(f"the body is not JSON after {place} characters: {what}")
