"""Calls as an OpenAPI 3.1 document. One table describes what a program answers itself and what it forwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gym_queue.errors import GymQueueError
from gym_queue.protocol.calls import Call, Schema
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.protocol.replies import ErrorBody
from gym_queue.protocol.sessions import ENV_ID_PATTERN

REF = "#/components/schemas/{model}"
ENV_PARAMETER: Schema = {
    "name": "env_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": ENV_ID_PATTERN},
    "example": "0f8fad5b-d9cb-469f-a165-70867728950e",
}
BYTES: Schema = {"type": "string", "format": "binary"}
REQUEST_ID: Schema = {
    "required": True,
    "description": "The request's own, or a new one.",
    "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._:-]{1,128}$"},
}


@dataclass(frozen=True, slots=True)
class Title:
    """What a program says of itself in its document."""

    name: str
    version: str
    token: str
    """Which tokens open what."""


def document(title: Title, calls: Sequence[Call]) -> dict[str, Any]:
    """Return the OpenAPI document of a program.

    Args:
        title: The program.
        calls: Everything it answers.
    """
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    scheme = {"type": "http", "scheme": "bearer", "description": title.token}
    return {
        "openapi": "3.1.0",
        "info": {"title": title.name, "version": title.version},
        "paths": paths,
        "components": {
            "schemas": _schemas(calls),
            "headers": {"RequestId": dict(REQUEST_ID)},
            "securitySchemes": {"token": scheme},
        },
        "security": [{"token": []}],
    }


def errors_by_status(kinds: Iterable[type[GymQueueError]]) -> dict[int, list[type[GymQueueError]]]:
    """Return error classes by their status, each once, in order of their codes."""
    found: dict[int, list[type[GymQueueError]]] = {}
    for kind in sorted(set(kinds), key=lambda kind: (kind.status, kind.code)):
        found.setdefault(kind.status, []).append(kind)
    return found


def _schemas(calls: Sequence[Call]) -> dict[str, Any]:
    models: set[type[BaseModel]] = {ErrorBody}
    for call in calls:
        models |= {model for model in (call.body, call.reply) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _operation(call: Call) -> dict[str, Any]:
    responses = {status: _success(response) for status, response in call.others.items()}
    if call.reply is not None:
        responses[str(call.status)] = _success({"description": call.summary, "content": _reply_content(call)})
    for status, kinds in errors_by_status(call.errors).items():
        responses[str(status)] = _error(status, kinds)
    operation: dict[str, Any] = {"operationId": call.name, "summary": call.summary, "responses": responses}
    parameters = [ENV_PARAMETER] if "{env_id}" in call.path else []
    if parameters or call.parameters:
        operation["parameters"] = [dict(parameter) for parameter in (*parameters, *call.parameters)]
    if call.body is not None:
        schema = _ref(call.body) if call.body_required else {"anyOf": [_ref(call.body), {"type": "null"}]}
        content = {"schema": schema, "example": call.body_example}
        operation["requestBody"] = {
            "required": call.body_required,
            "content": {"application/json": content},
        }
    elif call.is_upload:
        operation["requestBody"] = {"content": {"application/octet-stream": {"schema": dict(BYTES)}}}
    if call.is_open:
        operation["security"] = []
    return operation


def _reply_content(call: Call) -> dict[str, Any]:
    assert call.reply is not None  # noqa: S101  asked only of calls that have one
    found: dict[str, Any] = {"application/json": {"schema": _ref(call.reply), "example": call.reply_example}}
    if call.is_packable:
        found[MSGPACK_TYPE] = {"schema": dict(BYTES)}
    return found


def _success(response: Schema) -> dict[str, Any]:
    return {**response, "headers": {"X-Request-ID": _id_header(), **response.get("headers", {})}}


def _error(status: int, kinds: Sequence[type[GymQueueError]]) -> dict[str, Any]:
    """Return the response of a status: which codes it may bear, and what each means."""
    codes = {"type": "object", "properties": {"code": {"enum": [kind.code for kind in kinds]}}}
    examples = {
        kind.code: {"value": {"error": _sentence(kind), "code": kind.code, "request_id": "r-1"}}
        for kind in kinds
    }
    headers: dict[str, Any] = {"X-Request-ID": _id_header()}
    if status == 401:
        headers["WWW-Authenticate"] = {"required": True, "schema": {"type": "string"}}
    if status == 503:
        headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
    schema = {"allOf": [_ref(ErrorBody), codes]}
    return {
        "description": " ".join(f"`{kind.code}`: {_sentence(kind)}" for kind in kinds),
        "headers": headers,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _sentence(kind: type[GymQueueError]) -> str:
    return (kind.__doc__ or kind.code).partition("\n")[0]


def _id_header() -> dict[str, str]:
    return {"$ref": "#/components/headers/RequestId"}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
