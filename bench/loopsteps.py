"""What a benchmark's loop adds to a step: the same steps of a null environment in it, and by RemoteGymEnv alone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.effort import Effort
from bench.goals import Bound, Goal, Outcome, Row
from bench.runs import CLICK, Runs
from gym_queue.client import RemoteGymEnv

STEPS = 1000


def rows() -> list[Row[Runs]]:
    """Return the rows measured here."""
    most, alone = Bound.AT_MOST, "RemoteGymEnv alone"
    what = "a step of a null env in the benchmark"
    found = []
    for frames, kept in (("none", "no frame kept"), ("all", "every frame kept")):
        goals = [
            Goal(f"step-own-{frames}", f"a loop's own time for a step, {kept}", "ms", most, 1),
            Goal(f"step-times-{frames}", f"{what}, {kept}", "ms", most, 2, alone, binding=False),
        ]
        found.append(Row(goals, partial(_steps, frames=frames)))
    return found


def _steps(ready: Runs, effort: Effort, *, frames: str) -> list[Outcome]:
    env = ready.null_env(f"steps-{frames}", [STEPS])
    own, ours, alone = [], [], []
    for number in range(effort.rounds):
        effort.tell(f"{STEPS} steps, frames: {frames}, round {number + 1} of {effort.rounds}")
        name = f"steps-{frames}-{number}"
        ready.finish(ready.start(env, name, "--frames", frames), name)
        own.append(_own_ms(ready.folder / name))
        ours.append(_recorded_ms(ready.folder / name))
        alone.append(_alone_ms(ready, env, with_frames=frames == "all"))
    return [Outcome(own), Outcome(ours, alone)]


def _own_ms(output: Path) -> float:
    """Return the milliseconds of a step that are neither the agent's nor the environment's, mean."""
    attempt = json.loads((output / "attempts.jsonl").read_text())
    own_s: float = attempt["seconds"] - sum(attempt["timings"].values())
    return own_s / int(attempt["steps"]) * 1000


def _recorded_ms(output: Path) -> float:
    """Return the milliseconds from one step's record to the next, mean: all of a loop's turn."""
    (path,) = (output / "attempts").glob("*/*/0/trajectory.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    times = [line["seconds"] for line in lines if line["event"] == "step"]
    return _mean_ms(times[:-1])  # the last one is judged


def _alone_ms(ready: Runs, env: str, *, with_frames: bool) -> float:
    """Return the milliseconds of a step without a benchmark, mean as above."""
    with RemoteGymEnv.from_config(ready.fleet.url, env, task_id="clicks_00", token=ready.token) as remote:
        remote.reset(seed=0)
        times = []
        for _ in range(STEPS - 1):
            observation, *_ = remote.step([CLICK], wait_between_actions=0.0)
            if with_frames:
                observation["screen"].png()
            times.append(time.perf_counter())
    return _mean_ms(times)


def _mean_ms(times: Sequence[float]) -> float:
    return (times[-1] - times[0]) / (len(times) - 1) * 1000
