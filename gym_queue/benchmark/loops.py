"""A loop as its run sees it: what it works on, and what its end means."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from gym_queue.benchmark.attempt import Attempt, AttemptError, Outcome
from gym_queue.benchmark.messages import Job, ToLoop
from gym_queue.errors import AgentFailed, AgentTimeout, EnvLost, GymQueueError

CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT})
"""Signals that a process brings on itself."""


@dataclass(slots=True, eq=False)
class LoopView:
    """A loop, and how far it is with its try."""

    number: int
    channel: Connection
    scratch: Path
    job: Job | None = None
    since: float = 0.0
    """When the job was given, by the run's clock."""
    steps: int = 0
    turn: str | None = None
    """Code of the agent that runs."""
    turn_since: float = 0.0
    failure: GymQueueError | None = None
    """Why the run killed it."""
    is_closing: bool = False
    """Its environment is being closed: another loop may begin with the next try."""
    is_mute: bool = False
    """Nothing more will come from it."""

    @property
    def is_busy(self) -> bool:
        """Whether it counts among those that may run at once."""
        return self.job is not None and not self.is_closing

    def tell(self, message: ToLoop) -> bool:
        """Send it something; return whether it is still there."""
        try:
            self.channel.send(message)
        except OSError:
            self.is_mute = True
        return not self.is_mute

    def begin(self, job: Job, now: float) -> bool:
        """Give it a try to run; return whether it is still there."""
        if not self.tell(job):
            return False
        self.job, self.since, self.steps, self.turn, self.is_closing = job, now, 0, None, False
        return True

    def turns(self, where: str | None, now: float) -> None:
        """Note that code of the agent begins to run, or has returned."""
        self.turn, self.turn_since = where, now

    def overdue(self, now: float, timeout_s: float) -> AgentTimeout | None:
        """Return what to say of an agent that takes too long; None while it does not."""
        if not timeout_s or self.turn is None or now - self.turn_since <= timeout_s:
            return None
        return AgentTimeout(
            f"the agent took longer than {timeout_s:g} s in its {self.turn}: its process was ended; "
            "--agent-timeout gives it longer"
        )

    def epitaph(self, status: int, now: float) -> tuple[Attempt, bool]:
        """Return what became of its try now that it has ended, and whether the infrastructure lost it.

        Args:
            status: Its exit status; minus the signal that killed it.
            now: By the run's clock.
        """
        assert self.job is not None  # noqa: S101  the caller has seen to it
        error = self.failure or self._cause(status)
        attempt = Attempt(
            **self.job.key._asdict(),
            outcome=Outcome.ERROR,
            steps=self.steps,
            seconds=now - self.since,
            error=AttemptError(code=error.code, message=str(error)),
            env_id=self.job.env_id,
        )
        return attempt, isinstance(error, EnvLost)

    def _cause(self, status: int) -> GymQueueError:
        where = f"in its {self.turn}" if self.turn else "between its turns"
        if status >= 0:
            return AgentFailed(f"the agent ended its process with status {status} {where}")
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        if -status in CRASHES and self.turn:
            return AgentFailed(f"the agent crashed its process ({name}) {where}")
        return EnvLost(
            f"the process that ran the attempt was killed ({name}): perhaps the machine ran out of memory"
        )
