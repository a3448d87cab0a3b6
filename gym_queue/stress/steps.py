"""The modes latency and rate: steps, by the master and by other paths in turn."""

from __future__ import annotations

from collections.abc import Sequence

from gym_queue.stress.envs import Calls, Env, open_envs
from gym_queue.stress.figures import Figures, Line, Ratio, Sample, ratio
from gym_queue.stress.load import ask_timed, closed_loop
from gym_queue.stress.plan import Plan, Progress, Target, rate_levels
from gym_queue.stress.wire import Caller

MASTER, WORKER, NGINX = "master", "worker", "nginx"


async def measure_latency(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    """Step one environment, each step by every path before the next, so that a drift of the machine hits all alike."""
    paths = [MASTER, WORKER, *([NGINX] if target.fronts else [])]
    rounds: list[dict[str, Figures]] = []
    async with open_envs(target, 1) as envs:
        callers = {path: Caller(_url(target, path, envs[0])) for path in paths}
        step = Calls(target).step(envs[0].env_id)
        for number in range(plan.rounds):
            rounds.append(await _latency_round(callers, step, plan.steps))
            progress("rounds", number + 1, plan.rounds)
        for caller in callers.values():
            caller.close()
    lines = [
        Line(what="step", path=path, concurrency=1, rounds=[figures[path] for figures in rounds])
        for path in paths
    ]
    return lines, [ratio("p50_ms", lines[0], line) for line in lines[1:]]


async def measure_rate(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    """Step over many connections, each as soon as its last step is answered; paths take turns round by round.

    Each connection has an environment of its own, which takes one step at a time.
    """
    levels = rate_levels(plan)
    paths = [MASTER, *([NGINX] if target.fronts else [])]
    lines, ratios = list[Line](), list[Ratio]()
    done, total = 0, plan.rounds * len(paths) * len(levels)
    async with open_envs(target, max(levels)) as envs:
        for level in levels:
            found: dict[str, list[Figures]] = {path: [] for path in paths}
            for _ in range(plan.rounds):
                for path in paths:
                    found[path].append(await _rate_round(plan, target, path, envs, level))
                    done += 1
                    progress(f"concurrency {level}", done, total)
            now = [Line(what="steps", path=p, concurrency=level, rounds=found[p]) for p in paths]
            lines += now
            ratios += [ratio("rate", now[0], line) for line in now[1:]]
    return lines, ratios


async def _latency_round(callers: dict[str, Caller], step: bytes, steps: int) -> dict[str, Figures]:
    samples = {path: Sample() for path in callers}
    for _ in range(steps):
        for path, caller in callers.items():
            await ask_timed(caller, step, samples[path])
    return {path: sample.figures(sum(sample.seconds)) for path, sample in samples.items()}


async def _rate_round(plan: Plan, target: Target, path: str, envs: Sequence[Env], level: int) -> Figures:
    calls = Calls(target)
    asks = [(_url(target, path, env), calls.step(env.env_id)) for env in envs[:level]]
    return await closed_loop(asks, plan.seconds, timeout_s=plan.timeout_s)


def _url(target: Target, path: str, env: Env) -> str:
    if path == MASTER:
        return target.master_url
    return env.worker_url if path == WORKER else target.fronts[env.worker_url]
