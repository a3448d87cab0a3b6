"""What a master writes down of what it owns, so that the next one on the same state goes on from it."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field, JsonValue

from gym_queue.protocol.fleet import Registration
from gym_queue.protocol.sessions import CreateReply, CreateRequest, Message

WORKER, GONE, ROUTE, CREATE = "worker", "gone", "route", "create"
"""Kinds of facts; those of Memory have names of their own."""


class Notes(Protocol):
    """Takes facts as they come to hold, and never blocks."""

    def note(self, kind: str, key: str, fact: str | None) -> None:
        """Write down that a fact holds now, as JSON; None: that it does not hold any more."""


class NoNotes:
    """Writes nothing down."""

    def note(self, kind: str, key: str, fact: str | None) -> None:
        """Forget it."""


class WorkerFact(Message):
    """A worker is, or was, in the fleet."""

    registration: Registration
    draining: bool = False
    dead: bool = False
    registered_at: float
    """Unix seconds."""


class About(Message):
    """What an environment was asked for with, as far as people want to see it."""

    env: str | None = None
    """The folder's name, or the spec's id."""
    task_id: str | None = None
    runner: str | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class RouteFact(Message):
    """An environment lives on a worker."""

    env_id: str
    worker_id: str
    worker_url: str
    since: float
    """Unix seconds."""
    reply: CreateReply | None = None
    digest: str | None = None
    about: About | None = None


class SentTo(Message):
    """Where a create is on its way to."""

    worker_id: str
    worker_url: str
    runner: str | None = None
    queue: str | None = None


class CreateFact(Message):
    """A create has not been answered."""

    request: CreateRequest
    digest: str
    order: tuple[int, int]
    since: float
    """Unix seconds."""
    sent_to: SentTo | None = None
    """None while it waits for a slot."""


class Ended(Message):
    """An environment came to its end."""

    why: str
    worker_id: str | None = None
    at: float = 0.0
    """Unix seconds."""
