"""The mode burst: more creates at once than slots. All must be served, and in order."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import closing

from gym_queue.errors import GymQueueError, NoCapacity
from gym_queue.stress.envs import Calls, close_all, create
from gym_queue.stress.figures import Figures, Line, Ratio, Sample
from gym_queue.stress.load import together
from gym_queue.stress.plan import Plan, Progress, Target
from gym_queue.stress.wire import Caller

POLL_S = 0.02


async def measure_burst(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    """Ask for more environments at once than there are slots, and give the slots back one by one.

    Raises:
        NoCapacity: The creates never came to wait, so that there is no order to see.
    """
    served, late = list[Figures](), list[int]()
    for number in range(plan.rounds):
        burst = _Burst(plan, target)
        served.append(await burst.run())
        late.append(most_overtaken(burst.queued, burst.served))
        progress("rounds", number + 1, plan.rounds)
    what = f"burst create (most overtaken by {max(late)})"
    return [Line(what=what, path="master", concurrency=plan.creates, rounds=served)], []


class _Burst:
    """One burst: every create is on its way before the first slot is given back."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self._plan, self._target = plan, target
        self._calls = Calls(target)
        self._sample = Sample()
        self._open: list[str] = []
        self._release = asyncio.Event()
        self.queued: list[str] = []
        """Ids of the creates that wait, as the master lists them: first to be served first."""
        self.served: list[str] = []
        """Ids of all creates, as they were answered."""

    async def run(self) -> Figures:
        start = time.perf_counter()
        creates = [self._create() for _ in range(self._plan.creates)]
        try:
            async with asyncio.timeout(self._plan.timeout_s):
                await together([self._release_when_all_wait(), *creates])
        except TimeoutError:
            self._sample.errors["load_timeout"] += 1
        finally:
            await close_all(self._target, self._open)
        return self._sample.figures(time.perf_counter() - start)

    async def _create(self) -> None:
        env_id, caller = str(uuid.uuid4()), Caller(self._target.master_url)
        try:
            env = await create(caller, self._calls, env_id)
            self.served.append(env_id)
            self._open.append(env_id)
            self._sample.seconds.append(env.took_s)
            await self._release.wait()
            (await caller.ask(self._calls.close(env_id))).check()
            self._open.remove(env_id)
        except GymQueueError as error:
            self._sample.errors[error.code] += 1
        finally:
            caller.close()

    async def _release_when_all_wait(self) -> None:
        """Give slots back once each create is either served or in the master's queue."""
        listed = self._calls.get("/queue")
        with closing(Caller(self._target.master_url)) as caller:
            while len(self.queued) + len(self.served) + self._sample.errors.total() < self._plan.creates:
                queue = (await caller.ask(listed)).check().json()["waiting"]
                self.queued = [str(waiting["env_id"]) for waiting in queue]
                await asyncio.sleep(POLL_S)
        if not self.queued:
            raise NoCapacity("no create had to wait: ask for more creates than the fleet has slots")
        self._release.set()


def most_overtaken(queued: Sequence[str], served: Sequence[str]) -> int:
    """Return by how many later creates a waiting one was overtaken at most.

    Creates that are opened side by side may swap, so that fewer than the fleet has slots is in order.

    Args:
        queued: Ids that waited, first to be served first.
        served: Ids as they were answered; those that never waited are passed over.
    """
    rank = {env_id: at for at, env_id in enumerate(queued)}
    order = [rank[env_id] for env_id in served if env_id in rank]
    return max((sum(other > mine for other in order[:at]) for at, mine in enumerate(order)), default=0)
