"""Parsing at the door: a pydantic error becomes one sentence of ours."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gym_queue.errors import RequestInvalid, RequestMalformed

SHOWN = 200
"""Characters of a caller's own words that an error repeats."""

Model = TypeVar("Model", bound=BaseModel)


def parse_model(model: type[Model], raw: object) -> Model:
    """Return ``raw`` as ``model``.

    Raises:
        RequestInvalid: The first thing wrong, by its key, and how many more there are.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise RequestInvalid(*explain(error)) from None


def parse_body(model: type[Model], body: bytes) -> Model:
    """Return a request's body as ``model``.

    Raises:
        RequestMalformed: It is not JSON.
        RequestInvalid: The first thing wrong, by its key, and how many more there are.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise RequestMalformed(
                f"the body is not JSON: {first['ctx']['error']}; send a JSON object"
            ) from None
        raise RequestInvalid(*explain(error)) from None


def explain(error: ValidationError) -> tuple[str, dict[str, Any]]:
    """Return a validation error as a sentence and its details."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])[:SHOWN] or "the request"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{more}", {"key": where}
