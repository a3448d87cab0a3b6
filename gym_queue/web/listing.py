"""Lists by the page: text filter, filters, sorting and cutting, as every list call takes them in its query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from gym_queue.errors import RequestInvalid

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
MAX_OFFSET = 1_000_000_000
TEXT_CHARS = 200
"""Longest text that may be looked for, or be given as a filter."""
SHOWN = 100
"""Characters of a caller's own words that an error repeats."""

Row = TypeVar("Row")
Get = Callable[[Any], Any]
Schema = Mapping[str, Any]
"""A part of an OpenAPI document."""


def filter_parameter(name: str, description: str, *, choices: Sequence[str] = ()) -> Schema:
    """Return the OpenAPI parameter of one filter, for ``Call.parameters``; an empty one filters nothing."""
    allowed: dict[str, Any] = {"enum": ["", *choices]} if choices else {"maxLength": TEXT_CHARS}
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **allowed}}


def sort_parameter(fields: Sequence[str]) -> Schema:
    """Return the OpenAPI parameter ``sort`` of a list with these fields, for ``Call.parameters``."""
    names = [sign + name for name in fields for sign in ("", "-")]
    return filter_parameter(
        "sort", "A field; with - before it, the largest first. None is last.", choices=names
    )


def _whole(name: str, description: str, *, least: int, most: int, default: int) -> Schema:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return {"name": name, "in": "query", "description": description, "schema": schema}


LIST_PARAMETERS: tuple[Schema, ...] = (
    filter_parameter("q", "Words that a row must all hold, in any case."),
    _whole("offset", "Matching rows before the first.", least=0, most=MAX_OFFSET, default=0),
    _whole("limit", "Most rows of a reply.", least=1, most=MAX_LIMIT, default=DEFAULT_LIMIT),
)
"""What every list takes; add ``sort_parameter(..)`` and one ``filter_parameter(..)`` for each filter."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which rows are asked for, and in which order."""

    words: tuple[str, ...] = ()
    """Small letters; each must be found in a row."""
    sort: str = ""
    """A field; empty leaves the rows as they come."""
    descending: bool = False
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    filters: Mapping[str, str] = field(default_factory=dict)
    """A row's field → what it must be, or hold where it is a list."""


def parse_query(
    items: Iterable[tuple[str, str]],
    *,
    sorts: Sequence[str],
    filters: Mapping[str, str] | Sequence[str] = (),
    default_sort: str = "",
    choices: Mapping[str, Sequence[str]] | None = None,
) -> ListQuery:
    """Read a list call's query; keys that are not of lists are left alone.

    Args:
        items: Keys and values, as ``request.query_params.multi_items()`` has them.
        sorts: The fields that can be sorted by.
        filters: Query keys, or query key → the row's field. An empty value filters nothing.
        default_sort: As ``sort``, where none is given.
        choices: Query key → the values that a filter may have.

    Raises:
        RequestInvalid: A key twice, an unknown field, a number out of range or not a number, an overlong text.
    """
    fields = filters if isinstance(filters, Mapping) else {name: name for name in filters}
    given = _once(items, {"q", "sort", "offset", "limit", *fields})
    for name, allowed in (choices or {}).items():
        if given.get(name) and given[name] not in allowed:
            raise _invalid(name, given[name], f"one of {', '.join(allowed)}")
    sort = given.get("sort") or default_sort
    if sort.removeprefix("-") not in ("", *sorts) or sort == "-":
        raise _invalid("sort", sort, f"one of {', '.join(sorts)}, or one with - before it")
    return ListQuery(
        words=tuple(given.get("q", "").lower().split()),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        offset=_number(given, "offset", default=0, least=0, most=MAX_OFFSET),
        limit=_number(given, "limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT),
        filters={fields[name]: given[name] for name in fields if given.get(name)},
    )


def page(
    rows: Sequence[Row],
    query: ListQuery,
    *,
    fields: Sequence[str],
    version: int = 0,
    show: Callable[[Row], Any] | None = None,
    as_of: float | None = None,
) -> dict[str, Any]:
    """Return one page of rows: ``{as_of, version, total, matched, offset, rows}``.

    Args:
        rows: All rows, as mappings or as objects with attributes (all of them alike, with every field there).
        query: Which of them.
        fields: Where the query's words are looked for.
        version: Grows when the list changes.
        show: Makes the reply's row of one row; called for those of the page alone. None leaves it as it is.
        as_of: Unix seconds; None is now.
    """
    found: list[Row] = list(rows)
    if found:
        getter = itemgetter if isinstance(found[0], Mapping) else attrgetter
        for name, wanted in query.filters.items():
            found = _filtered(found, getter(name), wanted)
        if query.words:
            found = _containing(found, [getter(name) for name in fields], query.words)
        if query.sort:
            found = _sorted(found, getter(query.sort), descending=query.descending)
    cut = found[query.offset : query.offset + query.limit]
    return {
        "as_of": time.time() if as_of is None else as_of,
        "version": version,
        "total": len(rows),
        "matched": len(found),
        "offset": query.offset,
        "rows": cut if show is None else [show(row) for row in cut],
    }


def _filtered(rows: list[Row], get: Get, wanted: str) -> list[Row]:
    return [row for row in rows if _is(get(row), wanted)]


def _is(value: object, wanted: str) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return wanted in value
    return value is not None and str(value) == wanted


def _containing(rows: list[Row], gets: list[Get], words: tuple[str, ...]) -> list[Row]:
    def has_all(row: Row) -> bool:
        text = "\n".join([_text(get(row)) for get in gets]).lower()
        return all(word in text for word in words)

    return [row for row in rows if has_all(row)]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def _sorted(rows: list[Row], get: Get, *, descending: bool) -> list[Row]:
    """Return rows in order of one field; those without it come last, whichever way."""
    keyed = [(get(row), row) for row in rows]
    known = [pair for pair in keyed if pair[0] is not None]
    first: Get = itemgetter(0)
    is_text = any(not isinstance(value, int | float) for value, _row in known)
    known.sort(key=(lambda pair: _text(pair[0]).lower()) if is_text else first, reverse=descending)
    return [row for _value, row in known] + [row for value, row in keyed if value is None]


def _once(items: Iterable[tuple[str, str]], known: set[str]) -> dict[str, str]:
    """Return the known keys of a query, each given once."""
    found: dict[str, str] = {}
    for name, value in items:
        if name not in known:
            continue
        if name in found:
            raise RequestInvalid(f"{name} is given more than once: give it once", {"key": name})
        if len(value) > TEXT_CHARS:
            raise RequestInvalid(
                f"{name} has {len(value)} characters: at most {TEXT_CHARS} are allowed", {"key": name}
            )
        found[name] = value
    return found


def _number(given: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not (is_number and least <= int(text) <= most):
        raise _invalid(name, text, f"a whole number from {least} to {most}")
    return int(text)


def _invalid(name: str, value: str, wanted: str) -> RequestInvalid:
    return RequestInvalid(f"{name} must be {wanted}, not {value[:SHOWN]!r}", {"key": name})
