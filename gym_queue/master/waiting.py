"""One create that has not been answered, and what may be wrong with one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field

from gym_queue.errors import (
    Conflict,
    GymQueueError,
    MasterUnreachable,
    NoCapacity,
    NotSupported,
    RequestInvalid,
)
from gym_queue.log import current_id
from gym_queue.master.facts import About
from gym_queue.master.placement import Need, Placement
from gym_queue.names import RUNNERS
from gym_queue.protocol.sessions import CreateReply, CreateRequest

RETRY_AFTER_S = 5.0
ABOUT_CHARS = 2000
"""Longest metadata, as JSON, that is kept for as long as the environment lives."""
SHOWN = 100
"""Characters of a caller's own words that an error repeats."""


@dataclass(slots=True)
class Waiting:
    """A create that has not been answered; only Creates changes it."""

    request: CreateRequest
    need: Need
    digest: str
    order: tuple[int, int]
    """Sorts by priority, then arrival."""
    since: float
    answer: asyncio.Future[CreateReply]
    excluded: dict[str, str] = field(default_factory=dict)
    """Workers that failed it, and how."""
    failures: int = 0
    """Workers that tried and failed; those that said they cannot run it are not counted."""
    placement: Placement | None = None
    """Where it is on its way to; None while it waits."""
    process: int | None = None
    """The process it was sent to, as Fleet tells them apart."""
    not_before: float = 0.0
    """When it may be sent, on the master's clock."""
    why_not: dict[str, str] = field(default_factory=dict)
    callers: int = 0
    """Clients that wait for the answer."""
    wanted_until: float = 0.0
    """Until when it waits for its client to ask again, on the master's clock; 0 when there was no restart."""
    task: asyncio.Task[None] | None = None
    """Takes it to its worker."""
    is_given_up: bool = False
    """Its worker has stopped answering: another one shall do it."""
    sent: float | None = None
    """When it was last sent to a worker, on the master's clock."""
    request_id: str | None = field(default_factory=lambda: current_id("request_id"))
    """Of the request that brought it; None of one that an earlier master wrote down."""
    awaits: str = field(init=False)
    """The same for all that wait for the same thing: one text, as it is compared often."""

    def __post_init__(self) -> None:
        self.awaits = self.need.capability

    @property
    def env_id(self) -> str:
        """The environment's id."""
        return str(self.request.env_id)

    @property
    def ids(self) -> dict[str, str | None]:
        """What is on the log's lines about it, whoever's request sends it on its way."""
        return {"request_id": self.request_id, "env_id": self.env_id}

    def is_wanted(self, now: float) -> bool:
        """Return whether somebody waits for it, or may ask for it again after a restart."""
        return (self.callers > 0 or now < self.wanted_until) and not self.answer.done()

    def about(self) -> About:
        """Return what was asked for, as it is shown to people; metadata that is long is left out."""
        request, spec = self.request, self.request.env_spec or {}
        folder = (request.env_dir or "").rstrip("/").rpartition("/")[2]
        task = (request.task_spec or {}).get("id")
        runner = None if self.placement is None else self.placement.runner
        known = (("env", folder or request.env_name or spec.get("id")), ("task_id", request.task_id or task))
        named = {name: str(value)[:SHOWN] for name, value in known if value}
        is_short = len(json.dumps(request.metadata)) <= ABOUT_CHARS
        metadata = request.metadata if is_short else {}
        return About(**named, runner=runner or request.runner, metadata=metadata)

    @property
    def outcome(self) -> str:
        """How it was answered: created, or the error's code; given_up when nobody waited for that."""
        if not self.answer.done() or self.answer.cancelled():
            return "given_up"
        error = self.answer.exception()
        return "created" if error is None else getattr(error, "code", "internal")

    def refuse(self, error: GymQueueError) -> None:
        """Answer with an error, unless it is answered."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # its client may have left already


def digest_of(request: CreateRequest) -> str:
    """Return what tells this request from others, apart from how long and how urgently it waits."""
    asked = request.model_dump(mode="json", exclude={"env_id", "queue_timeout_s", "priority"})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def check_digest(env_id: str, known: str | None, asked: str) -> None:
    """Refuse a create that bears the id of another.

    Raises:
        Conflict: The environment was asked for with another request.
    """
    if known is not None and known != asked:
        raise Conflict(
            f"environment {env_id} was created by another request: repeat that one as it was, or choose a new env_id"
        )


def check_request(request: CreateRequest) -> None:
    """Refuse a create that names a runner nobody knows.

    Raises:
        RequestInvalid: The runner, or the one of its spec, is unknown.
    """
    given = (("runner", request.runner), ("env_spec.runner", (request.env_spec or {}).get("runner")))
    for where, runner in given:
        if runner is not None and not (isinstance(runner, str) and runner in RUNNERS):
            raise RequestInvalid(
                f"{where}: the runner {str(runner)[:SHOWN]!r} is unknown: known are {', '.join(RUNNERS)}"
            )


def shutting_down() -> MasterUnreachable:
    """Return what creates are answered with when the master ends: the next one goes on with them."""
    return MasterUnreachable("the master is stopping: try again in a moment")


def no_capacity(what: str, waiting: Waiting) -> NoCapacity:
    """Return the refusal of a create, with the reasons."""
    reasons = "; ".join(f"{worker_id}: {why}" for worker_id, why in list(waiting.why_not.items())[:5])
    return NoCapacity(
        f"{what}{' (' + reasons + ')' if reasons else ''}",
        {"retry_after_s": RETRY_AFTER_S, "unplaceable": waiting.why_not},
    )


def hopeless(waiting: Waiting, *, any_alive: bool, could_ever: bool) -> GymQueueError:
    """Return the refusal of a create that no worker of the fleet could take even when idle.

    Args:
        waiting: The create, with the reasons.
        any_alive: Whether there is any worker that lives.
        could_ever: Whether a worker that is or was here could have taken it.
    """
    if not any_alive and not waiting.why_not:
        return _never(
            no_capacity("no worker is registered: start one with gym-anything-worker --master-url", waiting)
        )
    sentence = f"no worker of this fleet can ever take it (needs {waiting.need.capability})"
    refused = _never(no_capacity(sentence, waiting))
    refused = NoCapacity(
        f"{refused.message}; start a worker that can, or the master with --wait-for-workers", refused.details
    )
    if not any_alive or could_ever:
        return refused
    return NotSupported(refused.message, {"unplaceable": waiting.why_not})


def _never(error: NoCapacity) -> NoCapacity:
    """Return the error, saying that to wait is no use."""
    return NoCapacity(error.message, {**error.details, "hopeless": True})
