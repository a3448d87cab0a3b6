"""What a person at the dashboard has done by an agent: the calls of an environment's mailbox, which its master keeps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from gym_queue import errors
from gym_queue.protocol.calls import BODY_ERRORS, Call
from gym_queue.protocol.numbers import Whole
from gym_queue.protocol.sessions import Message, Request, ShownAsAction

MAX_ACTIONS = 100
"""Of one input."""
MAX_WAIT_S = 30.0
"""Longest that one call waits for the next input: proxies hang up on what is silent for a minute."""
MAX_TEXT_CHARS = 8000
"""Of what the agent tells."""
MAX_NOTE_CHARS = 1000
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

Listens = Literal["waits", "busy", "nobody"]
"""What the agent does: it waits for input, carries out what it took, or has not asked for long."""


class HandInput(Request):
    """What a person did: one step of the agent."""

    id: str = Field(pattern=ID_PATTERN)
    """Chosen by the sender, so that the call can be repeated."""
    actions: list[Annotated[dict[str, Any], ShownAsAction()]] = Field(
        default_factory=list, max_length=MAX_ACTIONS
    )
    """In their order."""
    done: StrictBool = False
    """The person is finished: the attempt ends after these actions, and is judged."""
    note: str = Field("", max_length=MAX_NOTE_CHARS)
    """Kept in the trajectory beside the step."""


class HandPlaced(Message):
    """An input that was put into the mailbox."""

    position: Annotated[int, Whole(0, None)]
    """How many are before it."""
    listens: Listens


class HandTold(Request):
    """What the agent tells the person."""

    task_id: str = Field("", max_length=200)
    task: str = Field("", max_length=MAX_TEXT_CHARS)
    """What is to be done."""
    step: Annotated[int, Whole(0, 10_000_000)] = 0
    """Index of the coming step."""
    refused: str = Field("", max_length=MAX_TEXT_CHARS)
    """Why the last input was not carried out; empty when it was."""


class HandView(Message):
    """What there is to know of a mailbox."""

    listens: Listens
    waiting: list[str]
    """Ids of the inputs that are not carried out yet, the next one first."""
    told: HandTold | None
    """The agent's latest words; None before it first asked."""


class HandAsk(Request):
    """``POST /api/envs/{env_id}/hand/next``."""

    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S, strict=True)
    """How long to wait for an input, in seconds."""
    took: str | None = Field(None, pattern=ID_PATTERN)
    """The input that was carried out; until it is named here, it comes again."""
    told: HandTold | None = None
    """None leaves what was told before."""


PATH = "/api/envs/{env_id}/hand"
INPUT_EXAMPLE: dict[str, Any] = {"id": "i-1", "actions": [{"mouse": {"left_click": [640, 360]}}]}
TOLD_EXAMPLE = {"task_id": "largest_file", "task": "Find the largest file.", "step": 3, "refused": ""}
ENV_ERRORS = (errors.EnvNotFound, errors.EnvLost, errors.MasterRecovering)
HAND_CALLS = (
    Call(
        method="GET",
        path=PATH,
        summary="Whether an agent waits for a person's input, what it tells, and the inputs that wait.",
        reply=HandView,
        reply_example={"listens": "waits", "waiting": [], "told": TOLD_EXAMPLE},
        errors=ENV_ERRORS,
    ),
    Call(
        method="POST",
        path=PATH,
        summary="Give the agent of an environment the next input.",
        body=HandInput,
        body_example=INPUT_EXAMPLE,
        reply=HandPlaced,
        reply_example={"position": 0, "listens": "waits"},
        errors=(
            *(*ENV_ERRORS, *BODY_ERRORS, errors.ActionInvalid),
            *(errors.EnvState, errors.Conflict, errors.QuotaExceeded),
        ),
    ),
    Call(
        method="POST",
        path=f"{PATH}/next",
        summary="Wait, as an environment's agent, for the next input.",
        body=HandAsk,
        body_example={"wait_s": 25.0, "took": "i-0", "told": TOLD_EXAMPLE},
        reply=HandInput,
        reply_example=INPUT_EXAMPLE,
        others={"204": {"description": "There was none; ask again"}},
        errors=(*ENV_ERRORS, *BODY_ERRORS, errors.QuotaExceeded),
    ),
)
"""What a master answers itself."""
