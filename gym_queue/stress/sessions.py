"""The mode sessions: create, reset, one step, close; many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gym_queue.errors import GymQueueError
from gym_queue.stress.envs import Calls, close_all, create
from gym_queue.stress.figures import Figures, Line, Ratio, Sample
from gym_queue.stress.plan import Plan, Progress, Target
from gym_queue.stress.wire import Caller

PARTS = ("session", "create", "reset", "step", "close")


async def measure_sessions(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    """Run whole sessions, all started at once."""
    found: dict[str, list[Figures]] = {part: [] for part in PARTS}
    for number in range(plan.rounds):
        done = number * plan.sessions

        def tick(count: int, before: int = done) -> None:
            progress("sessions", before + count, plan.rounds * plan.sessions)

        for part, figures in (await _Sessions(plan, target, tick).run()).items():
            found[part].append(figures)
    return [
        Line(what=part, path="master", concurrency=plan.sessions, rounds=rounds)
        for part, rounds in found.items()
    ], []


class _Sessions:
    """One round of them."""

    def __init__(self, plan: Plan, target: Target, tick: Callable[[int], None]) -> None:
        self._plan, self._target, self._tick = plan, target, tick
        self._calls = Calls(target)
        self._samples = {part: Sample() for part in PARTS}
        self._open: set[str] = set()
        self._done = 0

    async def run(self) -> dict[str, Figures]:
        start = time.perf_counter()
        try:
            await asyncio.gather(*(self._session() for _ in range(self._plan.sessions)))
        finally:
            wall_s = time.perf_counter() - start
            await close_all(self._target, self._open)
        return {part: sample.figures(wall_s) for part, sample in self._samples.items()}

    async def _session(self) -> None:
        caller, start = Caller(self._target.master_url), time.perf_counter()
        part = "create"
        try:
            async with asyncio.timeout(self._plan.timeout_s):
                env = await create(caller, self._calls)
                self._open.add(env.env_id)
                self._samples["create"].seconds.append(env.took_s)
                for part, request in self._rest(env.env_id):
                    await self._call(part, caller, request)
                self._open.discard(env.env_id)
        except (GymQueueError, TimeoutError) as error:
            code = error.code if isinstance(error, GymQueueError) else "load_timeout"
            self._samples[part].errors[code] += 1
            self._samples["session"].errors[code] += 1
        else:
            self._samples["session"].seconds.append(time.perf_counter() - start)
        finally:
            caller.close()
            self._done += 1
            self._tick(self._done)

    def _rest(self, env_id: str) -> tuple[tuple[str, bytes], ...]:
        calls = self._calls
        return ("reset", calls.reset(env_id)), ("step", calls.step(env_id)), ("close", calls.close(env_id))

    async def _call(self, part: str, caller: Caller, request: bytes) -> None:
        start = time.perf_counter()
        (await caller.ask(request)).check()
        self._samples[part].seconds.append(time.perf_counter() - start)
