"""
Page files: their addresses, forms and names; and the package's own.
"""

import gzip
import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.pages.files import ADDRESSES, page_files, prepare

CONTENTS = {
    "chat.html": b'<script type="module" src="/pages/chat.js"></script>',
    "chat.js": b'import "./dom.js";\nimport {\n  a,\n  b,\n} from "./a-b.js";\n',
    "dom.js": b'import { x } from "./chat.js";\nconst y = "./no.js";\n',
    "a-b.js": b"",
    "style.css": b"p {}",
    "icon.svg": b"<svg/>",
}
# What may be served in all, compressed.
WEIGHT = 100_000


class PrepareTests(SynchronousTestCase):
    """
    Of contents given here.
    """

    def setUp(self) -> None:
        self.files = prepare(CONTENTS)
        [self.versioned] = [
            path for path in self.files if re.fullmatch(r"/pages/\w{16}/chat\.js", path)
        ]
        self.version = self.versioned.split("/")[2]

    def test_addresses(self) -> None:
        """
        A page has its own address alone; other files have two.
        """
        names = ("chat.js", "dom.js", "a-b.js", "style.css", "icon.svg")
        expected = {"/", *(f"/pages/{name}" for name in names)}
        expected |= {f"/pages/{self.version}/{name}" for name in names}
        self.assertEqual(set(self.files), expected)
        for path, file in self.files.items():
            self.assertEqual(file.is_page, path == "/")
            self.assertEqual(file.lasting, self.version in path)

    def test_types(self) -> None:
        for path, expected in {
            "/": b"text/html; charset=utf-8",
            "/pages/chat.js": b"text/javascript; charset=utf-8",
            "/pages/style.css": b"text/css; charset=utf-8",
            "/pages/icon.svg": b"image/svg+xml",
        }.items():
            self.assertEqual(self.files[path].content_type, expected)

    def test_links(self) -> None:
        """
        A page refers to what lasts; modules find each other by relative names.
        """
        self.assertIn(b'src="%b"' % self.versioned.encode(), self.files["/"].plain)
        self.assertEqual(self.files[self.versioned].plain, CONTENTS["chat.js"])

    def test_modules(self) -> None:
        """
        All that its script needs are named by the page, once, also where it does so by
        itself; a page without one stays as it is.
        """
        found = re.findall(
            rb'<link rel="modulepreload" href="/pages/\w{16}/([^"]+)">',
            self.files["/"].plain,
        )
        self.assertEqual(found, [b"dom.js", b"a-b.js"])
        page = b'<link href="/pages/dom.js">' + CONTENTS["chat.html"]
        again = prepare(CONTENTS | {"chat.html": page})
        self.assertEqual(again["/"].plain.count(b"/dom.js"), 1)
        files = prepare({"status.html": b"<p>"})
        self.assertEqual(files["/status"].plain, b"<p>")

    def test_forms(self) -> None:
        """
        Compressed it is the same, with another ETag.
        """
        file = self.files["/pages/style.css"]
        self.assertEqual(file.body(compressed=False), b"p {}")
        self.assertEqual(gzip.decompress(file.body(compressed=True)), b"p {}")
        plain, compressed = (file.etag(compressed=each) for each in (False, True))
        self.assertRegex(plain, rb'^"\w{16}"$')
        self.assertEqual(compressed, plain[:-1] + b'-gzip"')

    def test_version(self) -> None:
        """
        The same files have the same, in whatever order; any other byte has another.
        """
        again = prepare(dict(reversed(CONTENTS.items())))
        self.assertEqual(set(again), set(self.files))
        self.assertEqual(again["/"].etag(compressed=True)[1:17], self.etag(self.files))
        for changed in (
            CONTENTS | {"style.css": b"p { }"},
            CONTENTS | {"more.js": b""},
        ):
            self.assertNotIn(self.versioned, prepare(changed))
            self.assertNotEqual(self.etag(prepare(changed)), self.etag(self.files))

    def etag(self, files: object) -> bytes:
        assert isinstance(files, dict)
        found = files["/"].etag(compressed=False)
        assert isinstance(found, bytes)
        return found[1:17]


class OwnTests(SynchronousTestCase):
    """
    What the package has.
    """

    def test_all(self) -> None:
        """
        Both pages are there, and each link and import leads to a file.
        """
        files = page_files()
        self.assertLessEqual(set(ADDRESSES.values()), set(files))
        for path, file in files.items():
            found = re.findall(rb'(?:src|href)="(/pages/[^"]+)"', file.plain)
            for link in found if file.is_page else ():
                self.assertIn(link.decode(), files)
            if path.endswith(".js"):
                imported = re.findall(rb'(?:from|import) "\./([^"]+)"', file.plain)
                for name in imported:
                    folder = path.rpartition("/")[0]
                    self.assertIn(f"{folder}/{name.decode()}", files)
                # The page that needs this one names them as well.
                for page in files.values() if file.lasting else ():
                    if page.is_page and f'{path}"'.encode() in page.plain:
                        for name in imported:
                            self.assertIn(b'/%b"' % name, page.plain)

    def test_weight(self) -> None:
        """
        Both pages with all that they load.
        """
        weight = sum(
            len(file.compressed)
            for file in page_files().values()
            if file.is_page or file.lasting
        )
        self.assertLess(weight, WEIGHT)

    def test_nothing_inline(self) -> None:
        """
        The policy would not run it: no inline script, style or handler, and no address
        of another host.
        """
        for path, file in page_files().items():
            if not file.is_page:
                continue
            with self.subTest(path):
                for inline in (
                    rb"<style",
                    rb"<script(?![^>]*\ssrc=)",
                    rb"\sstyle=",
                    rb"\son\w+=",
                    rb"(?:src|href)=\"?(?:https?:)?//",
                ):
                    self.assertNotRegex(file.plain, inline)
