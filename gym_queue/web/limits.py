"""How much a server takes from whoever reaches its port, and how long it waits for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Self

from gym_queue.errors import TooManyConnections
from gym_queue.settings import ServerSettings

MIB = 1 << 20
FILES = "files"
"""The call whose body is a file."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Largest bodies, in bytes."""

    create_bytes: int = 8 * MIB
    """Of a create, which may hold whole specs."""
    other_bytes: int = 1 * MIB
    """Of every other call but a step."""

    @classmethod
    def of(cls, settings: ServerSettings) -> BodyLimits:
        """Return those of a program's settings."""
        return cls(int(settings.create_body_mb * MIB), int(settings.body_mb * MIB))


DEFAULT_BODIES = BodyLimits()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Of clients' connections; a sweep every ``sweep_s`` enforces those of time."""

    sweep_s: float = 1.0
    connections: int = 20_000
    """At once; further ones are hung up on."""
    per_address: int = 8192
    """At once from one address; further ones are told so, and hung up on."""
    head_s: float = 10.0
    """Longest a request's head may take to come in."""
    silence_s: float = 60.0
    """Longest silence within a request's body, and longest a client may take no byte of its answer."""
    body_s: float = 600.0
    """Longest a request's body may take to come in, unless it is a file."""
    idle_s: float = 75.0
    """Longest a connection may stay without a request."""

    @classmethod
    def of(cls, settings: ServerSettings) -> Self:
        """Return those of a program's settings."""
        return cls(
            connections=settings.max_connections,
            per_address=settings.connections_per_address,
            head_s=settings.head_timeout_s,
            silence_s=settings.silence_timeout_s,
            body_s=settings.body_timeout_s,
        )


@dataclass(frozen=True, slots=True)
class DoorLimits(ConnectionLimits):
    """Of connections to an app."""

    head_bytes: int = 64 << 10
    """Of a request's line and headers."""
    drain_s: float = 2.0
    """How long a client that was refused is listened to, so that it gets to read why."""


def is_stream(path: str) -> bool:
    """Whether a call's body may be a file of any size: it may come in for as long as it is not silent."""
    parts = path.split("/")
    return len(parts) == 4 and parts[1] == "envs" and parts[3] == FILES


class Addresses:
    """How many connections each address has.

    Args:
        limit: Of one address.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def enter(self, address: str) -> None:
        """Count a connection in.

        Raises:
            TooManyConnections: Its address has as many as one may have; it is not counted.
        """
        if self._counts[address] >= self._limit:
            raise TooManyConnections(
                f"{address} has {self._limit} connections to this server, as many as one address may have: close some, or use those there are",
                {"max_connections": self._limit, "retry_after_s": 1, "sent": False},
            )
        self._counts[address] += 1

    def leave(self, address: str) -> None:
        """Count a connection out that was counted in."""
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
