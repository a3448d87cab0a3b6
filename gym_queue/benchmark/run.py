"""A whole run: plan, attempts, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from gym_queue.benchmark.agents.registry import AgentFactory, find_agent
from gym_queue.benchmark.attempt import Attempt, AttemptSetup, Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.opener import OpenEnv, make_opener
from gym_queue.benchmark.output import RunFolder, RunInfo, open_folder
from gym_queue.benchmark.plan import plan_tasks, task_info
from gym_queue.benchmark.pool import AttemptPool
from gym_queue.benchmark.recorder import NoRecorder
from gym_queue.benchmark.report.write import write_report
from gym_queue.benchmark.results import Results, prepare_output, save, tally
from gym_queue.benchmark.show import progress, results_table, resume_hint, summary
from gym_queue.errors import OutputFailed, RequestInvalid
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
    opener: OpenEnv
    output: Path | None
    folder: RunFolder | None
    started_at: datetime
    started: float
    clock: Callable[[], float] = time.monotonic

    def keys(self) -> list[Key]:
        return [(task, repeat) for task in self.tasks for repeat in range(self.config.repeat)]

    def missing(self) -> list[Key]:
        kept = self.folder.kept if self.folder else {}
        return [key for key in self.keys() if key not in kept or not kept[key].is_scored]

    def setup(self, envs: OpenEnvs) -> AttemptSetup:
        config, folder = self.config, self.folder
        record = partial(folder.recorder, self.env_dir.name, config.frames) if folder else NoRecorder
        return AttemptSetup(
            *(self.env_dir, self.env, envs, self.agents, config.seed, config.steps, config.lost_retries),
            record=record,
        )

    def results(self, attempts: Mapping[Key, Attempt], *, is_interrupted: bool) -> Results:
        known = {**(self.folder.kept if self.folder else {}), **attempts}
        ended = tuple(known[key] for key in self.keys() if key in known)
        return Results(
            config=_full(self.config, self.agents),
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
        RequestInvalid: The agent, an option, the output, or the choice of tasks is not valid; or the output is of
            another run.
        OutputFailed: The output cannot be written any more; what is in it stays, and can be resumed.
        SpecNotFound: There is no such environment, task or split.
        SpecInvalid: A file of the environment cannot be read.
        KeyboardInterrupt: As it came, after open environments were closed and what was found so far was shown and
            saved. A second one while they close leaves them as they are.
    """
    run = _check(config)
    missing = run.missing()
    setup = run.setup(OpenEnvs(run.opener))
    pool = AttemptPool(setup, config.parallel, *([run.folder.append] if run.folder else []))
    is_interrupted = True
    try:
        with progress(progress_console or Console(stderr=True), len(missing)) as on_event:
            pool.run(missing, on_event)
        is_interrupted = False
    finally:
        results = run.results(pool.attempts, is_interrupted=is_interrupted)
        try:
            _conclude(results, run, console)
        finally:
            if run.folder is not None:
                run.folder.close()
    return results


def _check(config: BenchmarkConfig) -> _Run:
    env_dir = resolve_env_dir(config.env)
    env = load_env(env_dir)
    tasks = plan_tasks(env_dir, task=config.task, split=config.split, max_tasks=config.max_tasks)
    agents = find_agent(config.agent, config.agent_args)
    opener = make_opener(config, env_dir)
    now = datetime.now(UTC)
    output = prepare_output(config.output) if config.output else None
    info = RunInfo(
        started_at=now,
        env_id=env.id,
        env_version=env.version,
        config=_full(config, agents).model_dump(mode="json"),
        seeds=tuple(config.seed + repeat for repeat in range(config.repeat)),
        tasks=tuple(task_info(env_dir, task) for task in tasks),
    )
    folder = _folder(config, info)
    return _Run(config, env_dir, env, tasks, agents, opener, output, folder, now, time.monotonic())


def _full(config: BenchmarkConfig, agents: AgentFactory) -> BenchmarkConfig:
    """Return a config with every option of its agent."""
    return config.model_copy(update={"agent_args": agents.options.model_dump(mode="json")})


def _folder(config: BenchmarkConfig, info: RunInfo) -> RunFolder | None:
    is_folder = config.output is not None and config.output.suffix != ".json"
    if config.resume and not is_folder:
        raise RequestInvalid("there is nothing to resume: give the run's folder by --output")
    return open_folder(config.output, info, resume=config.resume) if config.output and is_folder else None


def _conclude(results: Results, run: _Run, console: Console) -> None:
    try:
        if run.output is not None:
            save(results, run.output)
        if run.folder is not None:
            write_report(run.folder.path)
    except (OutputFailed, RequestInvalid):
        if not results.is_interrupted:  # else what ended the run is what its user must hear
            raise
    console.print(results_table(results))
    console.print(summary(results, run.output), soft_wrap=True)
    if results.is_interrupted and run.folder is not None:
        console.print(resume_hint(results), soft_wrap=True)
