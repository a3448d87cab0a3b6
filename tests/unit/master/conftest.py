"""A fleet under a clock that tests turn by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.protocol.fleet import Heartbeat, Registration


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Routes and a fleet, and what the fleet said of itself."""

    clock: Clock = field(default_factory=Clock)
    changes: int = 0
    lost: list[str] = field(default_factory=list)
    strays: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.routes = Routes(clock=self.clock)
        self.fleet = Fleet(
            self.routes,
            FleetTimes(heartbeat_s=5, unhealthy_s=30, dead_s=90),
            on_change=self._changed,
            on_lost=lambda worker_id, _queues: self.lost.append(worker_id),
            on_stray=lambda env_id, worker_id, _url: self.strays.append((env_id, worker_id)),
            clock=self.clock,
            wall=self.clock,
        )

    def _changed(self) -> None:
        self.changes += 1

    def register(
        self, worker_id: str, *, max_envs: int = 2, runners: list[str] | None = None, **more
    ) -> None:
        queues = [f"env.{name}.{worker_id}" for name in runners or []] if runners is not None else []
        self.fleet.register(
            Registration(
                worker_id=worker_id,
                url=more.pop("url", f"http://{worker_id}:5900"),
                max_envs=max_envs,
                metadata={"available_runners": runners, "pid": more.pop("pid", None)},
                queues=more.pop("queues", queues),
                **more,
            )
        )

    def beat(self, worker_id: str, *env_ids: str, sequence: int | None = None, **more) -> bool:
        return self.fleet.heartbeat(
            Heartbeat(worker_id=worker_id, env_ids=list(env_ids), sequence=sequence, **more)
        )


@pytest.fixture
def world() -> World:
    return World()
