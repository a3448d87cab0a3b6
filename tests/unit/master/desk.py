"""Creates under test: the test decides how each create ends on its worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gym_queue.errors import WorkerUnreachable
from gym_queue.master.creates import Creates
from gym_queue.master.placement import Placement
from gym_queue.protocol.sessions import CreateReply, CreateRequest


@dataclass
class HandDispatcher:
    """A dispatcher whose outcomes the test decides: one future a create."""

    sent: list[tuple[str, Placement]] = field(default_factory=list)
    outcomes: dict[str, asyncio.Future[CreateReply]] = field(default_factory=dict)

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        env_id = str(request.env_id)
        self.sent.append((env_id, placement))
        self.outcomes[env_id] = asyncio.get_running_loop().create_future()
        return await self.outcomes[env_id]

    def worker_lost(self, worker_id: str) -> None:
        for env_id, placement in self.sent:
            if placement.worker_id == worker_id and not self.outcomes[env_id].done():
                self.fail(env_id, WorkerUnreachable(f"{worker_id} went away"))

    def succeed(self, env_id: str, *, as_id: str | None = None) -> None:
        worker_id = dict(self.sent)[env_id].worker_id
        self.outcomes[env_id].set_result(
            CreateReply(env_id=as_id or env_id, worker_id=worker_id, worker_url=f"http://{worker_id}:5900")
        )

    def fail(self, env_id: str, error: Exception) -> None:
        self.outcomes[env_id].set_exception(error)


class Desk:
    """Creates under test, with what they undid."""

    def __init__(self, world, queue_timeout_s=60.0, **options):
        self.world, self.hand, self.undone = world, HandDispatcher(), []
        self.undo_gate = asyncio.Event()
        self.undo_gate.set()
        self.creates = Creates(
            world.fleet,
            world.routes,
            celery=self.hand,
            http=self.hand,
            undo=self._undo,
            queue_timeout_s=queue_timeout_s,
            clock=world.clock,
            **options,
        )
        world.fleet.on_change = self.creates.pump
        world.fleet.on_lost = lambda worker_id, _queues: self.creates.worker_lost(worker_id)

    async def _undo(self, reply):
        await self.undo_gate.wait()
        self.undone.append(reply.env_id)

    async def ask(self, env_id, **fields):
        fields.setdefault("env_dir", "terminal_env")
        task = asyncio.ensure_future(self.creates.create(CreateRequest(env_id=env_id, **fields)))
        await settle()
        return task

    @property
    def sent_ids(self):
        return [env_id for env_id, _ in self.hand.sent]

    @property
    def sent_to(self):
        return [placement.worker_id for _, placement in self.hand.sent]


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def run(test):
    """Run an async test on a fresh loop."""
    return lambda world: asyncio.run(test(world, Desk(world)))
