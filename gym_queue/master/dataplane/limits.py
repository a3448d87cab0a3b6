"""How long and how much the data plane bears."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.web.limits import DoorLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of clients' and workers' connections; a sweep every ``sweep_s`` enforces those of time."""

    sweep_s: float = 1.0
    connections: int = 20_000
    """Clients at once; further ones are hung up on."""
    per_address: int = 8192
    """Clients at once from one address; further ones are told so, and hung up on."""
    head_s: float = 10.0
    """Longest a request's head may take to come in."""
    idle_s: float = 75.0
    """Longest a client may stay without a request."""
    silence_s: float = 60.0
    """Longest silence in the middle of a request's body, and longest a client may not take a byte of its answer."""
    body_s: float = 600.0
    """Longest a request's body may take to come in, unless it is a file."""
    drain_silence_s: float = 2.0
    drain_s: float = 30.0
    """Longest a client that still sends after its answer is listened to, so that it gets to read it."""
    held_bytes: int = 256 << 10
    """Bytes of later, pipelined requests, and of a body whose worker is being connected to, held per client."""
    connect_s: float = 5.0
    """Longest a worker may take to accept a connection."""
    worker_idle_s: float = 55.0
    """Below the 75 s after which our workers hang up, so that a request seldom meets a closing connection."""
    worker_idle: int = 1024
    """Idle connections kept per worker."""
    worker_opening: int = 32
    """Connections being opened per worker; a burst of more would overrun the queue of its listening socket."""
    worker_connections: int = 4096
    """Connections per worker; further calls wait for one."""

    @classmethod
    def of(cls, door: DoorLimits) -> Limits:
        """Return limits that are, for clients, those of a program's settings."""
        return cls(
            connections=door.connections,
            per_address=door.per_address,
            head_s=door.head_s,
            silence_s=door.silence_s,
            body_s=door.body_s,
        )


DEFAULT_LIMITS = Limits()
