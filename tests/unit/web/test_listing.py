from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gym_queue.errors import RequestInvalid
from gym_queue.web.listing import LIST_PARAMETERS, MAX_LIMIT, ListQuery, page, parse_query, sort_parameter

ROWS: list[dict[str, Any]] = [
    {"name": "Beta", "age": 2, "tags": ["x", "y"]},
    {"name": "alpha", "age": None, "tags": []},
    {"name": "Gamma", "age": 1.5, "tags": ["y"]},
]


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    age: float | None


def asked(query: str = "", **more: Any) -> ListQuery:
    items = [(key, value) for key, _, value in (part.partition("=") for part in query.split("&") if part)]
    return parse_query(items, sorts=("name", "age"), filters={"tag": "tags", "name": "name"}, **more)


def names(query: str) -> list[str]:
    return [row["name"] for row in page(ROWS, asked(query), fields=("name", "tags"))["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Beta", "alpha", "Gamma"]),
        ("sort=name", ["alpha", "Beta", "Gamma"]),
        ("sort=-name", ["Gamma", "Beta", "alpha"]),
        ("sort=age", ["Gamma", "Beta", "alpha"]),
        ("sort=-age", ["Beta", "Gamma", "alpha"]),
        ("q=ALPH", ["alpha"]),
        ("q=a m", ["Gamma"]),
        ("q=nothing", []),
        ("tag=y", ["Beta", "Gamma"]),
        ("name=Beta&tag=y", ["Beta"]),
        ("name=", ["Beta", "alpha", "Gamma"]),
        ("offset=1&limit=1", ["alpha"]),
        ("offset=1000000000", []),
        ("unknown=1&unknown=2", ["Beta", "alpha", "Gamma"]),
    ],
)
def test_rows_are_filtered_sorted_and_cut(query: str, expected: list[str]) -> None:
    assert names(query) == expected


def test_a_page_tells_how_many_there_are() -> None:
    found = page(ROWS, asked("tag=y&limit=1"), fields=(), version=7, as_of=5.0)
    assert found == {"as_of": 5.0, "version": 7, "total": 3, "matched": 2, "offset": 0, "rows": ROWS[:1]}


def test_rows_may_be_objects_and_are_shown_when_they_are_on_the_page() -> None:
    shown: list[str] = []
    things = [Thing("b", 1.0), Thing("a", None)]
    found = page(
        things, asked("sort=name&limit=1"), fields=("name",), show=lambda row: shown.append(row.name)
    )
    assert (shown, found["total"]) == (["a"], 2)


def test_values_of_several_kinds_can_be_sorted() -> None:
    rows = [{"name": value} for value in ("b", 3, None, "A")]
    found = page(rows, asked("sort=name"), fields=())
    assert [row["name"] for row in found["rows"]] == [3, "A", "b", None]


def test_no_rows_are_a_page_too() -> None:
    assert page([], asked("sort=name&q=x&tag=y"), fields=("name",))["rows"] == []


def test_a_default_order_holds_until_another_is_asked_for() -> None:
    assert asked(default_sort="-age") == ListQuery(sort="age", descending=True)
    assert asked("sort=name", default_sort="-age").sort == "name"


@pytest.mark.parametrize(
    "query",
    [
        "sort=size",
        "sort=-",
        "sort=--name",
        "offset=-1",
        "offset=1.0",
        "offset=99999999999999999999999",
        "offset=\u0661",
        "offset= 1",
        "offset=",
        "limit=",
        "limit=0",
        "limit=501",
        "limit=ten",
        "limit=1&limit=1",
        "q=a&q=a",
        "tag=x&tag=y",
        "q=" + "x" * 201,
        "tag=" + "x" * 201,
    ],
)
def test_a_wrong_query_is_refused_by_its_key(query: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        asked(query)
    assert caught.value.details["key"] == query.partition("=")[0]


def test_a_filter_may_allow_some_values_alone() -> None:
    assert asked("tag=x", choices={"tag": ("x", "y")}).filters == {"tags": "x"}
    with pytest.raises(RequestInvalid, match="one of x, y"):
        asked("tag=z", choices={"tag": ("x", "y")})


def test_the_parameters_are_described_for_openapi() -> None:
    assert [each["name"] for each in (*LIST_PARAMETERS, sort_parameter(("a",)))] == [
        "q",
        "offset",
        "limit",
        "sort",
    ]
    assert LIST_PARAMETERS[2]["schema"]["maximum"] == MAX_LIMIT
    assert sort_parameter(("a",))["schema"]["enum"] == ["", "a", "-a"]
