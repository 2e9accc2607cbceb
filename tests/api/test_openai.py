"""
What requests want, and what is said to those that cannot have it.
"""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.openai import (
    ModelRequest,
    check_content_type,
    models_listing,
    read_model_request,
)
from swapgate.errors import APIError, error_body
from swapgate.server.json_body import BodyFields, Kind
from swapgate.server.target import Target, read_target


class RefusalTests(SynchronousTestCase):
    """
    How a refusal is said.
    """

    def test_shape(self) -> None:
        """
        The body is OpenAI's error object, in ASCII.
        """
        refusal = APIError(status=404, code="c", message="\u65e5\n", param="model")
        body = error_body(refusal)
        self.assertTrue(body.isascii())
        self.assertEqual(
            json.loads(body),
            {
                "error": {
                    "message": "\u65e5\n",
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "c",
                }
            },
        )
        self.assertEqual(str(refusal), refusal.message)

    def test_ours(self) -> None:
        """
        From 500 on it is the server's fault; nothing more is said unless it is given.
        """
        refusal = APIError(status=503, code="full", message="m", retry_after_s=2)
        self.assertEqual(refusal.type, "server_error")
        self.assertEqual((refusal.param, refusal.should_retry), (None, None))
        self.assertEqual(refusal.retry_after_s, 2)
        final = APIError(status=409, code="c", message="m", should_retry=False)
        self.assertIs(final.should_retry, False)


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


class ContentTypeTests(SynchronousTestCase):
    """
    Only what says that it is JSON is read as JSON.
    """

    def test_accepted(self) -> None:
        """
        Any case and any parameter but a foreign charset.
        """
        for value in (
            *(b"application/json", b"Application/JSON", b" application/json ;"),
            *(b"application/json; charset=utf8", b'application/json;Charset="UTF-8"'),
            *(b"application/json ; a=b; charset = utf-8", b"application/ld+json"),
            b"application/vnd.api+json;v=1",
        ):
            check_content_type(value)
        for encoding in (None, b"identity", b" Identity", b""):
            check_content_type(b"application/json", encoding)

    def test_refused(self) -> None:
        """
        415, with what was sent and what to send.
        """
        for value in (
            *(b"", b"text/plain", b"text/json", b"application/jsonx", b"application/"),
            *(b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"),
            *(b"application/json, text/plain", b"text/plain; application/json"),
            *(b"application/+json", b"application/json; charset=utf-16", b"\xff\x1b"),
            b"application/json; charset=utf-8; charset=latin-1",
        ):
            refusal = self.assertRaises(APIError, check_content_type, value)
            self.assertEqual(refusal.status, 415)
            self.assertIn("the Content-Type is", refusal.message)
            self.assertIn("send application/json", refusal.message)
            self.assertTrue(refusal.message.isprintable())
        refusal = self.assertRaises(APIError, check_content_type, None)
        self.assertIn("there is no Content-Type", refusal.message)
        for encoding in (b"gzip", b"br, identity", b"identity, gzip"):
            with self.assertRaises(APIError) as caught:
                check_content_type(b"application/json", encoding)
            self.assertEqual(caught.exception.status, 415)
            self.assertIn("the Content-Encoding is", caught.exception.message)


class AskTests(SynchronousTestCase):
    """
    From a wish to an ask.
    """

    NAMES = {"qwen": "qwen", "phi": "phi", "Qwen 2.5": "qwen", "model.gguf": "phi"}

    def refusal(self, fields: BodyFields) -> APIError:
        refusal = self.assertRaises(APIError, read_model_request, fields, self.NAMES)
        assert isinstance(refusal, APIError)
        return refusal

    def test_names_and_aliases(self) -> None:
        """
        An alias means its model.
        """
        for sent, name in self.NAMES.items():
            self.assertEqual(
                read_model_request(BodyFields(model=sent), self.NAMES),
                ModelRequest(name, False),
            )

    def test_stream(self) -> None:
        """
        Absent and null are false.
        """
        for fields, stream in {
            BodyFields(model="phi", stream=True): True,
            BodyFields(model="phi", stream=False): False,
            BodyFields(model="phi", stream=Kind.NULL): False,
            BodyFields(model="phi"): False,
        }.items():
            self.assertEqual(
                read_model_request(fields, self.NAMES), ModelRequest("phi", stream)
            )

    def test_no_model(self) -> None:
        """
        400, with the models to choose from.
        """
        there_are = 'one of "qwen", "phi", "Qwen 2.5", "model.gguf"'
        messages: dict[str | Kind, str] = {
            Kind.ABSENT: "the body has no model; it must name",
            Kind.NULL: "model is null; it must be a string,",
            Kind.NUMBER: "model is a number; it must be a string,",
            Kind.ARRAY: "model is an array; it must be a string,",
            "": "model is empty; it must be",
        }
        for model, message in messages.items():
            refusal = self.refusal(BodyFields(model=model))
            self.assertEqual((refusal.status, refusal.param), (400, "model"))
            self.assertEqual(refusal.message, f"{message} {there_are}")

    def test_unknown_model(self) -> None:
        """
        404; a name is a key and nothing else, and safe to log when it is shown.
        """
        for sent, shown in {
            "no-such-model-zz": '"no-such-model-zz"',
            "../../../../etc/passwd": '"../../../../etc/passwd"',
            " qwen": '" qwen"',
            "QWEN": '"QWEN"',
            "x\r\n2099-01-01 INFO\u001b[2J": r'"x\r\n2099-01-01 INFO\u001b[2J"',
            "y" * 1000: '"' + "y" * 40 + '"...',
        }.items():
            refusal = self.refusal(BodyFields(model=sent))
            self.assertEqual((refusal.status, refusal.code), (404, "model_not_found"))
            self.assertEqual(refusal.param, "model")
            self.assertEqual(
                refusal.message,
                f'no model {shown} is here; send one of "qwen", "phi", "Qwen 2.5", '
                '"model.gguf"',
            )

    def test_stream_of_another_kind(self) -> None:
        """
        400, to blame is `stream`.
        """
        for kind in (Kind.STRING, Kind.NUMBER, Kind.ARRAY, Kind.OBJECT):
            refusal = self.refusal(BodyFields(model="phi", stream=kind))
            self.assertEqual((refusal.status, refusal.param), (400, "stream"))
            self.assertEqual(
                refusal.message, f"stream is {kind.value}; it must be true or false"
            )


class ListingTests(SynchronousTestCase):
    """
    GET /v1/models.
    """

    def test_listing(self) -> None:
        """
        One entry for each name and alias, in their order.
        """
        self.assertEqual(
            models_listing({"qwen": "qwen", "Qwen 2.5": "qwen"}, 17),
            {
                "object": "list",
                "data": [
                    {
                        "id": name,
                        "object": "model",
                        "created": 17,
                        "owned_by": "swapgate",
                    }
                    for name in ("qwen", "Qwen 2.5")
                ],
            },
        )
