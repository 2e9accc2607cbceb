"""
OpenAI's API: model requests, refusals, and the list of models.
"""

import re

from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.openai import (
    ModelRequest,
    check_content_type,
    model_entry,
    models_listing,
    read_model_request,
    unknown_model,
)
from swapgate.config.model_routes import ModelRoute, Routing
from swapgate.errors import APIError
from swapgate.server.json_body import BodyFields, JSONType


class ContentTypeTests(SynchronousTestCase):
    """
    Only a body that is declared as JSON is read as JSON.
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


NO_RULES = Routing()
# What Zed sends.
ZED = {b"user-agent": [b"Zed/0.200.5 (macos; aarch64)"]}
UNNAMED: tuple[str | JSONType, ...] = (JSONType.ABSENT, JSONType.NULL, "", "auto")


def route(match: str) -> ModelRoute:
    return ModelRoute(header="User-Agent", match=re.compile(match), model="qwen")


class ModelRequestTests(SynchronousTestCase):
    """
    From a body's fields to a model request.
    """

    NAMES = {"qwen": "qwen", "phi": "phi", "Qwen 2.5": "qwen", "model.gguf": "phi"}

    def read(self, fields: BodyFields, routing: Routing = NO_RULES) -> ModelRequest:
        return read_model_request(fields, self.NAMES, routing, ZED)

    def refusal(self, fields: BodyFields, routing: Routing = NO_RULES) -> APIError:
        refusal = self.assertRaises(APIError, self.read, fields, routing)
        assert isinstance(refusal, APIError)
        return refusal

    def test_names_and_aliases(self) -> None:
        """
        An alias means its model.
        """
        for sent, name in self.NAMES.items():
            self.assertEqual(
                self.read(BodyFields(model=sent)),
                ModelRequest(name, False),
            )

    def test_stream(self) -> None:
        """
        Absent and null are false.
        """
        for fields, stream in {
            BodyFields(model="phi", stream=True): True,
            BodyFields(model="phi", stream=False): False,
            BodyFields(model="phi", stream=JSONType.NULL): False,
            BodyFields(model="phi"): False,
        }.items():
            self.assertEqual(self.read(fields), ModelRequest("phi", stream))

    def test_no_model(self) -> None:
        """
        400, with the models to choose from.
        """
        there_are = 'one of "qwen", "phi", "Qwen 2.5", "model.gguf"'
        messages: dict[str | JSONType, str] = {
            JSONType.ABSENT: "the body has no model; it must name",
            JSONType.NULL: "model is null; it must be a string,",
            JSONType.NUMBER: "model is a number; it must be a string,",
            JSONType.ARRAY: "model is an array; it must be a string,",
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
        400, with `stream` as the param.
        """
        for kind in (JSONType.STRING, JSONType.NUMBER, JSONType.ARRAY, JSONType.OBJECT):
            refusal = self.refusal(BodyFields(model="phi", stream=kind))
            self.assertEqual((refusal.status, refusal.param), (400, "stream"))
            self.assertEqual(
                refusal.message, f"stream is {kind.value}; it must be true or false"
            )

    def test_a_rule_or_the_default(self) -> None:
        """
        For a body that names no model, or `auto`; a name goes before any rule.
        """
        rules = Routing(routes=(route("Zed"),), default_model="phi")
        for sent in UNNAMED:
            self.assertEqual(
                self.read(BodyFields(model=sent, stream=True), rules),
                ModelRequest("qwen", True),
            )
        others = Routing(routes=(route("Cursor"),), default_model="phi")
        for sent in (*UNNAMED, "phi"):
            self.assertEqual(self.read(BodyFields(model=sent), others).model, "phi")
        self.assertEqual(self.read(BodyFields(model="phi"), rules).model, "phi")
        default = Routing(default_model="qwen")
        self.assertEqual(self.read(BodyFields(), default).model, "qwen")

    def test_auto_without_rules(self) -> None:
        """
        It is a name as any other, and nobody's.
        """
        for routing in (Routing(), Routing(default_model="phi")):
            refusal = self.refusal(BodyFields(model="auto"), routing)
            self.assertEqual((refusal.status, refusal.code), (404, "model_not_found"))
            self.assertIn('no model "auto" is here', refusal.message)
            self.assertNotIn('"auto"', refusal.message.partition("send")[2])

    def test_no_rule_matches(self) -> None:
        """
        400 as without rules, with the reason.
        """
        rules = Routing(routes=(route("Cursor"),))
        right = (
            'one of "qwen", "phi", "Qwen 2.5", "model.gguf", as no [route NAME] '
            "matches a header of this client"
        )
        messages: dict[str | JSONType, str] = {
            JSONType.ABSENT: "the body has no model; it must name",
            JSONType.NULL: "model is null; it must be a string,",
            "": "model is empty; it must be",
            "auto": 'model is "auto"; it must be',
        }
        for model, message in messages.items():
            refusal = self.refusal(BodyFields(model=model), rules)
            self.assertEqual((refusal.status, refusal.param), (400, "model"))
            self.assertEqual(refusal.message, f"{message} {right}")
        wrong = self.refusal(BodyFields(model=JSONType.NUMBER), rules)
        self.assertEqual(wrong.status, 400)
        unknown = self.refusal(BodyFields(model="x"), rules)
        self.assertIn('"model.gguf", "auto"', unknown.message)


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

    def test_one_entry(self) -> None:
        """
        The same as in the list, or 404 with the name.
        """
        listing = models_listing(["a b"], 17)
        self.assertEqual(listing["data"], [model_entry("a b", 17)])
        error = unknown_model("c/d", ["a b", "e"])
        self.assertEqual((error.status, error.code), (404, "model_not_found"))
        said = 'no model "c/d" is here; send one of "a b", "e"'
        self.assertEqual(error.message, said)
