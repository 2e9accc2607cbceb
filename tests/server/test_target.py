"""
Request targets: those that every server reads alike, and the others.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.errors import APIError
from swapgate.server.target import Target, read_model_id, read_target


class TargetTests(SynchronousTestCase):
    """
    Targets: understood alike by everybody, or refused.
    """

    def test_accepted(self) -> None:
        """
        The path is decoded and made normal, and so is what is passed on; the query
        stays as it is.
        """
        for raw, path, passed in (
            (b"/", "/", b"/"),
            (b"/?", "/", b"/?"),
            (b"/v1", "/v1", b"/v1"),
            (b"/v1/", "/v1", b"/v1"),
            (b"/v1/models", "/v1/models", b"/v1/models"),
            (b"/v1/models/", "/v1/models", b"/v1/models"),
            (b"/v1/v1/models", "/v1/models", b"/v1/models"),
            (b"/v1/%761/models/", "/v1/models", b"/v1/models"),
            (b"/v1/a/?b=/../c//d%zz%2f\\", "/v1/a", b"/v1/a?b=/../c//d%zz%2f\\"),
            (b"/%76%31/comp%6Cetions", "/v1/completions", b"/v1/completions"),
            (b"/a%20b/%E6%97%A5", "/a b/\u65e5", b"/a%20b/%E6%97%A5"),
            (b"/a%3fb?c", "/a?b", b"/a%3Fb?c"),
            (b"/a%23b", "/a#b", b"/a%23b"),
            (b"/a...b/..c/.d", "/a...b/..c/.d", b"/a...b/..c/.d"),
            (b"/v1beta/x:go;a=b", "/v1beta/x:go;a=b", b"/v1beta/x:go;a=b"),
        ):
            self.assertEqual(read_target(raw), Target(path, passed), raw)

    def test_refused(self) -> None:
        """
        Each with its own remedy.
        """
        for remedy, targets in {
            "must begin with /": [
                *(b"", b"*", b"v1/models", b"?", b"evil.example:443", b"\\a"),
                b"http://evil.example/v1/models",
            ],
            "visible ASCII": [
                *(b"/a b", b"/a#b", b"/#", b"/a?b#c", b"/\xc3\xa9", b"/a?\xff"),
                *(b"/a\0", b"/a\r\nX: y", b"/a\x7f", b"/a?\t", b"/a\n"),
            ],
            "two hexadecimal digits": [
                *(b"/%", b"/a%2", b"/a%zz", b"/%u0073lots/0", b"/%2?a=b", b"/%+1"),
            ],
            "UTF-8": [b"/%ff", b"/%c0%ae%c0%ae/", b"/%ed%a0%80"],
            "control characters": [b"/%00", b"/a%0d%0ab", b"/%7f", b"/%1b", b"/%C2%85"],
            "escaped form": [
                *(b"/a%2fb", b"/static/..%2f..%2f..%2fetc/passwd", b"/slots%2F0"),
                *(b"/a\\b", b"/a%5cb", b"/%2573lots", b"/%252e%252e/", b"/%2f"),
            ],
            "no //": [b"//", b"//evil.example/", b"/v1//models", b"/v1/models//"],
            "no . or ..": [
                *(b"/.", b"/..", b"/./", b"/../", b"/a/../b", b"/a/./b", b"/a/.."),
                *(b"/%2e", b"/a/%2E%2e/b", b"/a/.%2e", b"/v1/../slots/0"),
            ],
        }.items():
            for raw in targets:
                refusal = self.assertRaises(APIError, read_target, raw)
                self.assertEqual((refusal.status, refusal.code), (400, "bad_path"), raw)
                self.assertIn(remedy, refusal.message, raw)

    def test_model_ids(self) -> None:
        """
        All that comes after /models/, decoded once: a name may hold anything.
        """
        for raw, model_id in (
            (b"/v1/models/a", "a"),
            (b"/models/a?b=%", "a"),
            (b"/v1/v1/models/a", "a"),
            (b"/v1/models/Qwen%202.5", "Qwen 2.5"),
            (b"/v1/models/org/model", "org/model"),
            (b"/v1/models/org%2fmodel", "org/model"),
            (b"/v1/models/a+b%252F%E6%97%A5", "a+b%2F\u65e5"),
            (b"/v1/models/../x//", "../x//"),
            (b"/v1/models/models/", "models/"),
            *((raw, None) for raw in (b"/v1/models", b"/v1/models/", b"/v1/models/?a")),
            *((raw, None) for raw in (b"/v1/v1/v1/models/a", b"/V1/models/a", b"*")),
            *((raw, None) for raw in (b"/v1/modelsx/a", b"/x/v1/models/a")),
            # What the path itself is refused for.
            *((raw, None) for raw in (b"/models/%ff", b"/models/%", b"/models/a#b")),
            *((raw, None) for raw in (b"/models/a b", b"/models/a\n", b"/models/\xff")),
        ):
            self.assertEqual(read_model_id(raw), model_id, raw)

    @given(st.text("/.%25eEfF\\v1 as?#\x00\xe9", max_size=12).map(lambda s: "/" + s))
    def test_any(self, text: str) -> None:
        """
        What is accepted is plain: it means the same when it is read once more.
        """
        try:
            target = read_target(text.encode("latin-1"))
        except APIError as refusal:
            self.assertEqual(refusal.status, 400)
        else:
            path = target.path
            self.assertEqual(read_target(target.raw), target)
            segments = path.split("/")[1:]
            self.assertFalse({"", ".", ".."}.intersection(segments) and path != "/")
            self.assertFalse(set("%\\\x00") & set(path))
