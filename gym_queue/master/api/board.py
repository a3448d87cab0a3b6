"""All that the dashboard reads of a master, composed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gym_queue.master.api.attention import BrokerState, no_broker
from gym_queue.master.api.census import take_census
from gym_queue.master.api.counters import Counters
from gym_queue.master.api.live import LiveFeed
from gym_queue.master.api.overview import Overview
from gym_queue.master.api.sampler import Sampler
from gym_queue.master.creates import Creates
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import Routes
from gym_queue.stats.tasks import TaskStats


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose facts are shown."""

    fleet: Fleet
    routes: Routes
    creates: Creates
    gateway: Gateway
    tasks: TaskStats
    broker: Callable[[], BrokerState] = field(default=no_broker)
    """Tells of the broker; never blocks."""


class Board:
    """The overview, the last hour, and the live feed. Lives on the master's loop.

    Args:
        owners: Whose facts are shown.
        started_at: When the master started, Unix seconds.
        file: Where the last hour outlives this process; None writes nothing.
    """

    def __init__(self, owners: Owners, *, started_at: float, file: Path | None = None) -> None:
        fleet, routes, creates = owners.fleet, owners.routes, owners.creates
        census = partial(take_census, fleet, routes, creates, owners.gateway.closing)
        self.owners = owners
        self.counters = Counters(routes, creates, owners.gateway.stats)
        self.sampler = Sampler(census, self.counters, file=file)
        self.overview = Overview(census, creates, self.sampler, owners.broker, started_at=started_at)
        self.feed = LiveFeed({"overview": self.overview.show, "changed": self.versions})

    def tick(self) -> None:
        """Let time pass."""
        self.sampler.tick()

    async def start(self, *, fresh: bool) -> None:
        """Take back the last hour of an earlier process, unless ``fresh``."""
        if not fresh:
            await asyncio.to_thread(self.sampler.load)

    def versions(self) -> dict[str, Any]:
        """Return a number for each list, which grows when the list changes.

        What heartbeats tell of workers counts as a change with each sample; the queue's reasons change with the workers;
        an episode that a reset ended shows with the next that its environment's end brings.
        """
        owners = self.owners
        workers = owners.fleet.version + self.overview.health_version
        return {
            "workers": workers + owners.tasks.nodes.version + self.sampler.history.version,
            "envs": owners.routes.version + owners.creates.waiting.version,
            "queue": owners.creates.waiting.version + workers,
            "tasks": owners.tasks.version,
            "episodes": owners.routes.closed_count + owners.routes.lost_count,
        }


def new_board(owners: Owners) -> Board:
    """Return a board that starts now and keeps nothing."""
    return Board(owners, started_at=time.time())
