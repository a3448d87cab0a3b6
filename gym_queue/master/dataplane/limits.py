"""How long and how much the data plane bears."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.web.limits import ConnectionLimits


@dataclass(frozen=True, slots=True)
class Limits(ConnectionLimits):
    """Of clients' and workers' connections."""

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


DEFAULT_LIMITS = Limits()
