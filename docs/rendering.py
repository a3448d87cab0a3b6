"""Markdown of models, types and tables, for generate.py."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import types
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from gym_queue.specs.base import SpecModel

NOTE = "<!-- Written by docs/generate.py from the code: change it there, then run `make docs`. -->"
WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "text, kept out of logs",
    dict: "object",
    type(None): "null",
    Any: "anything",
}
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥", "max_length": "length ≤"}


def docs_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings under a model's fields, those of its bases included."""
    found: dict[str, str] = {}
    for kind in reversed([each for each in model.__mro__ if each.__module__.startswith("gym_queue")]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found.pop(field.target.id, None)
                if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                    found[field.target.id] = inspect.cleandoc(str(text.value.value)).replace("``", "`")
    return found


def kind_of(annotation: Any) -> str:
    """Return a type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(arguments[0])
    if origin is Literal:
        return ", ".join(str(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(kind_of(each) for each in arguments if each is not type(None))
    if origin in (tuple, list, set, frozenset, Sequence):
        if len(arguments) == 2 and arguments[1] is not Ellipsis:
            return f"[{kind_of(arguments[0])}, {kind_of(arguments[1])}]"
        return f"list of: {kind_of(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(str(each.value) for each in annotation)
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return WORDS.get(origin or annotation, "object")


def bounds_of(field: FieldInfo) -> list[str]:
    """Return what a field's value must keep to."""
    return [
        f"{sign} {getattr(bound, name):g}"
        for bound in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(bound, name, None) is not None
    ]


def default_of(field: FieldInfo) -> str:
    """Return a field's default; nothing for an empty one."""
    return "required" if field.is_required() else value_of(field.get_default(call_default_factory=True))


def value_of(value: Any) -> str:
    """Return a default as one writes it; nothing for none, an empty one, and an object."""
    if value is None or value in ("", (), [], {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ", ".join(value_of(each) for each in value)
    return f"{value.value if isinstance(value, Enum) else value}"


def code(names: str) -> str:
    """Return names that commas part as code."""
    return ", ".join(f"`{name.strip()}`" for name in names.split(","))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns without any content are left out."""
    kept = [n for n in range(len(head)) if any(row[n].strip() for row in rows)]
    lines = [[head[n] for n in kept], ["---"] * len(kept)]
    lines += [[" ".join(row[n].split()).replace("|", "\\|") for n in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(parts: Sequence[str]) -> str:
    """Return a page's text."""
    return "\n\n".join([parts[0], NOTE, *parts[1:]]) + "\n"
