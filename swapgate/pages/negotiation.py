"""
Negotiation: which form of a file a request takes, and whether it has it already. Pure.

After RFC 9110: Accept in 12.5.1, Accept-Encoding in 12.5.3, If-None-Match in 13.1.2.
"""

from collections.abc import Iterator


def takes_html(accept: bytes | None) -> bool:
    """
    Whether this is a browser that opens a page; programs send `*/*`, or nothing.
    """
    return any(name == b"text/html" and q > 0 for name, q in _weighted(accept))


def takes_gzip(accept_encoding: bytes | None) -> bool:
    return any(name == b"gzip" and q > 0 for name, q in _weighted(accept_encoding))


def has_it(if_none_match: bytes | None, etag: bytes) -> bool:
    """
    Whether the client's copy is the present one.
    """
    tags = [tag.strip() for tag in (if_none_match or b"").split(b",")]
    return b"*" in tags or etag in (tag.removeprefix(b"W/") for tag in tags)


def _weighted(value: bytes | None) -> Iterator[tuple[bytes, float]]:
    """
    Each entry of a list with its weight; one that is no number is 0.
    """
    for entry in (value or b"").lower().split(b","):
        name, *parameters = (part.strip() for part in entry.split(b";"))
        weights = [each[2:] for each in parameters if each.startswith(b"q=")]
        try:
            yield name, float(weights[0]) if weights else 1.0
        except ValueError:
            yield name, 0.0
