"""The books: what clients sent and were answered, and whether each step was played once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.errors import EnvLost


class Ledger(BaseModel):
    """What became of everything that was asked for."""

    model_config = ConfigDict(validate_assignment=True)

    steps_sent: int = 0
    steps_answered: int = 0
    steps_doubled: int = 0
    """Played more than once."""
    steps_lost: int = 0
    """Answered, and not played."""
    envs_created: int = 0
    envs_closed: int = 0
    envs_lost: int = 0
    """Of which a client was told that they are gone."""
    envs_recreated: int = 0
    """Opened by the client library in the place of lost ones."""
    errors: dict[str, int] = Field(default_factory=dict)
    """What clients were told, by code."""
    slots_leaked: int = 0
    """Slots that nobody uses and that did not come back."""
    processes_leaked: int = 0
    """Processes that outlived their fleet."""

    def count_error(self, code: str) -> None:
        """Count one error that a client was told."""
        self.errors[code] = self.errors.get(code, 0) + 1

    @property
    def failures(self) -> int:
        """Errors other than the word that an environment is lost."""
        return sum(count for code, count in self.errors.items() if code != EnvLost.code)


def total(ledgers: list[Ledger]) -> Ledger:
    """Return the sum of ledgers."""
    summed = Ledger()
    for name in Ledger.model_fields:
        if name != "errors":
            setattr(summed, name, sum(getattr(ledger, name) for ledger in ledgers))
    summed.errors = dict(sum((Counter(ledger.errors) for ledger in ledgers), Counter()))
    return summed


@dataclass(frozen=True, slots=True)
class Loss:
    """A client was told that its environment is gone. Times are those of one clock, in seconds."""

    env_id: str
    worker_id: str
    since: float
    """When its create was sent: it cannot have been there before."""
    at: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker, or the process of one of its environments, was killed between two times."""

    worker_id: str
    began: float
    ended: float

    def explains(self, loss: Loss) -> bool:
        """Whether an environment can have been lost by it."""
        return self.worker_id == loss.worker_id and loss.since <= self.ended and self.began <= loss.at


class Excuses:
    """The losses that were to be expected: of workers and environments that were killed."""

    def __init__(self) -> None:
        self._workers: list[Kill] = []
        self._processes: list[Kill] = []

    def worker_killed(self, kill: Kill) -> None:
        """Excuse the loss of all that a worker had."""
        self._workers.append(kill)

    def process_killed(self, kill: Kill) -> None:
        """Excuse the loss of one of a worker's environments."""
        self._processes.append(kill)

    def unexcused(self, losses: list[Loss]) -> list[Loss]:
        """Return the losses that nothing explains."""
        left, found = list(self._processes), []
        for loss in sorted(losses, key=lambda loss: loss.at):
            if any(kill.explains(loss) for kill in self._workers):
                continue
            cause = next((kill for kill in left if kill.explains(loss)), None)
            if cause is None:
                found.append(loss)
            else:
                left.remove(cause)
        return found


class StepCount:
    """Follows one episode: each answered step must be the one after the last, and act once."""

    def __init__(self) -> None:
        self._next = 0
        self._acted = 0
        self._is_unsure = False

    def begin(self) -> None:
        """An episode begins."""
        self._next = self._acted = 0
        self._is_unsure = False

    def unanswered(self) -> None:
        """A step got an error: whether it was played is not known."""
        self._is_unsure = True

    def take(self, step: int, acted: int) -> tuple[int, int]:
        """Take an answer.

        Args:
            step: ``info["step"]``, from 0.
            acted: Actions that the sandbox has carried out in this episode; each step has one.

        Returns:
            How many steps were played twice, and how many were lost.
        """
        ahead = step - self._next
        twice = acted - self._acted - 1 - ahead  # acts of one step beyond its first
        if self._is_unsure and ahead == 1:
            ahead = 0
        self._next, self._acted, self._is_unsure = step + 1, acted, False
        return max(ahead, 0) + max(twice, 0), max(-ahead, 0) + max(-twice, 0)
