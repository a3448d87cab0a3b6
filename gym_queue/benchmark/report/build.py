"""What a run's attempts come to: ``report.json``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict

from gym_queue.benchmark.attempt import Attempt, Key, Outcome, Timings
from gym_queue.benchmark.info import RunInfo, TaskInfo
from gym_queue.benchmark.output import attempt_folder, read_attempts, read_run
from gym_queue.benchmark.report.statistics import Interval, pass_at_k, wilson
from gym_queue.benchmark.usage import COST, tokens_of

NONE = "(none)"
"""Group of the tasks that have no difficulty, or no tag."""
OTHER = "other"
REASON_CHARS = 160
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?|(?<=\s)/[\w.~/-]+")
"""What makes two feedbacks of one cause differ: numbers, addresses, paths."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Rate(_Frozen):
    """How many of some attempts passed; those that say nothing of the agent are not among them."""

    name: str
    passed: int
    scored: int
    """Attempts that were judged, or that the agent itself broke."""
    not_scored: int
    """Attempts that the infrastructure or the task itself broke."""
    rate: float | None
    """None when none was scored."""
    interval: Interval
    """Wilson, 95 %."""


class PassAtK(_Frozen):
    """Mean over tasks of the unbiased estimate of pass@k."""

    k: int
    estimate: float
    tasks: int
    """Tasks that have at least k scored attempts: those of the mean."""


class Means(_Frozen):
    """Means over the scored attempts; None where it is not known of all of them."""

    score: float | None
    steps: float | None
    seconds: float | None
    tokens: float | None
    cost_usd: float | None


class Sums(_Frozen):
    """Sums over all attempts, as far as known."""

    steps: int
    seconds: float
    tokens: float | None
    cost_usd: float | None
    lost_tries: int
    refused: int
    """Turns whose actions the environment refused."""


class Share(_Frozen):
    """A part of the attempts' time."""

    name: str
    """As ``Timings`` has it; ``other`` is the benchmark's own."""
    seconds: float
    """Over all attempts."""
    share: float
    """Of all their seconds."""
    median: float
    """Seconds in one attempt."""


class Failures(_Frozen):
    """Attempts that did not pass for one reason."""

    kind: str
    """task: judged, and not passed; agent: the agent broke it; infrastructure: it is not scored."""
    reason: str
    """Code of the error, or why the episode ended; and what was said, numbers and paths left out."""
    keys: tuple[Key, ...]


class Row(_Frozen):
    """An attempt, and where its files are."""

    attempt: Attempt
    difficulty: str | None
    tags: tuple[str, ...]
    folder: str | None
    """Relative to the run's; None when it has none."""


class Report(_Frozen):
    """``report.json``."""

    format: int = 2
    """1 had no environment in the keys of ``failures``."""
    run: RunInfo
    missing: int
    """Attempts that were asked for and have not ended."""
    total: Rate
    by_env: tuple[Rate, ...]
    by_difficulty: tuple[Rate, ...]
    by_tag: tuple[Rate, ...]
    by_task: tuple[Rate, ...]
    pass_at_k: tuple[PassAtK, ...]
    means: Means
    sums: Sums
    time: tuple[Share, ...]
    """Where the seconds of the attempts went, as far as known; empty for results of old runs."""
    failures: tuple[Failures, ...]
    """The most frequent first, those of the infrastructure last."""
    attempts: tuple[Row, ...]


def build_report(path: Path) -> Report:
    """Return what the run of a folder found so far.

    Raises:
        PathNotFound: No run is there.
        RequestInvalid: A file of it cannot be read.
    """
    run, found = read_run(path), read_attempts(path)
    tasks = {(task.env, task.task_id): task for task in run.tasks}
    several = len(run.envs) > 1

    def task_of(each: Attempt) -> TaskInfo:
        return tasks[each.env, each.task_id]

    attempts = [found[key] for key in run.keys if key in found]
    return Report(
        run=run,
        missing=len(run.keys) - len(attempts),
        total=_rate("all", attempts),
        by_env=_by(attempts, lambda each: [each.env]),
        by_difficulty=_by(attempts, lambda each: [task_of(each).difficulty or NONE]),
        by_tag=_by(attempts, lambda each: task_of(each).tags or [NONE]),
        by_task=_by(attempts, lambda each: [f"{each.env}/{each.task_id}" if several else each.task_id]),
        pass_at_k=tuple(_pass_at_k(attempts, len(run.seeds))),
        means=_means([each for each in attempts if each.is_scored]),
        sums=_sums(attempts),
        time=_shares(attempts),
        failures=_failures(attempts),
        attempts=tuple(_row(path, each, task_of(each)) for each in attempts),
    )


def _rate(name: str, attempts: Collection[Attempt]) -> Rate:
    scored = sum(each.is_scored for each in attempts)
    passed = sum(each.outcome is Outcome.PASSED for each in attempts)
    return Rate(
        name=name,
        passed=passed,
        scored=scored,
        not_scored=len(attempts) - scored,
        rate=passed / scored if scored else None,
        interval=wilson(passed, scored),
    )


def _by(attempts: Iterable[Attempt], names_of: Callable[[Attempt], Iterable[str]]) -> tuple[Rate, ...]:
    groups: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        for name in dict.fromkeys(names_of(attempt)):
            groups[name].append(attempt)
    return tuple(_rate(name, groups[name]) for name in sorted(groups, key=lambda name: (name == NONE, name)))


def _pass_at_k(attempts: Iterable[Attempt], repeats: int) -> Iterable[PassAtK]:
    counts: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        task = (attempt.env, attempt.task_id)
        counts[task] += attempt.is_scored
        passed[task] += attempt.outcome is Outcome.PASSED
    for k in range(1, repeats + 1):
        estimates = [pass_at_k(n, passed[task], k) for task, n in counts.items() if n >= k]
        if estimates:
            yield PassAtK(k=k, estimate=sum(estimates) / len(estimates), tasks=len(estimates))


def _means(scored: Sequence[Attempt]) -> Means:
    return Means(
        score=_mean([each.score for each in scored if each.outcome is not Outcome.ERROR]),
        steps=_mean([each.steps for each in scored]),
        seconds=_mean([each.seconds for each in scored]),
        tokens=_mean([tokens_of(each) for each in scored]),
        cost_usd=_mean([each.usage.get(COST) for each in scored]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _sums(attempts: Sequence[Attempt]) -> Sums:
    return Sums(
        steps=sum(each.steps for each in attempts),
        seconds=sum(each.seconds for each in attempts),
        tokens=_sum(tokens_of(each) for each in attempts),
        cost_usd=_sum(each.usage.get(COST) for each in attempts),
        lost_tries=sum(len(each.lost) for each in attempts),
        refused=sum(each.refused for each in attempts),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _shares(attempts: Iterable[Attempt]) -> tuple[Share, ...]:
    known = [(each.seconds, each.timings.model_dump()) for each in attempts if each.timings is not None]
    total = sum(seconds for seconds, _ in known)
    if not total:
        return ()
    parts = [{**timings, OTHER: max(seconds - sum(timings.values()), 0.0)} for seconds, timings in known]
    columns = {name: [each[name] for each in parts] for name in (*Timings.model_fields, OTHER)}
    return tuple(
        Share(name=name, seconds=sum(column), share=sum(column) / total, median=median(column))
        for name, column in columns.items()
    )


def _failures(attempts: Iterable[Attempt]) -> tuple[Failures, ...]:
    groups: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
    for each in attempts:
        if each.outcome is not Outcome.PASSED:
            groups[_kind(each), _reason(each)].append(each.key)
    order: Mapping[str, int] = {"infrastructure": 1}
    ordered = sorted(groups.items(), key=lambda group: (order.get(group[0][0], 0), -len(group[1]), group[0]))
    return tuple(Failures(kind=kind, reason=reason, keys=tuple(keys)) for (kind, reason), keys in ordered)


def _kind(attempt: Attempt) -> str:
    if attempt.outcome is not Outcome.ERROR:
        return "task"
    return "agent" if attempt.is_scored else "infrastructure"


def _reason(attempt: Attempt) -> str:
    head = attempt.error.code if attempt.error else attempt.reason or "failed"
    said = attempt.error.message if attempt.error else attempt.feedback
    same = " ".join(_VARYING.sub("#", said).split())[:REASON_CHARS]
    return f"{head}: {same}" if same else head


def _row(path: Path, attempt: Attempt, task: TaskInfo) -> Row:
    folder = attempt_folder(attempt.key)
    is_below = ".." not in Path(folder).parts and (path / folder).is_dir()
    return Row(
        attempt=attempt, difficulty=task.difficulty, tags=task.tags, folder=folder if is_below else None
    )
