"""What chaos needs of a fleet; ``gym_queue.testing.Fleet`` has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Shape:
    """The fleet that a scenario plays on."""

    workers: int = 2
    slots: int = 8
    """Of each worker."""
    heartbeat_s: float = 5.0
    grace_s: float = 0.0
    """How long a worker that is asked to end lets environments finish."""
    networks: bool = False
    """Whether each worker should have a network of its own, which can be cut."""


class Cluster(Protocol):
    """Real processes that can be killed, stopped and started again. Workers are named by number, from 0.

    All of it blocks until it is done; what starts a program returns once that serves.
    """

    url: str

    def kill_master(self) -> None:
        """End it by SIGKILL."""

    def restart_master(self) -> None:
        """Start it again: same port, same state."""

    def pause_master(self) -> None:
        """Stop it by SIGSTOP."""

    def resume_master(self) -> None:
        """Let it go on."""

    def worker_id(self, number: int) -> str:
        """Return what a worker is called."""

    def kill_worker(self, number: int) -> None:
        """End it by SIGKILL."""

    def restart_worker(self, number: int) -> None:
        """Start it again, under its name."""

    def pause_worker(self, number: int) -> None:
        """Stop it by SIGSTOP."""

    def resume_worker(self, number: int) -> None:
        """Let it go on."""

    def terminate_worker(self, number: int) -> int:
        """Ask it to end, by SIGTERM, and return its exit status."""

    def kill_env_process(self, number: int) -> bool:
        """End the process of one of a worker's environments by SIGKILL; return whether there was one."""

    def kill_broker(self) -> None:
        """End the embedded redis-server by SIGKILL."""

    def restart_broker(self) -> None:
        """Start it again on its files."""

    def pause_broker(self) -> None:
        """Stop it by SIGSTOP."""

    def resume_broker(self) -> None:
        """Let it go on."""

    def cut_worker(self, number: int) -> None:
        """Take its network away."""

    def mend_worker(self, number: int) -> None:
        """Give its network back."""

    @property
    def can_cut(self) -> bool:
        """Whether networks can be cut."""

    def processes(self) -> list[int]:
        """Return the pids of all processes that were started for it, by whomever, and live."""

    def log_text(self) -> str:
        """Return what its programs have logged."""


Start = Callable[[Shape], AbstractContextManager[Cluster]]
