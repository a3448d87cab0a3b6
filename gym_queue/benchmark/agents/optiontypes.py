"""An agent's options as people read them, and as programs do."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_WORDS = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "yes/no",
    "array": "list",
    "object": "mapping",
}
"""Types of JSON schema → words for people."""
ANY = "value"
"""A type without a schema."""
REQUIRED = "required"


class _Lenient(GenerateJsonSchema):
    """Takes types that JSON has no schema for as any value."""

    def handle_invalid_for_json_schema(
        self,
        schema: core_schema.CoreSchema,  # noqa: ARG002  the base's signature
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        return {}


def schema_of(options: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of an agent's options."""
    return options.model_json_schema(schema_generator=_Lenient)


def type_of(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return an option's type as people read it: ``text``, ``number``, ``yes/no``, ``secret``, ``one of a|b|c``, ..

    Args:
        field: The option's schema.
        schema: The whole, which may define what the option's refers to.
    """
    field = _resolved(field, schema)
    if "const" in field or "enum" in field:
        return f"one of {'|'.join(map(str, field.get('enum') or [field['const']]))}"
    if "anyOf" in field:
        kinds = (_resolved(each, schema) for each in field["anyOf"])
        named = [type_of(kind, schema) for kind in kinds if kind.get("type") != "null"]
        return " or ".join(dict.fromkeys(named)) or ANY
    if field.get("format") == "password":
        return "secret"
    return _WORDS.get(str(field.get("type")), ANY)


def default_of(field: FieldInfo) -> str:
    """Return what an option is when it is not given, as people read it; a secret is never shown."""
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, SecretStr | SecretBytes):
        return "set"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or '""'


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = field.get("$ref")
    return field if reference is None else schema.get("$defs", {})[reference.rpartition("/")[2]]
