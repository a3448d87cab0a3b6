"""``query_vlm``: the questions that a program verifier has put to a model by the process that holds the key."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import VerifierRequest
from gym_queue.verifiers.vlm.answer import find_object
from gym_queue.verifiers.vlm.backends import Picture
from gym_queue.verifiers.vlm.client import ModelClient
from gym_queue.verifiers.vlm.pictures import MAX_PICTURES, show
from gym_queue.verifiers.vlm.settings import (
    PREFIX,
    ModelSettings,
    VariableLookup,
    first_problem,
    read_settings,
)

logger = logging.getLogger(__name__)

UNSET = "no model is named for query_vlm: set VLM_BACKEND and VLM_MODEL in verifier_env"


class Question(BaseModel):
    """What ``query_vlm`` takes besides pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = Field(min_length=1, max_length=1 << 20)
    max_tokens: int = Field(2048, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)


class ModelCalls:
    """Collects a question's pictures and asks it.

    Args:
        request: The episode; ``variables`` name the model.
    """

    def __init__(self, request: VerifierRequest) -> None:
        self._request = request
        self._pictures: list[Picture] = []
        self.missing: str | None = None
        """Why a question was not asked: no model is named."""

    def answer(self, name: str, arguments: list[str], *, timeout_s: float) -> dict[str, Any]:
        """Take a picture (``add_image``), or ask about those taken since the last question (``query_vlm``).

        Raises:
            VerifierFailed: A model is named and does not answer.
        """
        try:
            argument = arguments[0]
            if name == "add_image":
                self._add(argument)
                return {"value": None}
            question = Question.model_validate_json(argument)
        except ValidationError as error:
            return {"error": f"query_vlm: {first_problem(error)}", "kind": "ValueError"}
        except (VerifierFailed, LookupError, ValueError) as error:
            return {"error": f"query_vlm: {error}", "kind": "ValueError"}
        pictures, self._pictures = self._pictures, []
        return {"value": self._ask(question, pictures, timeout_s)}

    def _add(self, encoded: str) -> None:
        if len(self._pictures) >= MAX_PICTURES:
            raise VerifierFailed(f"a question has {MAX_PICTURES} images at most")
        number = len(self._pictures) + 1
        self._pictures.append(show(base64.b64decode(encoded), count=1, what=f"number {number}"))

    def _ask(self, question: Question, pictures: list[Picture], timeout_s: float) -> dict[str, Any]:
        task = self._request.task.id
        lookup = VariableLookup(self._request.variables, {}, prefix=PREFIX)
        settings = read_settings(lookup, task=task)
        if settings is None:
            logger.warning("the verifier of task %s: %s", task, UNSET)
            self.missing = UNSET
            return {"success": False, "response": "", "parsed": {}, "error": UNSET}
        text = ModelClient(_adjusted(settings, question)).ask(
            question.prompt, _fitted(pictures), timeout_s=timeout_s
        )
        return {"success": True, "response": text, "parsed": find_object(text) or {}, "error": ""}


def _adjusted(settings: ModelSettings, question: Question) -> ModelSettings:
    asked = json.loads(question.model_dump_json(exclude={"prompt"}, exclude_none=True))
    return settings.model_copy(update=asked)


def _fitted(pictures: list[Picture]) -> list[Picture]:
    """Return pictures that one call takes together."""
    count = len(pictures)
    return [show(each.data, count=count, what=f"number {i}") for i, each in enumerate(pictures, 1)]
