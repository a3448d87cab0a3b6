"""What a scenario plays on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gym_queue.chaos.cluster import Cluster, Shape
from gym_queue.chaos.driver import Books, Driver, null_spec
from gym_queue.chaos.ledger import Ledger
from gym_queue.chaos.survey import Survey, becomes
from gym_queue.chaos.verdict import Check, at_most, equal
from gym_queue.errors import GymQueueError

T = TypeVar("T")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of it."""

    quick: bool = False
    """A smaller form of everything, for tests."""
    seconds: float = 60.0
    """Of random faults."""
    seed: int = 0

    def pick(self, full: T, quick: T) -> T:
        """Return the one that is wanted."""
        return quick if self.quick else full


@dataclass(slots=True)
class Stage:
    """A fleet, and the books of its clients."""

    cluster: Cluster
    shape: Shape
    token: str
    amount: Amount
    say: Say
    survey: Survey
    books: Books = field(default_factory=Books)
    notes: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        """The books' sums."""
        return self.books.ledger

    def driver(self, spec: dict[str, Any] | None = None, **options: Any) -> Driver:
        """Return a client that has no environment yet."""
        return Driver(self.cluster.url, self.token, spec or null_spec(), self.books, **options)

    async def do(self, fault: Callable[..., T], *arguments: object) -> T:
        """Run what blocks: something of the cluster."""
        return await asyncio.to_thread(fault, *arguments)

    async def players(self, count: int, spec: dict[str, Any]) -> list[Driver]:
        """Return clients with an environment each, at the start of an episode.

        Raises:
            GymQueueError: One could not be opened.
        """
        drivers = [self.driver(spec) for _ in range(count)]
        await asyncio.gather(*(driver.open() for driver in drivers))
        await asyncio.gather(*(driver.reset() for driver in drivers))
        return drivers

    def once(self) -> list[Check]:
        """Return the checks that hold in every scenario: nothing twice, nothing lost on the way."""
        ledger = self.ledger
        return [
            equal("steps played twice", ledger.steps_doubled, 0),
            equal("steps lost", ledger.steps_lost, 0),
        ]

    async def count_leaks(self, timeout_s: float = 20.0) -> Check:
        """Return the check that every slot comes back, once all clients have closed."""
        self.ledger.slots_leaked = await self.survey.slots_left(timeout_s)
        return equal("slots leaked", self.ledger.slots_leaked, 0)


async def played_on(drivers: Iterable[Driver], *, more: int = 3, timeout_s: float = 60.0) -> Check:
    """Wait until each driver was answered so many more steps; return how long that took as a check."""
    goals = [(driver, driver.answers + more) for driver in drivers]
    took_s = await becomes(lambda: all(driver.answers >= goal for driver, goal in goals), timeout_s)
    return at_most("every client steps on", took_s, timeout_s, "s")


async def tried(work: Awaitable[T]) -> T | None:
    """Return what work returns; None when it fails, which drivers write down themselves."""
    try:
        return await work
    except GymQueueError:
        return None


async def close_all(drivers: Iterable[Driver]) -> None:
    """Close what drivers have."""
    await asyncio.gather(*(driver.close() for driver in drivers))
