"""
JSON body parser: what it accepts, refuses and finds, however the bytes are cut.
"""

import json
import math
import sys
from collections import Counter
from random import Random
from re import Pattern

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.server import json_body
from swapgate.server import json_grammar as grammar
from swapgate.server.json_body import (
    DEPTH,
    KEY_COST,
    KEY_ROOM,
    TEXT_LENGTH,
    BadJSON,
    BodyFields,
    JSONType,
    StrictReader,
    fields_at_once,
)
from swapgate.server.json_grammar import NUMBER_LENGTH, quoted

# How much is read at a time: as usual, or so little that everything is cut.
SIZES = ((16 * 1024, 64 * 1024), (40, 40), (1, 24))


def read(body: bytes, sizes: tuple[int, int] = SIZES[0]) -> BodyFields:
    """
    A whole body, by the strict reader.
    """
    reader = StrictReader(bytearray(body))
    reader.size, reader.string_size = sizes
    turns = reader.read()
    while True:
        try:
            next(turns)
        except StopIteration as end:
            fields: BodyFields = end.value
            return fields


# The oracle: slow, recursive, and as strict as json.loads can be made.


class Pairs(list[tuple[str, object]]):
    """
    An object with its keys in order, duplicates and all.
    """


def number(text: str) -> float:
    if len(text) > NUMBER_LENGTH or not math.isfinite(float(text)):
        raise ValueError("absurd")
    return float(text)


def constant(text: str) -> object:
    raise ValueError(text)


def inspect(value: object, depth: int = 0) -> None:
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        if depth == DEPTH:
            raise ValueError("deep")
        if isinstance(value, Pairs):
            keys = [key for key, _ in value]
            if len(set(keys)) < len(keys):
                raise ValueError("duplicate")
            for key in keys:
                inspect(key)
            value = [one for _, one in value]
        for one in value:
            inspect(one, depth + 1)


def kind_of(value: object) -> JSONType:
    kinds = {str: JSONType.STRING, bool: JSONType.BOOLEAN, type(None): JSONType.NULL}
    kinds |= {float: JSONType.NUMBER, list: JSONType.ARRAY, Pairs: JSONType.OBJECT}
    return kinds[type(value)]


def oracle(body: bytes) -> BodyFields | None:
    """
    What a strict reader finds, None if it refuses.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=Pairs,
            parse_constant=constant,
            parse_int=number,
            parse_float=number,
        )
        inspect(value)
    except ValueError:
        return None
    if not isinstance(value, Pairs):
        return None
    found = dict(value)
    model, stream = (
        found.get("model", JSONType.ABSENT),
        found.get("stream", JSONType.ABSENT),
    )
    if not isinstance(model, str | JSONType):
        model = kind_of(model)
    if not isinstance(stream, bool | JSONType):
        stream = kind_of(stream)
    return BodyFields(model=model, stream=stream)


# Random JSON, written in random ways.

KEYS = st.sampled_from(["model", "stream", "a", "b", "c", "", "\u00e9", "\U0001f600"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["model", '"', "\\", "\U0001f600", "\ud83d", "\ude00", "\x00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(st.tuples(KEYS | st.text(max_size=3), inner), max_size=5).map(Pairs),
    ),
    max_leaves=25,
)
OBJECTS = st.lists(st.tuples(KEYS, VALUES), max_size=5).map(Pairs)
RANDOMS = st.randoms(use_true_random=False)


def space(random: Random) -> str:
    return random.choice(["", "", "", "", " ", "\n", "\t\r\n "])


def written(value: object, random: Random) -> str:
    """
    This value in JSON, with whitespace and escapes as they come.
    """
    if isinstance(value, str):
        inside = []
        for character in value:
            plain = json.dumps(character, ensure_ascii=False)[1:-1]
            escaped = json.dumps(character)[1:-1]
            lone = "\ud800" <= character <= "\udfff"
            choice = escaped if lone else random.choice([plain, plain, escaped])
            if character.isascii() and random.random() < 0.1:
                choice = f"\\u{ord(character):04{random.choice('xX')}}"
            inside.append(choice)
        text = f'"{"".join(inside)}"'
    elif isinstance(value, Pairs):
        members = (f"{written(k, random)}:{written(v, random)}" for k, v in value)
        text = "{" + (",".join(members) or space(random)) + "}"
    elif isinstance(value, list):
        items = (written(one, random) for one in value)
        text = "[" + (",".join(items) or space(random)) + "]"
    else:
        text = json.dumps(value)
    return space(random) + text + space(random)


def deep(levels: int) -> Pairs:
    """
    An object with arrays in it, so many levels of them.
    """
    value: object = 1
    for _ in range(levels):
        value = [value]
    return Pairs([("a", value)])


SPLICES = [
    *(b'"', b"\\", b",", b":", b"[", b"]", b"{", b"}", b"0", b"1", b"-", b".", b"e"),
    *(b"+", b" ", b"\n", b"\0", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"true", b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 1001, b"9" * 309),
    *(b"\\u", b"\\ud83d", b"\\ude00", b"\\u00", b"\\x", b"\xef\xbb\xbf", b"//", b"'"),
    *(b"[]", b"{}", b'{"a":1}', b'"a":1,', b'"model":"x",', b'"\\u0061":', b"[[1],"),
]


class OracleTests(SynchronousTestCase):
    """
    The reader agrees with the oracle.
    """

    def check(self, body: bytes) -> None:
        fields = oracle(body)
        faults = set()
        for sizes in SIZES:
            if fields is None:
                fault = self.assertRaises(BadJSON, read, body, sizes)
                faults.add(fault.args[0])
            else:
                self.assertEqual(read(body, sizes), fields)
        self.assertIn(fields_at_once(body), (None, fields))
        # In the smallest pieces, all goes token by token. Which of too deep arrays is
        # told depends on what was read at once.
        if not any("levels" in fault for fault in faults):
            self.assertLessEqual(len(faults), 1)

    @settings(max_examples=150)
    @given(OBJECTS | VALUES, RANDOMS)
    @example(deep(DEPTH - 1), Random(0))
    @example(deep(DEPTH), Random(0))
    def test_written(self, value: object, random: Random) -> None:
        """
        Random values, some with duplicate keys or lone surrogates, in random writing.
        """
        text = written(value, random)
        self.check(text.encode("utf-8"))

    @settings(max_examples=250)
    @given(
        OBJECTS,
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(SPLICES)),
            min_size=1,
            max_size=3,
        ),
        RANDOMS,
    )
    def test_mutated(
        self, value: object, edits: list[tuple[float, int, bytes]], random: Random
    ) -> None:
        """
        Bytes cut out of good bodies, and others put in.
        """
        body = written(value, random).encode("utf-8")
        for where, length, splice in edits:
            at = int(where * len(body))
            body = body[:at] + splice + body[at + length :]
        self.check(body)

    @settings(max_examples=150)
    @given(st.text('[]{}:,"a1\\ ', max_size=12))
    @example('{"":[[],1]}')
    def test_soup(self, soup: str) -> None:
        """
        Punctuation in any order.
        """
        self.check(soup.encode())
        self.check(f'{{"a":[{soup}]}}'.encode())
        self.check(f'{{"a":{{{soup}}}}}'.encode())


class FoundTests(SynchronousTestCase):
    """
    What is found at the top level.
    """

    def check(self, body: bytes, fields: BodyFields) -> None:
        for sizes in SIZES:
            self.assertEqual(read(body, sizes), fields)
        large = len(body) > TEXT_LENGTH
        self.assertEqual(fields_at_once(body), None if large else fields)

    def test_model_and_stream(self) -> None:
        """
        A chat request, in any order and any writing.
        """
        fields = BodyFields(model="qwen", stream=True)
        self.check(b'{"model":"qwen","stream":true,"messages":[]}', fields)
        self.check(b' {\n"messages" : [ ] , "stream":true,"model" : "qwen"}\n', fields)
        self.check(b'{"mode\\u006c":"q\\u0077en","stre\\u0061m":true}', fields)

    def test_names_as_they_are(self) -> None:
        """
        Beyond ASCII, escaped or not, the name is the same.
        """
        for name in ("Qwen 2.5", "\u65e5\u672c\u8a9e", "\U0001f600", 'a"b\\c\n'):
            for ascii_only in (True, False):
                body = json.dumps({"model": name}, ensure_ascii=ascii_only)
                self.check(body.encode(), BodyFields(model=name))

    def test_kinds(self) -> None:
        """
        Of values of another kind the kind is kept.
        """
        for text, kind in [
            ("null", JSONType.NULL),
            ("12", JSONType.NUMBER),
            ("-1", JSONType.NUMBER),
            ("[1]", JSONType.ARRAY),
            ('{"model":"a"}', JSONType.OBJECT),
        ]:
            body = f'{{"model":{text},"stream":{text}}}'.encode()
            self.check(body, BodyFields(model=kind, stream=kind))
        self.check(
            b'{"model":true,"stream":false}',
            BodyFields(model=JSONType.BOOLEAN, stream=False),
        )
        self.check(b'{"stream":"yes"}', BodyFields(stream=JSONType.STRING))
        self.check(b"{}", BodyFields(model=JSONType.ABSENT, stream=JSONType.ABSENT))

    def test_only_at_the_top(self) -> None:
        """
        A model further down is not the request's.
        """
        self.check(b'{"a":{"model":"x","b":1},"c":[{"stream":true}]}', BodyFields())

    def test_large_values(self) -> None:
        """
        What does not fit into a piece is read all the same, model and stream too.
        """
        large = "x" * (99_999)
        body = f'{{"a":"{large}","stream":"{large}","model":"m"}}'.encode()
        self.check(body, BodyFields(model="m", stream=JSONType.STRING))
        name = "y" * TEXT_LENGTH
        self.check(f'{{"model":"{name}"}}'.encode(), BodyFields(model=name))
        items = ",".join(["[1,[]]", '"s"', "{}", '{"a":{"b":1,"c":2}}'] * 2000)
        self.check(f'{{"a":[{items}],"model":"m"}}'.encode(), BodyFields(model="m"))


class TurnTests(SynchronousTestCase):
    """
    No turn takes long, whatever the body is.
    """

    def most_looked_at(self, body: bytes) -> int:
        """
        How much is given to C in one turn, at the most.
        """
        looks = Counter[int]()
        turn = 0

        def whole_value(text: str, levels: int) -> object:
            looks[turn] += len(text)
            return grammar.whole_value(text, levels)

        self.patch(json_body, "whole_value", whole_value)
        for turn, _ in enumerate(StrictReader(bytearray(body)).read(), 1):  # noqa: B007
            pass
        return max(looks.values())

    def test_looks_in_vain(self) -> None:
        """
        What begins here and is not here whole is looked at a few times only, however
        many containers are, or stand in one another.
        """
        numbers = b"[{}," + b"1," * 7000 + b"1]"
        deep = b"[" * 120 + b'"' + b"x" * 300 + b'"' + b"]" * 120
        for items in (b"{}," * 2500 + numbers, b",".join([deep] * 100)):
            most = self.most_looked_at(b'{"a":[' + items + b"]}")
            self.assertLess(most, 6 * StrictReader.size)

    def test_looks_again(self) -> None:
        """
        What is too long for a short look is found whole by a later one: going token by
        token takes ten times as long.
        """
        tokens = 0

        def past(pattern: Pattern[bytes], text: bytes, *where: int) -> int:
            nonlocal tokens
            tokens += 1
            return grammar.past(pattern, text, *where)

        self.patch(json_body, "past", past)
        body = b'{"a":[' + b",".join([b"[" * 120 + b"]" * 120] * 1000) + b"]}"
        self.assertEqual(read(body), BodyFields())
        self.assertLess(tokens, len(body) // 5)

    def test_short_strings(self) -> None:
        """
        Nor is all that comes after a short string with an escape in it looked at.
        """
        looked_at, really_inside = 0, grammar.inside

        def inside(text: bytes, at: int, limit: int) -> int:
            nonlocal looked_at
            looked_at += limit - at
            return really_inside(text, at, limit)

        self.patch(grammar, "inside", inside)
        members = b",".join(b'"%x":"\\\\"' % number for number in range(20_000))
        self.assertEqual(read(b"{" + members + b"}"), BodyFields())
        self.assertLess(looked_at, 256 * len(members))

    def test_blanks(self) -> None:
        """
        Blanks without end are read once, in turns, wherever they are.
        """
        read_at: list[int] = []

        def past(pattern: Pattern[bytes], text: bytes, *where: int) -> int:
            end = grammar.past(pattern, text, *where)
            read_at.append(end - where[0])
            return end

        self.patch(json_body, "past", past)
        for shape in (b"%b{}", b"{%b}", b'{"a"%b:1}', b'{"a":%b1}', b"{}%b"):
            for more in (0, 9):
                blanks = b" " * (3 * StrictReader.string_size + more)
                self.assertEqual(read(shape % blanks), BodyFields())
        self.assertLess(max(read_at), 2 * StrictReader.string_size)
        self.assertRaises(BadJSON, read, b"{" + b" " * 2**20)


class RefusedTests(SynchronousTestCase):
    """
    Each fault by its name and place, in one piece and byte by byte.
    """

    def check(self, body: bytes, *words: str) -> None:
        for sizes in SIZES:
            with self.assertRaises(BadJSON) as caught:
                read(body, sizes)
            for word in words:
                self.assertIn(word, caught.exception.args[0])
        self.assertIsNone(fields_at_once(body))

    def test_named_faults(self) -> None:
        """
        The message says what is wrong, and where.
        """
        value = "a value must come here"
        lone = "surrogate"
        for inside, words in {
            b'"a":NaN': ("after 5 characters", "NaN is not JSON"),
            b'"a":-Infinity': ("-Infinity is not JSON",),
            b'"a":True': ("True is not JSON",),
            b'"a":nul': (value,),
            b'"a":': (value,),
            b'"a":01': (value,),
            b'"a":1.': (value,),
            b'"a":+1': (value,),
            b'"a":0x1': (value,),
            b'"a":// one': (value,),
            b"\"a\":'b'": (value,),
            b'"a":[1,]': ("after 8 characters", value),
            b'"a":[,1]': (value,),
            b'"a":1,': ("after 7 characters", "a key in double quotes must come"),
            b'"a":1,,"b":1': ("a key in double quotes",),
            b"a:1": ("a key in double quotes",),
            b'"a" 1': ("a colon must come here",),
            b'"a"': ("a colon must come here",),
            b'"a":1 "b":2': ("after 7 characters", "a comma or }"),
            b'"a":[1 2]': ("a comma or ]",),
            b'"a":[1}': ("a comma or ]",),
            b'"a":[{"b":[]}}': ("a comma or ]",),
            b'"a":1e999': ("must fit into a double",),
            b'"a":[-1e999]': ("must fit into a double",),
            b'"a":' + b"9" * 400: ("must fit into a double",),
            b'"seed":' + b"9" * 5000: (f"{NUMBER_LENGTH} characters at most",),
            b'"a":0.' + b"0" * 999: (f"{NUMBER_LENGTH} characters at most",),
            b'"a":"\n"': ("after 6 characters", "control character"),
            b'"a\x1f":1': ("control character",),
            b'"a":"\\x"': ("no such escape",),
            b'"a":"\\u12"': ("no such escape",),
            b'"a":"\\ud800"': (lone,),
            b'"a":"\\ud800\\n"': (lone,),
            b'"a":"\\ud800\\u0041"': (lone,),
            b'"a":"\\udc00\\ud800"': (lone,),
            b'"\\uDfFf":1': (lone,),
            b'"a":1,"a":2': ("after 7 characters", 'the key "a" is a duplicate'),
            b'"a":[[[[1]]]],"a":[[[[2]]]]': ('"a" is a duplicate',),
            b'"a":1,"\\u0061":2': ("after 7 characters", '"a" is a duplicate'),
            b'"b":{"a":1,"c":2,"a":3}': ("after 18 characters", '"a" is a dup'),
            b'"b":[[[{"a":1,"\\u0061":2}]]]': ('"a" is a duplicate',),
            b'"b":{"a":[[[[1]]]],"c":1,"a":2}': ("after 26 characters", '"a" is a dup'),
            b'"":1,"":2': ('"" is a duplicate',),
            b'"\\n":1,"\\n":2': (r'"\n" is a duplicate',),
            b'"a":1}}': ("nothing more must come here",),
            b'"a":[]}]': ("nothing more must come here",),
            b'"a":1} {': ("nothing more must come here",),
            b'"a":1} ,': ("after 8 characters", "nothing more must come here"),
            b'"a":["\\ud83d\\\\\\ude00"]': ("after 7 characters", lone),
        }.items():
            self.assertIsNone(oracle(b"{" + inside + b"}"))
            self.check(b"{" + inside + b"}", *words)

    def test_the_top_level(self) -> None:
        """
        The body is one object.
        """
        for body in (b"[]", b'"a"', b"1", b"null", b"x"):
            self.check(body, "after 0 characters", "an object")
        self.check(b"{} x", "after 3 characters", "nothing more")
        self.check(b"", "it is empty")
        self.check(b" \r\n\t", "after 4 characters", "it is empty")
        self.check(b"{}\x0c", "nothing more")
        for body in (b"{", b'{"a', b'{"a\\', b'{"a"', b'{"a":', b'{"a":1', b'{"a":[{}'):
            self.check(body, f"after {len(body)} characters", "it ends too early")

    def test_encodings(self) -> None:
        """
        UTF-8 only, without a mark; the message is fit for an answer itself.
        """
        text = '{"model":"m"}'
        self.check(text.encode("utf-8-sig"), "byte order mark")
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32-be"):
            self.check(text.encode(encoding), "UTF-16")
        self.check(b'{"model":"\xff\xfe"}', "must be UTF-8, and after 10 bytes is not")
        self.check(b'{"model":"\xc3"}', "must be UTF-8, and after 10 bytes is not")
        self.check(b'{"a":"\xed\xa0\x80"}', "must be UTF-8")
        self.check(b'{"a":"\xc0\xaf"}', "must be UTF-8")
        self.check(b'{"a":"\xf0\x9f', "must be UTF-8, and after 6 bytes is not")

    def test_depth(self) -> None:
        """
        DEPTH levels are fine, one more is not, whatever the innermost level looks like.
        """
        for opens, closes in [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":1,"b":', b"}")]:
            for core in (
                b"1",
                b"[]",
                b"[1,2]",
                b'{"a":1}',
                b'{"a":1,"b":[1]}',
                b"[{}]",
            ):
                own = 0 if core == b"1" else 2 if core in b'{"a":1,"b":[1]} [{}]' else 1
                for core_levels in {own, 1 if core == b'{"a":1}' else own}:
                    levels = DEPTH - 1 - core_levels
                    good = opens * levels + core + closes * levels
                    self.assertEqual(read(b'{"x":' + good + b"}"), BodyFields())
                    bad = opens + good + closes
                    self.check(b'{"x":' + bad + b"}", "128 levels")
        self.check(b'{"messages":' + b"[" * 20000 + b"}", "128 levels")

    def test_long_keys(self) -> None:
        """
        A key or model name is bounded, and shown shortened.
        """
        long = b"k" * TEXT_LENGTH
        self.assertEqual(read(b'{"' + long + b'":1}'), BodyFields())
        self.check(b'{"' + long + b'k":1}', "65536 characters at most")
        self.check(b'{"model":"' + long + b'k"}', "65536 characters at most")
        twice = b'{"a":1,"' + long + b'":1,"' + long + b'":1}'
        self.check(twice, '"' + "k" * 40 + '"... is a duplicate')

    def test_what_keys_take(self) -> None:
        """
        More than the interpreter needs, as long as their object is open.
        """
        keys = [f"{n:05}" for n in range(1000)]
        needed = sys.getsizeof(set(keys)) + sum(map(sys.getsizeof, keys))
        text = "{" + ",".join(f'"{key}":1' for key in keys) + "}"
        reader = StrictReader(text.encode())
        reader.size = len(text) - 9
        self.assertEqual(reader.key_memory, 0)
        taken = [reader.key_memory for _ in reader.read()]
        self.assertGreater(taken[-1], needed - 200)
        self.assertEqual(reader.key_memory, 0)

    def test_too_many_keys(self) -> None:
        """
        What must be remembered is bounded; what is closed is forgotten.
        """
        many = KEY_ROOM // (KEY_COST + 5)
        keys = [f'"{n:05}":1' for n in range(many + 1)]
        for start, end, fits in (("{", "}", many), ('{"a":{', "}}", many - 1)):
            good = start + ",".join(keys[:fits]) + end
            self.assertEqual(read(good.encode()), BodyFields())
            bad = start + ",".join(keys[: fits + 1]) + end
            with self.assertRaises(BadJSON) as caught:
                read(bad.encode())
            self.assertIn("too many keys", caught.exception.args[0])
        objects = ",".join(["{" + ",".join(keys[: many // 3]) + "}"] * 5)
        self.assertEqual(read(f'{{"a":[{objects}]}}'.encode()), BodyFields())

    def test_deep_and_cut(self) -> None:
        """
        What is begun again and again and not whole is found all the same, before a
        fault and where there is hardly room for keys.
        """
        keys = ",".join(f'"{n:05}":1' for n in range((KEY_ROOM - 5000) // 21))
        opens, closes = '{"a":[1,' * 20, "]}" * 20
        items = '{"b":"c","d":[[[]]]},' * 99
        for before in ("", keys + ","):
            good = f'{{{before}"k":{opens}{items}'
            rest = f'1{closes},"model":"m"}}'
            fields = read((good + rest).encode())
            self.assertEqual(fields, BodyFields(model="m"))
            with self.assertRaises(BadJSON) as caught:
                read(f'{good}{{"b":1,"b":2}},{rest}'.encode())
            place = len(good) + 7
            self.assertIn(f"after {place} characters", caught.exception.args[0])

    def test_silent_about_content(self) -> None:
        """
        A message quotes no value, and of a key nothing that could hurt a terminal.
        """
        for body in (b'{"a":"secret\x01"}', b'{"a":secret}', b'{"a":"\\ud800secret"}'):
            with self.assertRaises(BadJSON) as caught:
                read(body)
            self.assertNotIn("secret", caught.exception.args[0])
        self.assertEqual(quoted("\x1b[2J\u202e\n"), r'"\u001b[2J\u202e\n"')
        self.assertEqual(quoted("x" * 41), '"' + "x" * 40 + '"...')


class AcceptedTests(SynchronousTestCase):
    """
    What is unusual and yet JSON.
    """

    def test_numbers(self) -> None:
        """
        Numbers at the edge of what a double and the grammar hold.
        """
        for text in [
            *("0", "-0", "1E5", "1e+5", "1.5e-5", "1.7976931348623157e308", "1e-999"),
            *("9" * 308, "0e999", "0." + "1" * (NUMBER_LENGTH - 2)),
        ]:
            for body in (f'{{"a":{text}}}', f'{{"a":[{text} , {text}]}}'):
                for sizes in SIZES:
                    self.assertEqual(read(body.encode(), sizes), BodyFields())

    def test_keys_that_only_look_alike(self) -> None:
        """
        The same key in different objects, or another one, is no duplicate.
        """
        for body in (
            b'{"a":{"a":{"a":1}},"A":{"a":1}}',
            b'{"b":[{"a":1},{"a":1}],"\\u0041":1,"a":1}',
            b'{"a":1,"a ":2,"\\\\u0061":3}',
        ):
            for sizes in SIZES:
                self.assertEqual(read(body, sizes), BodyFields())

    def test_strings(self) -> None:
        """
        Escapes and pairs, cut anywhere.
        """
        body = rb'{"\ud83d\ude00":"\ud83d\ude00\"\\\/\b\f\n\r\t\u00e9\uFFFF\u0000"}'
        for n in range(24, len(body)):
            self.assertEqual(read(body, (n, n)), BodyFields())

    def test_long_strings(self) -> None:
        """
        The same, with characters that are cut.
        """
        for text in ("\u00e9", "\u20ac\\n", "\U0001f600\\ud83d\\ude00", 'x\\"\u20ac'):
            body = f'{{"a":"{text * 9}","model":"{text * 9}"}}'.encode()
            model = json.loads(body)["model"]
            for n in range(24, len(body)):
                self.assertEqual(read(body, (n, n)), BodyFields(model=model))
