"""Reading JSON and YAML into mappings, and mappings into models, with errors that point at the place."""

from __future__ import annotations

import errno
import json
import os
import stat
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

MAX_BYTES = 4 << 20
"""Largest file that is read."""
MAX_VALUES = 200_000
"""Most values of a file: checking a model takes a KB for each that is wrong.

YAML's aliases are followed (nested, they multiply), and 16 characters of a text count as one value more.
"""

_FAULTS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What PyYAML raises on bad input: it lets its constructors' own errors out (``!!bool maybe``: KeyError)."""

ModelT = TypeVar("ModelT", bound=SpecModel)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _construct_int(loader: Any, node: Any) -> int:
    value: int = _Loader.construct_yaml_int(loader, node)
    str(value)  # what is too long to be written (sys.get_int_max_str_digits) raises here, not in later code
    return value


class _SpecLoader(_Loader):  # type: ignore[misc]  # C or Python: known only at run time
    """A safe loader that makes nothing JSON could not hold: dates stay the strings they were written as."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        **_Loader.yaml_constructors,
        "tag:yaml.org,2002:int": _construct_int,
        "tag:yaml.org,2002:timestamp": _Loader.construct_yaml_str,
        "tag:yaml.org,2002:binary": _Loader.construct_yaml_str,
        "tag:yaml.org,2002:set": _Loader.construct_yaml_map,
        "tag:yaml.org,2002:omap": _Loader.construct_yaml_seq,
        "tag:yaml.org,2002:pairs": _Loader.construct_yaml_seq,
    }


def find_file(folder: Path, stem: str) -> Path | None:
    """Return the spec file ``<stem>.json``, ``.yaml`` or ``.yml`` of a folder; None when it has none."""
    start = f"{folder}/{stem}"  # text: a corpus has tens of thousands of folders to look into
    return next((Path(start + suffix) for suffix in SUFFIXES if _is_file(start + suffix)), None)


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """Read a file that may be anything.

    Raises:
        OSError: It cannot be read, or is a device or a pipe.
        ValueError: It is larger than the limit.
    """
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if info.st_size > limit_bytes:
        raise ValueError(f"larger than {limit_bytes >> 20} MiB")
    with path.open("rb", buffering=0) as file:
        return file.readall()


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
        raw = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise SpecNotFound(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise _invalid(path, 1, 1, str(error)) from None
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


def _is_file(path: str) -> bool:
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
    if text.count(",") > MAX_VALUES:
        raise _invalid(path, 1, 1, f"holds more than {MAX_VALUES} values")
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
    _check_size(text)
    return yaml.load(text, Loader=_SpecLoader)  # noqa: S506  (a SafeLoader's subclass)


def _check_size(text: str) -> None:
    """Refuse what would nest too deeply, hold too much once its aliases are followed, or hold itself."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    values = 0
    for event in yaml.parse(text, Loader=_SpecLoader):
        before = values
        values += _weight(event, sizes, open_nodes)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, before))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor or ""] = values - before
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor or ""] = values - before
        if len(open_nodes) > MAX_NESTING:
            raise ValueError(f"nested deeper than {MAX_NESTING} levels")
        if values > MAX_VALUES:
            raise ValueError(
                f"holds more than {MAX_VALUES} values, those repeated by aliases counted each time"
            )


def _weight(event: yaml.Event, sizes: Mapping[str, int], open_nodes: list[tuple[str | None, int]]) -> int:
    if isinstance(event, yaml.ScalarEvent):
        return 1 + len(event.value) // 16
    if not isinstance(event, yaml.AliasEvent):
        return 1
    name = event.anchor or ""
    if any(anchor == name for anchor, _ in open_nodes):
        raise ValueError(f"*{name} stands inside of what it repeats")
    return sizes.get(name, 0)


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
