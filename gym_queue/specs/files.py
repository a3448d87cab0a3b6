"""Reading JSON and YAML into mappings, and mappings into models, with errors that point at the place."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import ValidationError

from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.specs.base import SpecModel

SUFFIXES = (".json", ".yaml", ".yml")
"""Endings of spec files; the first that exists is read."""

MAX_NESTING = 200
"""Deepest nesting of a YAML file. PyYAML's binding recurses in C unchecked: far deeper, the process dies."""

_FAULTS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What PyYAML raises on bad input: it lets its constructors' own errors out (``!!bool maybe``: KeyError)."""

ModelT = TypeVar("ModelT", bound=SpecModel)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _SpecLoader(_Loader):  # type: ignore[misc]  # C or Python: known only at run time
    """A safe loader that leaves dates as the strings they were written as."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }


def find_file(folder: Path, stem: str) -> Path | None:
    """Return the spec file ``<stem>.json``, ``.yaml`` or ``.yml`` of a folder; None when it has none."""
    candidates = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if _is_file(path)), None)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file, whatever its ending, whose top level is an object.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        SpecInvalid: It is neither JSON nor YAML, or not an object; the message gives file, line and column.
        SpecNotFound: It cannot be opened.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecNotFound(f"{path}: {error.strerror}") from error
    content = _parse(_decode(raw, path), path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise _invalid(path, 1, 1, f"the file holds {found}, where an object belongs")
    return content


def parse_model(model: type[ModelT], raw: Mapping[str, Any], *, where: str) -> ModelT:
    """Check a mapping against a model.

    Args:
        model: The model's class.
        raw: What was read.
        where: What to call its source in an error.

    Raises:
        SpecInvalid: The first thing wrong, with its key's path, and how many more there are.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False, include_context=False)
        key = ".".join(str(part) for part in first["loc"]) or "the top level"
        more = f" (and {len(others)} more)" if others else ""
        raise SpecInvalid(f"{where}: {key}: {first['msg']}{more}", {"key": key}) from None


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises on a name too long for the disk)


def _decode(raw: bytes, path: Path) -> str:
    encoding = json.detect_encoding(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _place(raw[: error.start].decode(encoding, "replace"))
        reason = f"not {encoding}: {error.reason}; save the file as UTF-8"
        raise _invalid(path, line, column, reason) from None


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        not_json = error
    except RecursionError:
        raise _invalid(path, 1, 1, "nested too deeply") from None
    try:
        return _parse_yaml(text)
    except _FAULTS as not_yaml:
        reported = not_json if path.suffix == ".json" else not_yaml
        raise _invalid(path, *_explain(reported, text)) from None


def _parse_yaml(text: str) -> Any:
    _check_nesting(text)
    return yaml.load(text, Loader=_SpecLoader)  # noqa: S506  (a SafeLoader's subclass)


def _check_nesting(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_SpecLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING} levels")


def _explain(error: Exception, text: str) -> tuple[int, int, str]:
    """Return line and column, from 1, and the reason."""
    if isinstance(error, json.JSONDecodeError):
        return error.lineno, error.colno, error.msg
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return mark.line + 1, mark.column + 1, error.problem or error.context or "not YAML"
    if isinstance(error, yaml.reader.ReaderError):
        line, column = _place(text[: error.position])
        return line, column, f"character #x{error.character:04x}: {error.reason}"
    return 1, 1, str(error)


def _place(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _invalid(path: Path, line: int, column: int, reason: str) -> SpecInvalid:
    return SpecInvalid(
        f"{path}:{line}:{column}: {' '.join(reason.split())}", {"line": line, "column": column}
    )
