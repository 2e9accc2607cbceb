"""
Readers of single values: text -> a size, duration, count, address, name; or `BadValue`.

1. Numbers are read as fractions, so that a size is exact to the byte.
2. A user or password in an address is never repeated in a message.
"""

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from attrs import field, frozen

from swapgate.config.ini import BadValue, nearest

T = TypeVar("T")

# So many digits are enough for anything, and never infinite.
_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,9})?)"
_SIZE = re.compile(rf"{_NUMBER} *(GB|GiB|MB|MiB)")
_BYTES = {"GB": 10**9, "GiB": 2**30, "MB": 10**6, "MiB": 2**20}
_RATE = re.compile(rf"{_NUMBER} *(MB|MiB|kB|KiB)/s")
_BYTES_A_SECOND = {**_BYTES, "kB": 10**3, "KiB": 2**10}
_DURATION = re.compile(rf"{_NUMBER} *(ms|s|min|h|)")
_MILLISECONDS = {"ms": 1, "s": 1000, "": 1000, "min": 60_000, "h": 3_600_000}
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def size(text: str) -> int:
    """
    Bytes, at least one; the unit must be there: "8.2 GB".
    """
    if re.fullmatch(_NUMBER, text):
        raise BadValue(f"{text!r} has no unit; write GB, GiB, MB or MiB after it")
    found = _SIZE.fullmatch(text)
    if found is None:
        raise BadValue(
            f"{text!r} is not a size; "
            "write a number and GB, GiB, MB or MiB, such as 8.2 GB"
        )
    result = int(Fraction(found[1]) * _BYTES[found[2]])
    if result < 1:
        raise BadValue(f"{text!r} is less than a byte; write a size above 0")
    return result


def rate(text: str) -> int:
    """
    Bytes a second, at least one.
    """
    found = _RATE.fullmatch(text)
    result = int(Fraction(found[1]) * _BYTES_A_SECOND[found[2]]) if found else 0
    if result < 1:
        raise BadValue(
            f"{text!r} is not a rate above 0; "
            "write a number and kB/s, KiB/s, MB/s or MiB/s, such as 16 KiB/s"
        )
    return result


def duration(text: str) -> float:
    """
    Seconds, more than none; a bare number is seconds.
    """
    result = duration_or_zero(text)
    if result <= 0:
        raise BadValue(f"{text!r} is no time at all; write a duration above 0")
    return result


def duration_or_zero(text: str) -> float:
    """
    Seconds, where 0 has a meaning too.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadValue(
            f"{text!r} is not a duration; "
            "write a number, and ms, s, min or h, such as 90 s"
        )
    return float(Fraction(found[1]) * _MILLISECONDS[found[2]] / 1000)


def count(text: str) -> int:
    """
    How many, at least one.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise BadValue(f"{text!r} is no number of things; write 1 or more")
    return int(text)


def or_none(reading: Callable[[str], T]) -> Callable[[str], T | None]:
    """
    A reader that takes the word "none", too: no limit.
    """

    def limit(text: str) -> T | None:
        if text == "none":
            return None
        try:
            return reading(text)
        except BadValue as error:
            raise BadValue(f"{error}, or none for no limit") from None

    return limit


def switch(text: str) -> bool:
    """
    Yes or no.
    """
    if text not in ("yes", "no"):
        raise BadValue(f"{text!r} is neither yes nor no; write one of them")
    return text == "yes"


def alternatives(words: Iterable[str]) -> str:
    """
    Words as a message lists them: a, b or c.
    """
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def one_of(*words: str) -> Callable[[str], str | None]:
    """
    A reader of one of these words; "none", where it is among them, is None.
    """

    def reading(text: str) -> str | None:
        if text not in words:
            raise BadValue(
                f"{text!r} is unknown; {nearest(text, words)}write "
                f"{alternatives(words)}"
            )
        return None if text == "none" else text

    return reading


def entries(text: str) -> list[str]:
    """
    What stands between commas or line ends.
    """
    return re.split(r"\s*[,\n]\s*", text.strip())


def name(text: str) -> str:
    """
    What clients may send as `model`: compared as it is sent, so all of it must show.
    """
    stripped = text.strip()
    if not stripped:
        raise BadValue("has an empty name; write what clients send as model")
    if not stripped.isprintable():
        raise BadValue(f"{stripped!r} has characters that do not show; take them out")
    return stripped


def names(text: str) -> tuple[str, ...]:
    """
    Names between commas or line ends.
    """
    return tuple(map(name, entries(text)))


def service_name(text: str) -> str:
    """
    A name in a service manager: one word, and never an option of its tool.
    """
    if text.startswith("-") or not re.fullmatch(r"[!-~]+", text):
        raise BadValue(f"{text!r} is no service's name; write one word")
    return text


def interval(text: str) -> float:
    """
    Seconds between two polls: neither a busy loop nor as good as never.
    """
    result = duration(text)
    if not 0.01 <= result <= 60:
        raise BadValue(f"{text!r} is out of range; write 10 ms to 60 s")
    return result


def gigabytes(amount: int) -> str:
    """
    A size as messages say it, all in one unit so that two can be compared.
    """
    return f"{amount / 10**9:.12g} GB"


def is_loopback(host: str) -> bool:
    """
    Whether this name or address is surely this machine's own.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@frozen(kw_only=True)
class Upstream:
    """
    The address of a daemon, `http://127.0.0.1:8081`, and the key that it asks for.
    """

    scheme: str
    host: str
    port: int
    api_key: str | None = field(default=None, repr=False)

    @property
    def netloc(self) -> str:
        """
        Host and port as a URL writes them, IPv6 in brackets.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """
        The address without a final slash: a request's path can follow.
        """
        return f"{self.scheme}://{self.netloc}"

    @property
    def loopback(self) -> bool:
        """
        Whether this is surely this machine, out of reach of others.
        """
        return is_loopback(self.host)


def upstream(text: str) -> Upstream:
    """
    A URL of scheme, host and port alone.
    """
    right = "write http://HOST:PORT"
    if "@" in text:
        # What stands before the @ may be a password: it is not repeated.
        raise BadValue(f"has a user or password before the host; {right}")
    if not text.isprintable() or " " in text or "\\" in text:
        raise BadValue(f"{text!r} is not an address; {right}")
    try:
        url = urlsplit(text)
        port, host = url.port, url.hostname or ""
        if ":" in host:
            ip_address(host)
    except ValueError:
        raise BadValue(f"{text!r} is not an address; {right}") from None
    if url.scheme not in ("http", "https"):
        raise BadValue(f"{text!r} is neither http:// nor https://; {right}")
    if url.path not in ("", "/") or "?" in text or "#" in text:
        raise BadValue(f"{text!r} has more than a host and a port; {right}")
    # An IPv6 zone ("%eth0") is not for URLs.
    if "%" in host or not (":" in host or _HOST_NAME.fullmatch(host)):
        raise BadValue(f"{text!r} has no proper host; {right}")
    if port == 0:
        raise BadValue(f"{text!r} has port 0; write the port it listens on")
    if port is None:
        port = 443 if url.scheme == "https" else 80
    return Upstream(scheme=url.scheme, host=host, port=port)
