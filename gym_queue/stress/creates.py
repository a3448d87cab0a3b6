"""The mode creates: how many a second, and what dispatch adds to the worker's own opening time."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass, field

from gym_queue.errors import GymQueueError
from gym_queue.stress.envs import Calls, Env, close_all, create
from gym_queue.stress.figures import Figures, Line, Ratio, Sample, ratio
from gym_queue.stress.load import together
from gym_queue.stress.plan import Plan, Progress, Target
from gym_queue.stress.wire import Caller

CREATE_CONCURRENCY = (1, 64)


@dataclass(slots=True)
class _Round:
    """One round's creates."""

    master: Sample = field(default_factory=Sample)
    worker: Sample = field(default_factory=Sample)
    """The worker's own opening times: as its replies say, else of creates straight on it, in turn."""
    overhead: Sample = field(default_factory=Sample)
    wall_s: float = 0.0
    env_ids: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Figures]:
        found = {"create": self.master.figures(self.wall_s)}
        if self.worker.seconds:
            found["open"] = self.worker.figures(sum(self.worker.seconds))
            found["dispatch overhead"] = self.overhead.figures(self.wall_s)
        return found


async def measure_creates(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    """Create over a number of connections; environments are closed after each round, outside its time."""
    levels = plan.concurrency or CREATE_CONCURRENCY
    found: dict[tuple[str, int], list[Figures]] = {}
    for number, level in enumerate(levels):
        for at in range(plan.rounds):
            for what, figures in (await _measure_round(plan, target, level)).figures().items():
                found.setdefault((what, level), []).append(figures)
            progress(f"concurrency {level}", number * plan.rounds + at + 1, len(levels) * plan.rounds)
    lines = {
        key: Line(what=key[0], path="worker" if key[0] == "open" else "master", concurrency=key[1], rounds=r)
        for key, r in found.items()
    }
    both = [level for level in levels if ("open", level) in lines]
    ratios = [ratio("p50_ms", lines["create", level], lines["open", level]) for level in both]
    return list(lines.values()), ratios


async def _measure_round(plan: Plan, target: Target, level: int) -> _Round:
    found, calls, left = _Round(), Calls(target), iter(range(plan.creates))

    async def loop() -> None:
        with closing(Caller(target.master_url)) as caller:
            for _ in left:
                await _create_one(found, caller, calls, alone=level == 1)

    start = time.perf_counter()
    try:
        async with asyncio.timeout(plan.timeout_s):
            await together(loop() for _ in range(level))
    except TimeoutError:
        found.master.errors["load_timeout"] += 1
    finally:
        found.wall_s = sum(found.master.seconds) if level == 1 else time.perf_counter() - start
        await close_all(target, found.env_ids)
    return found


async def _create_one(found: _Round, caller: Caller, calls: Calls, *, alone: bool) -> None:
    try:
        env = await create(caller, calls)
        found.env_ids.append(env.env_id)
        open_s = env.open_s
        if open_s is None and alone:
            open_s = await _open_straight(env, calls)
    except GymQueueError as error:
        found.master.errors[error.code] += 1
        return
    found.master.seconds.append(env.took_s)
    if open_s is not None:
        found.worker.seconds.append(open_s)
        found.overhead.seconds.append(env.took_s - open_s)


async def _open_straight(beside: Env, calls: Calls) -> float:
    """Return what an environment takes straight on the same worker, in seconds; it is closed again."""
    with closing(Caller(beside.worker_url)) as caller:
        await caller.ask(calls.get("/health"))  # connected, as the connection to the master is
        env = await create(caller, calls)
        (await caller.ask(calls.close(env.env_id))).check()
    return env.took_s
