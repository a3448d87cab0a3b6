"""A whole run: plan, attempts, results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from gym_queue.benchmark.agents.registry import AgentFactory, find_agent
from gym_queue.benchmark.attempt import Attempt, AttemptSetup
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.opener import make_opener
from gym_queue.benchmark.plan import plan_tasks
from gym_queue.benchmark.pool import AttemptPool
from gym_queue.benchmark.results import Results, prepare_output, save, tally
from gym_queue.benchmark.show import progress, results_table, summary
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import load_env, resolve_env_dir


@dataclass(frozen=True, slots=True)
class _Run:
    """A config, checked: nothing was started yet."""

    config: BenchmarkConfig
    env_dir: Path
    env: EnvSpec
    tasks: tuple[str, ...]
    agents: AgentFactory
    output: Path | None
    started_at: datetime
    started: float
    clock: Callable[[], float] = time.monotonic

    def results(self, attempts: dict[str, Attempt], *, is_interrupted: bool) -> Results:
        ended = tuple(attempts[task] for task in self.tasks if task in attempts)
        options = self.agents.options.model_dump(mode="json")
        return Results(
            config=self.config.model_copy(update={"agent_args": options}),
            env_id=self.env.id,
            env_version=self.env.version,
            tasks=self.tasks,
            started_at=self.started_at,
            seconds=self.clock() - self.started,
            is_interrupted=is_interrupted,
            tally=tally(ended),
            attempts=ended,
        )


def run_benchmark(
    config: BenchmarkConfig, console: Console, *, progress_console: Console | None = None
) -> Results:
    """Run an agent over tasks of an environment, show what it does, and save what was found.

    Args:
        config: What to run.
        console: Gets the table of results and the summary.
        progress_console: Gets the progress; None is standard error.

    Returns:
        What was found; ``exit_code`` turns it into the program's status.

    Raises:
        RequestInvalid: The agent, an option, the output, or the choice of tasks is not valid.
        SpecNotFound: There is no such environment, task or split.
        SpecInvalid: A file of the environment cannot be read.
        KeyboardInterrupt: As it came, after open environments were closed and what was found so far was shown and
            saved. A second one while they close leaves them as they are.
    """
    run = _check(config)
    opener = make_opener(config, run.env_dir)
    envs = OpenEnvs(opener)
    setup = AttemptSetup(
        run.env_dir, run.env, envs, run.agents, config.seed, config.steps, config.lost_retries
    )
    pool = AttemptPool(setup, config.parallel)
    is_interrupted = True
    try:
        with progress(progress_console or Console(stderr=True), len(run.tasks)) as on_event:
            pool.run(run.tasks, on_event)
        is_interrupted = False
    finally:
        results = run.results(pool.attempts, is_interrupted=is_interrupted)
        _conclude(results, run.output, console)
    return results


def _check(config: BenchmarkConfig) -> _Run:
    env_dir = resolve_env_dir(config.env)
    env = load_env(env_dir)
    tasks = plan_tasks(env_dir, task=config.task, split=config.split, max_tasks=config.max_tasks)
    agents = find_agent(config.agent, config.agent_args)
    output = prepare_output(config.output) if config.output else None
    return _Run(config, env_dir, env, tasks, agents, output, datetime.now(UTC), time.monotonic())


def _conclude(results: Results, output: Path | None, console: Console) -> None:
    if output is not None:
        save(results, output)
    console.print(results_table(results))
    console.print(summary(results, output), soft_wrap=True)
