"""
OpenAI's API: a body's fields to a `ModelRequest` or an `APIError`; the list of models.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from swapgate.errors import APIError
from swapgate.server.json_body import BodyFields, JSONType
from swapgate.server.json_grammar import quoted

_UTF_8: Final = frozenset({b"utf-8", b"utf8"})
_JSON_TYPE: Final = re.compile(rb"application/(?:[!#$&^_.+\w-]+\+)?json")


def check_content_type(value: bytes | None, encoding: bytes | None = None) -> None:
    """
    Refuse what is not declared as plain JSON in UTF-8.

    A page of another site can send other types without a preflight.

    :param encoding: the Content-Encoding.
    """
    if value is None:
        raise _unsupported("there is no Content-Type")
    kind, *parameters = value.lower().split(b";")
    shown = quoted(value.decode("latin-1"))
    if not _JSON_TYPE.fullmatch(kind.strip()):
        raise _unsupported(f"the Content-Type is {shown}")
    for parameter in parameters:
        name, _, charset = parameter.partition(b"=")
        if name.strip() == b"charset" and charset.strip(b' \t"') not in _UTF_8:
            raise _unsupported(f"the Content-Type is {shown}, not UTF-8")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        shown = quoted(encoding.decode("latin-1"))
        raise _unsupported(f"the Content-Encoding is {shown}")


def _unsupported(what: str) -> APIError:
    return APIError(
        status=415,
        code="unsupported_media_type",
        message=f"{what}; send application/json in UTF-8, not compressed",
    )


@frozen
class ModelRequest:
    """
    The model and the kind of answer that a request asks for.

    :param model: the configured name, also where an alias was sent.
    """

    model: str
    stream: bool


def read_model_request(fields: BodyFields, names: Mapping[str, str]) -> ModelRequest:
    """
    Check the fields of a body, and resolve its model.

    :param names: the name of the model for every name and alias.
    """
    if fields.model is JSONType.ABSENT:
        raise _wrong(
            "missing_required_parameter",
            f"the body has no model; it must name {_one_of(names)}",
        )
    if isinstance(fields.model, JSONType):
        raise _wrong_type("model", fields.model, f"a string, {_one_of(names)}")
    if not fields.model:
        raise _wrong("invalid_value", f"model is empty; it must be {_one_of(names)}")
    if fields.model not in names:
        raise _wrong(
            "model_not_found",
            f"no model {quoted(fields.model)} is here; send {_one_of(names)}",
            status=404,
        )
    if isinstance(fields.stream, JSONType) and fields.stream not in {
        JSONType.ABSENT,
        JSONType.NULL,
    }:
        raise _wrong_type("stream", fields.stream, "true or false")
    return ModelRequest(names[fields.model], fields.stream is True)


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(map(json.dumps, names))


def _wrong_type(param: str, kind: JSONType, right: str) -> APIError:
    return _wrong("invalid_type", f"{param} is {kind.value}; it must be {right}", param)


def _wrong(
    code: str, message: str, param: str = "model", *, status: int = 400
) -> APIError:
    return APIError(status=status, code=code, message=message, param=param)


def models_listing(names: Iterable[str], created: int) -> dict[str, object]:
    """
    The answer to GET /v1/models: an entry of its own for each name and alias.

    :param created: in seconds of the epoch.
    """
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": created, "owned_by": "swapgate"}
            for name in names
        ],
    }
