"""A whole run: plan, attempts, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from gym_queue.benchmark.agents.registry import AgentFactory, find_agent
from gym_queue.benchmark.attempt import Attempt, Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.events import OnEvent
from gym_queue.benchmark.info import FORMAT, RunInfo
from gym_queue.benchmark.nursery import Nursery
from gym_queue.benchmark.output import RunFolder, open_folder
from gym_queue.benchmark.plan import PlannedEnv, keys_of, plan_run, task_info
from gym_queue.benchmark.pool import AttemptPool, PoolSetup
from gym_queue.benchmark.remote import RemoteCloser, asker
from gym_queue.benchmark.report.write import write_report
from gym_queue.benchmark.results import Results, prepare_output, save, tally
from gym_queue.benchmark.show import progress, results_table, resume_hint, summary
from gym_queue.benchmark.watch import MasterWatch
from gym_queue.errors import OutputFailed, RequestInvalid

RUNS = Path("runs")
"""Where runs that have a name and no output go."""
TURN_TIMEOUT_S, TURN_GRACE_S = 600.0, 60.0
"""Longest turn of an agent; and what is added to the wait that it has of its own."""
CLOSE_TIMEOUT_S = 20.0
"""Longest that the end of a run waits for the environments of loops that died."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A config, checked: nothing was started yet."""

    config: BenchmarkConfig
    envs: tuple[PlannedEnv, ...]
    agents: AgentFactory
    output: Path | None
    folder: RunFolder | None
    info: RunInfo
    started: float
    clock: Callable[[], float] = time.monotonic

    def keys(self) -> list[Key]:
        return keys_of(self.envs, self.config.repeat)

    def missing(self) -> list[Key]:
        kept = self.folder.kept if self.folder else {}
        return [key for key in self.keys() if key not in kept or not kept[key].is_scored]

    def results(self, attempts: Mapping[Key, Attempt], *, is_interrupted: bool) -> Results:
        known = {**(self.folder.kept if self.folder else {}), **attempts}
        ended = tuple(known[key] for key in self.keys() if key in known)
        return Results(
            config=_full(self.config, self.agents),
            env_id=self.info.env_id,
            env_version=self.info.env_version,
            envs=self.info.envs,
            tasks=tuple(task for env in self.envs for task in env.tasks),
            started_at=self.info.started_at,
            seconds=self.clock() - self.started,
            is_interrupted=is_interrupted,
            tally=tally(ended),
            attempts=ended,
        )


def run_benchmark(
    config: BenchmarkConfig,
    console: Console,
    *,
    progress_console: Console | None = None,
    nursery: Nursery | None = None,
) -> Results:
    """Run an agent over tasks of environments, show what it does, and save what was found.

    Args:
        config: What to run.
        console: Gets the table of results and the summary.
        progress_console: Gets the progress; None is standard error.
        nursery: Gives the processes; left running. None starts one for this run.

    Returns:
        What was found; ``exit_code`` turns it into the program's status.

    Raises:
        RequestInvalid: The agent, an option, the output, or the choice of tasks is not valid; or the output is of
            another run.
        ConnectionFailed: Nothing answers at the remote URL; said once, before any attempt.
        OutputFailed: The output cannot be written any more; what is in it stays, and can be resumed.
        ModelDenied: The agent's model is denied; likewise.
        MasterUnreachable: The master has not answered for too long; likewise.
        SpecNotFound: There is no such environment, task or split.
        SpecInvalid: A file of the environment cannot be read.
        KeyboardInterrupt: As it came, after open environments were closed and what was found so far was shown and
            saved. A second one while they close leaves them as they are.
    """
    run = _check(config)
    attempts: dict[Key, Attempt] = {}
    is_interrupted = True
    try:
        with progress(progress_console or Console(stderr=True), len(run.missing())) as on_event:
            _work(run, nursery, attempts, on_event)
        is_interrupted = False
    finally:
        results = run.results(attempts, is_interrupted=is_interrupted)
        try:
            _conclude(results, run, console)
        finally:
            if run.folder is not None:
                run.folder.close()
    return results


def _work(run: _Run, nursery: Nursery | None, attempts: dict[Key, Attempt], on_event: OnEvent) -> None:
    """Run what is missing; put each attempt that ended into ``attempts``, whatever ends the run."""
    config = run.config
    watch = MasterWatch(asker(config.remote_url)) if config.remote_url else None
    closer = RemoteCloser(config.remote_url) if config.remote_url else None
    used = nursery or Nursery(_preload(run))
    pool = AttemptPool(
        PoolSetup(
            config,
            {env.name: env for env in run.envs},
            used,
            folder=run.folder.path if run.folder else None,
            keep=run.folder.append if run.folder else _keep_nothing,
            watch=watch,
            close_env=closer,
            turn_timeout_s=_turn_timeout_s(config, run.agents),
        )
    )
    try:
        if watch is not None:
            watch.start()
        pool.run(run.missing(), on_event)
    finally:
        attempts |= pool.attempts
        if watch is not None:
            watch.stop()
        if nursery is None:
            used.stop()
        if closer is not None:
            closer.finish(CLOSE_TIMEOUT_S)


def _turn_timeout_s(config: BenchmarkConfig, agents: AgentFactory) -> float:
    """Return how long a turn may take; an agent that says how long it waits itself is heard first."""
    if config.agent_timeout_s is not None:
        return config.agent_timeout_s
    own = getattr(agents.options, "timeout_s", None)
    return max(TURN_TIMEOUT_S, own + TURN_GRACE_S) if isinstance(own, int | float) else TURN_TIMEOUT_S


def _keep_nothing(_: Attempt) -> None:
    """Of a run without a folder nothing is kept."""


def _preload(run: _Run) -> list[str]:
    """Return what every loop needs; modules of other packages are imported in the loop, whatever they do then."""
    agent = str(getattr(run.agents.kind, "__module__", ""))
    where = "gym_queue.client" if run.config.remote_url else "gym_queue.env.local"
    own = [agent, *getattr(run.agents.kind, "preload", ())] if agent.startswith("gym_queue.") else []
    return [where, *own]


def _check(config: BenchmarkConfig) -> _Run:
    if config.output is None and config.exp_name is not None:
        config = config.model_copy(update={"output": RUNS / config.exp_name})
    envs = plan_run(config)
    agents = find_agent(config.agent, config.all_agent_args())
    if config.remote_url is None and getattr(agents.kind, "needs_cluster", False):
        raise RequestInvalid(
            f"{agents.name} works on a cluster alone: give --remote-url, of a master that gym-anything up has started, say"
        )
    if config.remote_url is not None:
        from gym_queue.client import check_server  # a local run needs no client

        check_server(config.remote_url)
    output = prepare_output(config.output) if config.output else None
    info = _info(config, envs, agents)
    return _Run(config, envs, agents, output, _folder(config, info), info, time.monotonic())


def _info(config: BenchmarkConfig, envs: tuple[PlannedEnv, ...], agents: AgentFactory) -> RunInfo:
    is_one = len(envs) == 1
    return RunInfo(
        format=1 if is_one else FORMAT,
        started_at=datetime.now(UTC),
        env_id=envs[0].spec.id if is_one else "",
        env_version=envs[0].spec.version if is_one else "",
        envs=tuple(env.info for env in envs),
        config=_full(config, agents).model_dump(mode="json"),
        seeds=tuple(config.seed + repeat for repeat in range(config.repeat)),
        tasks=tuple(task_info(env.env_dir, task) for env in envs for task in env.tasks),
    )


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
