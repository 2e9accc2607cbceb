"""
Page files: read from the package once, compressed, and named by their content.

1. HTML is served at its own address and asked for anew each time (an ETag answers).
2. All else is served at /pages/NAME, and at /pages/VERSION/NAME for good: HTML refers
   to that. VERSION is of all files, so what is loaded together is of one version.
3. A page names all modules that its script imports, and theirs: a browser asks for them
   together, and not for one after it has read another.
"""

import gzip
import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from attrs import frozen

#: Where each page is.
ADDRESSES: Final = {"chat.html": "/", "status.html": "/status"}
_FOLDER: Final = "/pages/"
_TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_SCRIPT: Final = re.compile(rb'<script type="module" src="/pages/([^"]+)">')
_IMPORT: Final = re.compile(rb'^(?:import|\}) ?[^"]*"\./([^"]+)"', re.MULTILINE)
_LEVEL: Final = 9
_HEX_DIGITS: Final = 16


@frozen(kw_only=True)
class PageFile:
    """
    One file in both of its forms, each with an ETag of its own (RFC 9110, 8.8.3).

    :param lasting: what is at this address never changes.
    """

    content_type: bytes
    plain: bytes
    compressed: bytes
    digest: str
    lasting: bool

    def body(self, *, compressed: bool) -> bytes:
        return self.compressed if compressed else self.plain

    def etag(self, *, compressed: bool) -> bytes:
        return f'"{self.digest}{"-gzip" if compressed else ""}"'.encode()

    @property
    def is_page(self) -> bool:
        return self.content_type.startswith(b"text/html")


def prepare(contents: Mapping[str, bytes]) -> Mapping[str, PageFile]:
    """
    The files by address.

    :param contents: by the name of the file.
    """
    every = b"".join(
        b"%b %d %b" % (name.encode(), len(contents[name]), contents[name])
        for name in sorted(contents)
    )
    version = _digest(every)
    found = {}
    for name, content in contents.items():
        if name in ADDRESSES:
            page = _with_preloads(content, contents)
            links = page.replace(b'"/pages/', b'"/pages/%b/' % version.encode())
            found[ADDRESSES[name]] = _file(name, links, lasting=False)
        else:
            found[_FOLDER + name] = _file(name, content, lasting=False)
            found[f"{_FOLDER}{version}/{name}"] = _file(name, content, lasting=True)
    return found


def _with_preloads(page: bytes, contents: Mapping[str, bytes]) -> bytes:
    """
    The page with a link for each module that its script needs, unless it has one.
    """
    script = _SCRIPT.search(page)
    if script is None:
        return page
    first = script[1].decode()
    needed = [first]
    for name in needed:
        # What this imports is looked at, too, as the list grows.
        imported = (found.decode() for found in _IMPORT.findall(contents[name]))
        needed += [each for each in dict.fromkeys(imported) if each not in needed]
    links = b"".join(
        b'<link rel="modulepreload" href="/pages/%b">\n' % name.encode()
        for name in needed[1:]
        if b'"/pages/%b"' % name.encode() not in page
    )
    return page[: script.start()] + links + page[script.start() :]


def _file(name: str, content: bytes, *, lasting: bool) -> PageFile:
    return PageFile(
        content_type=_TYPES[PurePosixPath(name).suffix],
        plain=content,
        compressed=gzip.compress(content, _LEVEL, mtime=0),
        digest=_digest(content),
        lasting=lasting,
    )


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:_HEX_DIGITS]


@cache
def page_files() -> Mapping[str, PageFile]:
    """
    The package's own.
    """
    folder = files(__package__) / "static"
    return prepare(
        {
            each.name: each.read_bytes()
            for each in folder.iterdir()
            if PurePosixPath(each.name).suffix in _TYPES
        }
    )
