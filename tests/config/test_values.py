"""
Readers of single values: sizes, durations, counts, words, names and addresses.
"""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.config.ini import BadValue
from swapgate.config.values import (
    Upstream,
    alternatives,
    count,
    duration,
    duration_or_zero,
    entries,
    gigabytes,
    interval,
    name,
    names,
    one_of,
    or_none,
    rate,
    service_name,
    size,
    switch,
    upstream,
)

NOT_A_SIZE = " is not a size; write a number and GB, GiB, MB or MiB, such as 8.2 GB"
NOT_A_DURATION = " is not a duration; write a number, and ms, s, min or h, such as 90 s"


class Mistaken(SynchronousTestCase):
    """
    A table of texts and what is said of them.
    """

    def wrong(self, reading: Callable[[str], object], text: str) -> str:
        """
        What is said of a text that is refused.
        """
        return str(self.assertRaises(BadValue, reading, text))

    def refuses(self, reading: Callable[[str], object], table: dict[str, str]) -> None:
        """
        Each text is refused with exactly these words.
        """
        for text, expected in table.items():
            with self.subTest(text):
                self.assertEqual(self.wrong(reading, text), expected)


class SizeTests(Mistaken):
    """
    Sizes are exact and have units.
    """

    def test_units(self) -> None:
        """
        Decimal and binary units, with or without a space, exact to the byte.
        """
        for text, expected in {
            "8.2 GB": 8_200_000_000,
            "15.2GB": 15_200_000_000,
            "1 GiB": 1_073_741_824,
            "0.5 GiB": 536_870_912,
            "900 MB": 900_000_000,
            "1.5 MiB": 1_572_864,
            "0.000001 MB": 1,
        }.items():
            self.assertEqual(size(text), expected)

    def test_mistakes(self) -> None:
        """
        Anything else is refused.
        """
        self.refuses(
            size,
            {
                "21": "'21' has no unit; write GB, GiB, MB or MiB after it",
                "0 GB": "'0 GB' is less than a byte; write a size above 0",
                "0.0000001 MB": (
                    "'0.0000001 MB' is less than a byte; write a size above 0"
                ),
                "8,2 GB": "'8,2 GB'" + NOT_A_SIZE,
                "8 gb": "'8 gb'" + NOT_A_SIZE,
                "8 TB": "'8 TB'" + NOT_A_SIZE,
                "-8 GB": "'-8 GB'" + NOT_A_SIZE,
                "1e3 GB": "'1e3 GB'" + NOT_A_SIZE,
                "nan GB": "'nan GB'" + NOT_A_SIZE,
                "٣ GB": "'٣ GB'" + NOT_A_SIZE,
                "8 GB 1 MB": "'8 GB 1 MB'" + NOT_A_SIZE,
                "9" * 16 + " GB": f"'{'9' * 16} GB'" + NOT_A_SIZE,
            },
        )

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, 10**9))
    def test_said_and_read_again(self, megabytes: int) -> None:
        """
        A size as messages say it may be written again, and is the same.
        """
        amount = megabytes * 10**6
        self.assertEqual(size(gigabytes(amount)), amount)

    def test_said(self) -> None:
        """
        Whatever unit it was written in, it is said in GB.
        """
        self.assertEqual(gigabytes(size("21.8 GB")), "21.8 GB")
        self.assertEqual(gigabytes(size("900 MB")), "0.9 GB")
        self.assertEqual(gigabytes(size("16 GiB")), "17.179869184 GB")


class RateTests(Mistaken):
    """
    Bytes a second have units.
    """

    def test_units(self) -> None:
        """
        Small ones too.
        """
        for text, expected in {
            "16 KiB/s": 16_384,
            "0.5kB/s": 500,
            "2 MiB/s": 2_097_152,
            "2 MB/s": 2_000_000,
        }.items():
            self.assertEqual(rate(text), expected)

    def test_mistakes(self) -> None:
        """
        Anything else is refused.
        """
        right = (
            "is not a rate above 0; "
            "write a number and kB/s, KiB/s, MB/s or MiB/s, such as 16 KiB/s"
        )
        texts = ("16", "16 KiB", "16 kb/s", "0 KiB/s", "0.0001 kB/s", "-1 MB/s")
        self.refuses(rate, {text: f"{text!r} {right}" for text in texts})


class SwitchTests(Mistaken):
    """
    Yes or no, and nothing that may be meant so.
    """

    def test_both(self) -> None:
        """
        Two words.
        """
        self.assertIs(switch("yes"), True)
        self.assertIs(switch("no"), False)

    def test_mistakes(self) -> None:
        """
        Anything else is refused.
        """
        self.refuses(
            switch,
            {
                text: f"{text!r} is neither yes nor no; write one of them"
                for text in ("true", "1", "Yes", "")
            },
        )


class WordTests(Mistaken):
    """
    One of some words, names, and lists of them.
    """

    def test_alternatives(self) -> None:
        """
        As a sentence lists them.
        """
        for words, said in (("a", "a"), ("ab", "a or b"), ("abc", "a, b or c")):
            self.assertEqual(alternatives(words), said)

    def test_one_of(self) -> None:
        """
        The word, or None for "none" where that is one; else a word that is near.
        """
        self.assertEqual(one_of("text", "json")("json"), "json")
        self.assertIsNone(one_of("reasoning", "none")("none"))
        self.refuses(
            one_of("text", "json"),
            {
                "none": "'none' is unknown; write text or json",
                "jsn": "'jsn' is unknown; did you mean json? write text or json",
            },
        )

    def test_entries(self) -> None:
        """
        Between commas or line ends.
        """
        self.assertEqual(entries(" a b , c\n\nd\n"), ["a b", "c", "d"])
        self.assertEqual(entries("a,,b"), ["a", "", "b"])

    def test_names(self) -> None:
        """
        All of a name shows; its ends are stripped.
        """
        self.assertEqual(name("  Qwen  2.5 $"), "Qwen  2.5 $")
        self.assertEqual(names("Ünï , b;c\n 100%"), ("Ünï", "b;c", "100%"))
        empty = "has an empty name; write what clients send as model"
        hidden = "'x\\ty' has characters that do not show; take them out"
        self.refuses(name, {" ": empty, "x\ty": hidden})
        self.refuses(names, {"x,,y": empty})

    def test_service_name(self) -> None:
        """
        One word that no tool takes for an option.
        """
        self.assertEqual(service_name("llama@1.service"), "llama@1.service")
        wrong = ("--now", "a b", "é")
        self.refuses(
            service_name,
            {text: f"{text!r} is no service's name; write one word" for text in wrong},
        )


class CountTests(Mistaken):
    """
    How many.
    """

    def test_counts(self) -> None:
        """
        One or more, or no limit.
        """
        for text, number in (("1", 1), ("4096", 4096), ("007", 7)):
            self.assertEqual((count(text), or_none(count)(text)), (number, number))
        self.assertIsNone(or_none(count)("none"))

    def test_mistakes(self) -> None:
        """
        None at all would let no request in.
        """
        texts = ("0", "-1", "1.5", "many", "1e3", "9" * 10)
        said = {
            text: f"{text!r} is no number of things; write 1 or more" for text in texts
        }
        self.refuses(count, said)
        for text, what in said.items():
            self.refuses(or_none(count), {text: f"{what}, or none for no limit"})


class DurationTests(Mistaken):
    """
    Durations are above zero, and finite.
    """

    def test_units(self) -> None:
        """
        Seconds unless a unit says otherwise, the nearest float to what is written.
        """
        for text, expected in {
            "200 ms": 0.2,
            "15": 15.0,
            "0.3": 0.3,
            "10 s": 10.0,
            "3min": 180.0,
            "1.5 h": 5400.0,
        }.items():
            self.assertEqual(duration(text), expected)
            self.assertEqual(or_none(duration)(text), expected)
            self.assertEqual(duration_or_zero(text), expected)
        self.assertEqual(duration_or_zero("0"), 0.0)

    def test_none(self) -> None:
        """
        No limit, for those that have none.
        """
        self.assertIsNone(or_none(duration)("none"))

    def test_mistakes(self) -> None:
        """
        Anything else is refused.
        """
        self.refuses(
            duration,
            {
                "0": "'0' is no time at all; write a duration above 0",
                "0.0 ms": "'0.0 ms' is no time at all; write a duration above 0",
                "-1": "'-1'" + NOT_A_DURATION,
                "inf": "'inf'" + NOT_A_DURATION,
                "1e9": "'1e9'" + NOT_A_DURATION,
                "none": "'none'" + NOT_A_DURATION,
                "5 m": "'5 m'" + NOT_A_DURATION,
                "1 min 5 s": "'1 min 5 s'" + NOT_A_DURATION,
                "9" * 400: f"'{'9' * 400}'" + NOT_A_DURATION,
            },
        )
        self.refuses(
            or_none(duration),
            {
                "0": (
                    "'0' is no time at all; write a duration above 0, "
                    "or none for no limit"
                ),
                "never": "'never'" + NOT_A_DURATION + ", or none for no limit",
            },
        )

    def test_interval(self) -> None:
        """
        From 10 ms to a minute, both included.
        """
        self.assertEqual(interval("10 ms"), 0.01)
        self.assertEqual(interval("1 min"), 60.0)
        self.refuses(
            interval,
            {
                "9 ms": "'9 ms' is out of range; write 10 ms to 60 s",
                "61 s": "'61 s' is out of range; write 10 ms to 60 s",
                "0": "'0' is no time at all; write a duration above 0",
            },
        )

    @settings(max_examples=50, deadline=None)
    @given(
        st.decimals("0.000000001", 10**9, allow_nan=False, places=9),
        st.sampled_from(["", " s"]),
    )
    def test_as_python_reads_it(self, number: object, unit: str) -> None:
        """
        Seconds are the float that Python would make of the same digits.
        """
        self.assertEqual(duration(f"{number:f}{unit}"), float(f"{number:f}"))


class UpstreamTests(Mistaken):
    """
    Addresses: scheme, host and port, and nothing else.
    """

    def test_addresses(self) -> None:
        """
        Read, then written as requests need them.
        """
        for text, scheme, host, port, netloc in (
            ("http://127.0.0.1:8081", "http", "127.0.0.1", 8081, "127.0.0.1:8081"),
            ("http://LocalHost:1/", "http", "localhost", 1, "localhost:1"),
            ("http://[::1]:65535", "http", "::1", 65535, "[::1]:65535"),
            ("http://example.net", "http", "example.net", 80, "example.net:80"),
            ("https://a-b.c_d", "https", "a-b.c_d", 443, "a-b.c_d:443"),
        ):
            with self.subTest(text):
                address = upstream(text)
                self.assertEqual(address, Upstream(scheme=scheme, host=host, port=port))
                self.assertEqual(address.netloc, netloc)
                self.assertEqual(address.url, f"{scheme}://{netloc}")
                self.assertEqual(upstream(address.url), address)

    def test_loopback(self) -> None:
        """
        Only what is this machine for sure.
        """
        for host, expected in {
            "127.0.0.1": True,
            "127.8.0.1": True,
            "::1": True,
            "localhost": True,
            "0.0.0.0": False,
            "192.168.1.2": False,
            "::": False,
            "localhost.example.net": False,
        }.items():
            with self.subTest(host):
                address = Upstream(scheme="http", host=host, port=1)
                self.assertIs(address.loopback, expected)

    def test_mistakes(self) -> None:
        """
        What goes beyond host and port is refused; secrets are not repeated.
        """
        right = "; write http://HOST:PORT"
        secret = "has a user or password before the host" + right
        self.refuses(
            upstream,
            {
                "8081": "'8081' is neither http:// nor https://" + right,
                "localhost:81": (
                    "'localhost:81' is neither http:// nor https://" + right
                ),
                "ftp://h:1": "'ftp://h:1' is neither http:// nor https://" + right,
                "http://h:1 x": "'http://h:1 x' is not an address" + right,
                "http://h:1\nx": "'http://h:1\\nx' is not an address" + right,
                "http:\\h": "'http:\\\\h' is not an address" + right,
                "http://h:x": "'http://h:x' is not an address" + right,
                "http://h:65536": "'http://h:65536' is not an address" + right,
                "http://[::g]:1": "'http://[::g]:1' is not an address" + right,
                "http://[::1": "'http://[::1' is not an address" + right,
                "http://me:pw@h:1": secret,
                "ftp://pw@h:1": secret,
                "http://h:1/v1": (
                    "'http://h:1/v1' has more than a host and a port" + right
                ),
                "http://h:1?": "'http://h:1?' has more than a host and a port" + right,
                "http://h:1/#": (
                    "'http://h:1/#' has more than a host and a port" + right
                ),
                "http://:1": "'http://:1' has no proper host" + right,
                "http://a%41:1": "'http://a%41:1' has no proper host" + right,
                "http://-:1": "'http://-:1' has no proper host" + right,
                "http://[fe80::1%25lo]:1": (
                    "'http://[fe80::1%25lo]:1' has no proper host" + right
                ),
                "http://h:0": "'http://h:0' has port 0; write the port it listens on",
            },
        )
