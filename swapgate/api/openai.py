"""
OpenAI's API: a body's fields to a `ModelRequest` or an `APIError`; the list of models.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from swapgate.config.model_routes import AUTO, Routing
from swapgate.errors import APIError
from swapgate.server.json_body import BodyFields, JSONType
from swapgate.server.json_grammar import quoted

_UTF_8: Final = frozenset({b"utf-8", b"utf8"})
# What many clients send where their user has chosen no model.
_UNNAMED: Final = frozenset({JSONType.ABSENT, JSONType.NULL, ""})
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

    :param model: the configured name, also where an alias was sent, or no name.
    :param keep_alive_s: how long the model stays up when it is idle; None: as long as
        the configuration says.
    """

    model: str
    stream: bool
    keep_alive_s: float | None = None


def read_model_request(
    fields: BodyFields,
    names: Mapping[str, str],
    routing: Routing,
    headers: Mapping[bytes, Sequence[bytes]],
) -> ModelRequest:
    """
    Check the fields of a body, and resolve its model.

    :param names: the name of the model for every name and alias.
    :param routing: decides by `headers` where the body names none.
    """
    sent = fields.model
    if sent in _UNNAMED or (sent == AUTO and routing.routes):
        model = routing.model_for(headers)
        if model is None:
            raise _none_meant(sent, names, routing)
    elif isinstance(sent, JSONType):
        raise _wrong_type("model", sent, f"a string, {_one_of(names)}")
    elif sent not in names:
        raise unknown_model(sent, routing.listed(names))
    else:
        model = names[sent]
    if isinstance(fields.stream, JSONType) and fields.stream not in {
        JSONType.ABSENT,
        JSONType.NULL,
    }:
        raise _wrong_type("stream", fields.stream, "true or false")
    return ModelRequest(model, fields.stream is True)


def _none_meant(
    sent: str | JSONType, names: Iterable[str], routing: Routing
) -> APIError:
    """
    The error of a body that names no model, where nothing else says which.
    """
    right = _one_of(names)
    if routing.routes:
        right += ", as no [route NAME] matches a header of this client"
    if sent is JSONType.ABSENT:
        return _wrong(
            "missing_required_parameter", f"the body has no model; it must name {right}"
        )
    if isinstance(sent, JSONType):
        return _wrong_type("model", sent, f"a string, {right}")
    what = quoted(sent) if sent else "empty"
    return _wrong("invalid_value", f"model is {what}; it must be {right}")


def unknown_model(sent: str, names: Iterable[str]) -> APIError:
    return _wrong(
        "model_not_found",
        f"no model {quoted(sent)} is here; send {_one_of(names)}",
        status=404,
    )


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
        "data": [model_entry(name, created) for name in names],
    }


def model_entry(name: str, created: int) -> dict[str, object]:
    """
    The answer to GET /v1/models/NAME.
    """
    return {"id": name, "object": "model", "created": created, "owned_by": "swapgate"}
