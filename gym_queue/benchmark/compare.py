"""Two runs over the same tasks, attempt by attempt: which is better, and whether chance explains it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gym_queue.benchmark.attempt import Attempt, Key, Outcome
from gym_queue.benchmark.info import RunInfo
from gym_queue.benchmark.output import read_attempts, read_run
from gym_queue.benchmark.report.statistics import Interval, Pairs, mcnemar_exact, paired_difference
from gym_queue.errors import RequestInvalid

METHODS = (
    "p: McNemar's exact conditional test, two-sided; interval: Newcombe 1998 (Statistics in Medicine 17:2635), method 10, 95 %; "
    "both take pairs to be independent, which repeats of one task are less"
)
NOTED = ("agent", "agent_args", "model", "seed", "steps", "temperature")
"""Flags whose difference a reader should know of."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Changed(_Frozen):
    """A task at which A and B did not pass alike."""

    env: str
    task_id: str
    pairs: int
    passed_a: int
    passed_b: int
    only_a: int
    """Repeats that passed in A alone."""
    only_b: int


class Comparison(_Frozen):
    """What became of the pairs of attempts of two runs."""

    a: str
    b: str
    """The folders."""
    differs: dict[str, tuple[str, str]]
    """What was asked differently: flag → in A, in B."""
    pairs: Pairs
    wins: int
    """Pairs that passed in B alone."""
    losses: int
    """Pairs that passed in A alone."""
    ties: int
    rate_a: float
    rate_b: float
    difference: float
    """Rate of B minus rate of A, over the pairs."""
    interval: Interval
    p_value: float
    methods: str = METHODS
    not_scored: int
    """Pairs left out: in A or in B the infrastructure or the task itself broke the attempt."""
    only_in_a: int
    """Attempts left out: the other run has none at this task and repeat."""
    only_in_b: int
    changed: tuple[Changed, ...]
    """B's gains first."""


def compare_runs(a: Path, b: Path) -> Comparison:
    """Compare the runs of two output folders, paired by task and repeat.

    Raises:
        PathNotFound: No run is in one of them.
        RequestInvalid: A file cannot be read; or they do not fit: other environments, or no attempt in common.
    """
    run_a, run_b = read_run(a), read_run(b)
    ids_a, ids_b = ({each.env: each.env_id for each in run.envs} for run in (run_a, run_b))
    if not set(ids_a.values()) & set(ids_b.values()):
        names = [", ".join(ids.values()) for ids in (ids_a, ids_b)]
        raise RequestInvalid(f"{a} is of {names[0]} and {b} of {names[1]}: compare runs of one environment")
    in_a, in_b = read_attempts(a), _renamed(read_attempts(b), ids_a, ids_b)
    common = [key for key in in_a if key in in_b]
    scored = [key for key in common if in_a[key].is_scored and in_b[key].is_scored]
    if not scored:
        raise RequestInvalid(
            f"{a} and {b} have no scored attempt in common: compare runs that share tasks and repeats"
        )
    pairs = _count(in_a, in_b, scored)
    rate_a, rate_b = (pairs.both + pairs.only_a) / pairs.total, (pairs.both + pairs.only_b) / pairs.total
    return Comparison(
        a=str(a),
        b=str(b),
        differs=_differences(run_a, run_b),
        pairs=pairs,
        wins=pairs.only_b,
        losses=pairs.only_a,
        ties=pairs.both + pairs.neither,
        rate_a=rate_a,
        rate_b=rate_b,
        difference=rate_b - rate_a,
        interval=paired_difference(pairs),
        p_value=mcnemar_exact(pairs),
        not_scored=len(common) - len(scored),
        only_in_a=len(in_a) - len(common),
        only_in_b=len(in_b) - len(common),
        changed=_changed(in_a, in_b, scored),
    )


def _renamed(
    in_b: Mapping[Key, Attempt], ids_a: Mapping[str, str], ids_b: Mapping[str, str]
) -> dict[Key, Attempt]:
    """Return B's attempts under the names that their environments have in A: one is known by its id."""
    names = {env_id: name for name, env_id in ids_a.items()}
    return {key._replace(env=names.get(ids_b.get(key.env, ""), key.env)): each for key, each in in_b.items()}


def _count(in_a: Mapping[Key, Attempt], in_b: Mapping[Key, Attempt], keys: Iterable[Key]) -> Pairs:
    both = [(in_a[key].outcome is Outcome.PASSED, in_b[key].outcome is Outcome.PASSED) for key in keys]
    return Pairs(
        both=both.count((True, True)),
        only_a=both.count((True, False)),
        only_b=both.count((False, True)),
        neither=both.count((False, False)),
    )


def _changed(
    in_a: Mapping[Key, Attempt], in_b: Mapping[Key, Attempt], keys: Iterable[Key]
) -> tuple[Changed, ...]:
    by_task: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
    for key in keys:
        by_task[key.env, key.task_id].append(key)
    found = []
    for (env, task_id), own in by_task.items():
        pairs = _count(in_a, in_b, own)
        if pairs.only_a or pairs.only_b:
            sides = {"passed_a": pairs.both + pairs.only_a, "passed_b": pairs.both + pairs.only_b}
            only = {"only_a": pairs.only_a, "only_b": pairs.only_b}
            found.append(Changed(env=env, task_id=task_id, pairs=pairs.total, **sides, **only))
    return tuple(sorted(found, key=lambda each: (each.only_a - each.only_b, each.env, each.task_id)))


def _differences(a: RunInfo, b: RunInfo) -> dict[str, tuple[str, str]]:
    values = {name: (a.config.get(name), b.config.get(name)) for name in NOTED}
    versions_a, versions_b = ({each.env: each.env_version for each in run.envs} for run in (a, b))
    for env in versions_a.keys() & versions_b.keys():
        values[f"env_version of {env}"] = (versions_a[env], versions_b[env])
    values["gym-queue"] = (a.version, b.version)
    return {name: (str(in_a), str(in_b)) for name, (in_a, in_b) in values.items() if in_a != in_b}
