from __future__ import annotations

import json
import pickle
import re

import pytest

from gym_queue import errors
from gym_queue.errors import GymQueueError, error_types, from_wire

TREE_LINE = re.compile(
    r"^(?P<bars>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +(?P<code>[a-z_]+) +(?P<status>\d+))?(?P<rest>.*)$"
)
KINDS = sorted(error_types().values(), key=lambda kind: kind.__name__)


def drawn_tree() -> dict[str, tuple[str, str, int, bool]]:
    """Return what the module's docstring draws: name → parent, code, status, retryable."""
    found: dict[str, tuple[str, str, int, bool]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = TREE_LINE.match(line)
        if match is None or line.startswith("Every"):
            continue
        depth = len(match["bars"]) // 4
        del above[depth:]
        retryable = match["rest"].strip().startswith("retryable")
        parent = above[-1] if above else "Exception"
        found[match["name"]] = (parent, match["code"] or "internal", int(match["status"] or 500), retryable)
        above.append(match["name"])
    return found


def real_tree() -> dict[str, tuple[str, str, int, bool]]:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GymQueueError)
    ]
    return {k.__name__: (k.__bases__[0].__name__, k.code, k.status, k.retryable) for k in kinds}


def test_the_docstring_draws_the_classes_as_they_are() -> None:
    assert drawn_tree() == real_tree()


def test_every_code_names_one_class() -> None:
    named = [kind for kind in real_tree() if kind not in ("GymQueueError", "Infrastructure")]
    assert sorted(kind.__name__ for kind in KINDS) == sorted([*named, "GymQueueError"])


def test_only_what_a_later_try_may_mend_is_retryable() -> None:
    assert [kind.code for kind in KINDS if kind.retryable and kind.status < 500] == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_the_wire_as_itself(kind: type[GymQueueError]) -> None:
    sent = kind("what: why; remedy", {"retry_after_s": 3, "unplaceable": {"w1": "full"}})
    got = from_wire(kind.status, json.loads(json.dumps(sent.to_wire("r1"))))
    assert type(got) is kind
    assert str(got) == "what: why; remedy"
    assert got.details == {**sent.details, "request_id": "r1"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling(kind: type[GymQueueError]) -> None:
    got = pickle.loads(pickle.dumps(kind("what", {"a": [1]})))
    assert (type(got), got.message, got.details) == (kind, "what", {"a": [1]})


def test_details_cannot_replace_the_sentence_or_the_code() -> None:
    body = GymQueueError("what", {"error": "x", "code": "y"}).to_wire()
    assert body == {"error": "what", "code": "internal"}


def test_changing_the_given_details_changes_no_error() -> None:
    details = {"a": 1}
    error = GymQueueError("what", details)
    details["a"] = 2
    assert error.details == {"a": 1}


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "malformed"), (401, "unauthorized"), (404, "env_not_found"), (410, "env_lost"), (418, "internal"),
     (422, "request_invalid"), (502, "bad_reply"), (503, "no_capacity"), (504, "gateway_timeout")],
)  # fmt: skip
def test_without_a_known_code_the_status_decides(status: int, code: str) -> None:
    assert from_wire(status, {"error": "x", "code": "of a later version"}).code == code


@pytest.mark.parametrize(
    "body", [{}, {"error": None}, {"code": None}, {"code": ["a"]}, {"error": ""}, {"detail": None}]
)
def test_a_body_without_a_reason_still_makes_a_sentence(body: dict) -> None:
    assert str(from_wire(500, body)) == "the server answered 500 without a reason"


@pytest.mark.parametrize(("value", "text"), [({"a": 1}, "{'a': 1}"), (["x"], "['x']"), (7, "7")])
def test_a_reason_that_is_no_string_becomes_one(value: object, text: str) -> None:
    assert str(from_wire(500, {"error": value})) == text
    assert str(from_wire(500, {"detail": value})) == text
