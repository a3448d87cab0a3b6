from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import NotSupported, VerifierFailed
from gym_queue.specs.loader import parse_task
from gym_queue.verifiers import Verdict, check_supported
from gym_queue.verifiers.base import parse_verdict
from tests.unit.verifiers.conftest import Bench

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)


def parse(raw: object) -> Verdict:
    return parse_verdict(raw, mode="program", where="v")


def test_a_verdict_is_shown_with_its_extras() -> None:
    verdict = parse({"passed": False, "score": 30, "feedback": "a", "details": [1], "mode": "mine"})
    expected = {"mode": "program", "passed": False, "score": 30.0, "feedback": "a", "details": [1]}
    assert verdict.to_info() == expected


@pytest.mark.parametrize(("passed", "score"), [(True, 100.0), (False, 0.0)])
def test_a_missing_score_follows_passed(passed: bool, score: float) -> None:
    assert parse({"passed": passed}).score == score


@pytest.mark.parametrize(
    "raw", [None, True, 1, "yes", [], {}, {"score": 1}, {"passed": 1}, {"passed": "True"}]
)
def test_what_is_no_verdict_is_refused(raw: object) -> None:
    with pytest.raises(VerifierFailed, match="must return a dict with passed"):
        parse(raw)


@pytest.mark.parametrize(
    "score", [math.nan, math.inf, -math.inf, -1, 100.5, 10**400, -(10**400), True, "50", None, [50]]
)
def test_a_score_that_is_no_number_from_0_to_100_is_refused(score: object) -> None:
    with pytest.raises(VerifierFailed, match="score"):
        parse({"passed": True, "score": score})


@given(st.dictionaries(st.sampled_from(["passed", "score", "feedback", "x"]), JSON))
def test_any_answer_is_a_verdict_or_one_typed_error(raw: dict[str, Any]) -> None:
    try:
        verdict = parse(raw)
    except VerifierFailed:
        return
    assert 0 <= verdict.score <= 100


@pytest.mark.parametrize("mode", [None, "program", "image_match", "multi", "vlm_checklist"])
def test_every_mode_of_the_format_is_supported(mode: str | None) -> None:
    check_supported(mode)


def test_another_mode_is_refused() -> None:
    with pytest.raises(NotSupported, match="ocr"):
        check_supported("ocr")


@pytest.mark.parametrize("spec", [{}, {"program": ""}, {"program": "verifier.py"}, {"program": None}])
def test_a_success_without_a_program_is_an_error(bench: Bench, spec: dict) -> None:
    with pytest.raises(VerifierFailed, match="names no verifier"):
        bench.judge(program=spec.get("program") or "")


def test_the_task_is_typed() -> None:
    assert parse_task({"id": "t", "success": {}}, where="t").success is not None
