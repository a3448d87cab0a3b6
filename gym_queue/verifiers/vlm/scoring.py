"""From a model's verdicts on items to a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import plain_text
from gym_queue.verifiers.vlm.answer import find_object
from gym_queue.verifiers.vlm.settings import first_problem

WORTH = {"pass": 1.0, "partial": 0.5, "fail": 0.0}
"""A verdict → the part of the item's points that it earns."""


def _as_text(value: object) -> str:
    return "" if value is None else plain_text(str(value))


Words = Annotated[str, BeforeValidator(_as_text)]
"""What a model says besides its verdicts, in whatever form."""


class Listed(Protocol):
    """An item of a checklist."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def points(self) -> float | None:
        """What it is worth; None is 1."""


class Judged(BaseModel):
    """What a model says of one item."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    id: str
    verdict: Literal["pass", "partial", "fail"]
    evidence: Words = ""

    @field_validator("verdict", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value


class Answer(BaseModel):
    """What a model is to answer."""

    model_config = ConfigDict(frozen=True)

    task_completion: tuple[Judged, ...]
    integrity: tuple[Judged, ...] = ()
    overall_reasoning: Words = ""


@dataclass(frozen=True, slots=True)
class Score:
    """An episode's score."""

    completion: float
    """0 to 100."""
    integrity: float
    """The part of the integrity items that passed, 0 to 1; 1 without any."""
    is_fair: bool
    """Whether that is enough."""
    items: tuple[Judged, ...]
    reasoning: str


def read_answer(text: str, completion: Sequence[Listed], integrity: Sequence[Listed], *, task: str) -> Answer:
    """Return a model's answer, checked: every item is judged once, and none that is not listed.

    Raises:
        VerifierFailed: It is no such answer.
    """
    found = find_object(text)
    if found is None:
        raise VerifierFailed(
            f"the model that judges the task {task} answered no JSON object: {plain_text(text)!r:.300}; ask another"
        )
    try:
        answer = Answer.model_validate(found)
    except ValidationError as error:
        raise VerifierFailed(
            f"the model that judges the task {task} answered in another form: {first_problem(error)}; ask another"
        ) from error
    _check_ids("task_completion", answer.task_completion, completion, task)
    _check_ids("integrity", answer.integrity, integrity, task)
    if any(each.verdict == "partial" for each in answer.integrity):
        raise VerifierFailed(
            f"the model that judges the task {task} answered in another form: an integrity item passes or fails, and is not partial; ask another"
        )
    return answer


def _check_ids(where: str, judged: Sequence[Judged], listed: Sequence[Listed], task: str) -> None:
    told, asked = [each.id for each in judged], [each.id for each in listed]
    if sorted(told) != sorted(asked):
        raise VerifierFailed(
            f"the model that judges the task {task} was asked for the {where} items {asked!r:.300} and judged {told!r:.300}: ask another"
        )


def score_of(answer: Answer, listed: Sequence[Listed], integrity_threshold: float) -> Score:
    """Return what an answer is worth.

    Args:
        answer: A verdict on each item.
        listed: The completion items, whose points do not sum to 0.
        integrity_threshold: The least part of the integrity items that must pass, 0 to 1.
    """
    points = {item.id: 1.0 if item.points is None else item.points for item in listed}
    earned = sum(WORTH[each.verdict] * points[each.id] for each in answer.task_completion)
    passed = sum(each.verdict == "pass" for each in answer.integrity)
    rate = passed / len(answer.integrity) if answer.integrity else 1.0
    return Score(
        min(100.0, 100 * earned / sum(points.values())),
        rate,
        rate >= integrity_threshold,
        answer.task_completion + answer.integrity,
        answer.overall_reasoning,
    )
