"""A long load with clients that break off at every point: does memory stay flat, and does anything leak?

Run as ``python -m bench.soak --seconds 600``.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

import psutil
from rich.console import Console

from bench.fleets import Started, started
from gym_queue.errors import EnvBusy, GymQueueError
from gym_queue.stress.envs import Calls, Env, open_envs
from gym_queue.stress.load import together
from gym_queue.stress.plan import Target, null_spec
from gym_queue.stress.wire import Caller
from gym_queue.web.server import new_event_loop

CLIENTS, ENVS = 200, 32
ABORT_SHARE = 0.1
STEPS_A_EPISODE = 300
WARM_UP_SHARE = 0.2
"""Of the time; memory is compared from its end on."""
SAMPLE_S = 5.0
SETTLE_S = 5.0
"""Before file descriptors are counted, at the start and at the end."""
TOLERANCE = 0.05
RESET = struct.pack("ii", 1, 0)
FRAME_BYTES = 20_000


@dataclass(slots=True)
class Tally:
    """What was done, and what the programs held meanwhile."""

    answered: int = 0
    aborted: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    rss_mb: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By program: file descriptors before and after."""


class Soak:
    """The load on one fleet.

    Args:
        target: The fleet.
        envs: Environments that steps go to.
        seconds: How long.
        pause_s: Between two calls of a client, on average; 0 goes as fast as it can.
    """

    def __init__(self, target: Target, envs: Sequence[Env], *, seconds: float, pause_s: float) -> None:
        self._target, self._envs = target, envs
        self._pause_s = pause_s
        self._calls = Calls(target)
        self._until = time.monotonic() + seconds
        self._random = random.Random(7)  # noqa: S311  no secret: which client breaks off when
        self.tally = Tally()

    async def run(self) -> None:
        """Run every client to the end."""
        await together(self._client(self._envs[number % len(self._envs)].env_id) for number in range(CLIENTS))

    async def _client(self, env_id: str) -> None:
        with closing(Caller(self._target.master_url)) as caller:
            steps = 0
            while time.monotonic() < self._until:
                await asyncio.sleep(self._random.uniform(0, 2 * self._pause_s))
                if self._random.random() < ABORT_SHARE:
                    await self._abort(env_id)
                    continue
                steps += 1
                call = self._calls.reset if steps % STEPS_A_EPISODE == 0 else self._calls.step
                try:
                    (await caller.ask(call(env_id))).check()
                    self.tally.answered += 1
                except EnvBusy:
                    self.tally.answered += (
                        1  # rightly: another client's step runs, or one that was broken off
                    )
                except GymQueueError as error:
                    self.tally.errors[error.code] += 1

    async def _abort(self, env_id: str) -> None:
        """Begin a step on a connection of its own and break off somewhere."""
        request = self._calls.step(env_id)
        head = request.index(b"\r\n\r\n") + 4
        points = {"in the head": head // 2, "before the body": head, "in the body": len(request) - 5}
        point = self._random.choice([*points, "before the reply", "in the reply", "half-closed"])
        host, _, port = self._target.master_url.removeprefix("http://").rpartition(":")
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request[: points.get(point, len(request))])
            if point == "half-closed":
                writer.write_eof()
            if point in ("in the reply", "half-closed"):
                await reader.read(100)
            elif point == "before the reply":
                await asyncio.sleep(self._random.uniform(0, 0.002))
            if self._random.random() < 0.5:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
            self.tally.aborted[point] += 1


async def soak(fleet: Started, *, seconds: float, pause_s: float) -> Tally:
    """Load a fleet, and look at its programs before, meanwhile and after.

    Args:
        fleet: Master and workers.
        seconds: How long.
        pause_s: As of Soak.
    """
    programs = {name: psutil.Process(pid) for name, pid in fleet.pids.items()}
    target = Target(fleet.url, fleet.token, null_spec(frame_bytes=FRAME_BYTES))
    async with open_envs(target, ENVS) as envs:
        await asyncio.sleep(SETTLE_S)
        before = {name: program.num_fds() for name, program in programs.items()}
        load = Soak(target, envs, seconds=seconds, pause_s=pause_s)
        watching = asyncio.ensure_future(_watch(programs, load.tally, seconds))
        await load.run()
        watching.cancel()
        await asyncio.sleep(SETTLE_S)
        tally = load.tally
        tally.files = {name: (before[name], program.num_fds()) for name, program in programs.items()}
        return tally


async def _watch(programs: dict[str, psutil.Process], tally: Tally, seconds: float) -> None:
    await asyncio.sleep(WARM_UP_SHARE * seconds)
    while True:
        for name, program in programs.items():
            tally.rss_mb.setdefault(name, []).append(program.memory_info().rss / 1e6)
        await asyncio.sleep(SAMPLE_S)


def problems(tally: Tally, idle_connections: int = 2 * CLIENTS) -> list[str]:
    """Return what is not as it should be.

    Args:
        tally: Of a soak.
        idle_connections: Kept-alive connections between master and workers, which are no leak while they idle.
    """
    found = [f"{count} calls failed with {code}" for code, count in tally.errors.items()]
    for name, sizes in tally.rss_mb.items():
        first, last = (sum(part) / len(part) for part in (sizes[:5], sizes[-5:]))
        if last > first * (1 + TOLERANCE):
            found.append(f"{name} grew from {first:.1f} to {last:.1f} MB")
    for name, (before, after) in tally.files.items():
        if after > before + idle_connections:
            found.append(f"{name} has {after} file descriptors, and had {before}")
    return found


def main() -> int:
    """Run the soak and print what came of it; 1 when something leaked or failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between a client's calls")
    chosen = parser.parse_args()
    with started(1, ENVS) as fleet, asyncio.Runner(loop_factory=new_event_loop) as runner:
        tally = runner.run(soak(fleet, seconds=chosen.seconds, pause_s=chosen.pause))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{tally.answered} calls answered, {tally.aborted.total()} broken off: {dict(tally.aborted)}"
    )
    for name, sizes in tally.rss_mb.items():
        fds = tally.files[name]
        console.print(
            f"{name}: {sizes[0]:.1f} to {sizes[-1]:.1f} MB, most {max(sizes):.1f}; files {fds[0]} to {fds[1]}"
        )
    found = problems(tally)
    for problem in found:
        console.print(f"WRONG: {problem}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
