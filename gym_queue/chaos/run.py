"""Plays scenarios, each on a fleet of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.chaos import anything, drain, failover, orphan, queueing, restarts, stopped
from gym_queue.chaos.cluster import Cluster, Shape, Start
from gym_queue.chaos.stage import Amount, Say, Stage
from gym_queue.chaos.survey import Survey
from gym_queue.chaos.verdict import Check, Findings, Outcome, equal
from gym_queue.errors import GymQueueError, RequestInvalid

LONGEST_S = 900.0
"""A scenario that takes longer, besides the seconds it was given, hangs."""
GONE_S = 20.0
"""How long processes may outlive their fleet: a fork server cleans up after a worker that was killed."""
SHOWN_SENTENCES = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of trouble."""

    shape: Callable[[Amount], Shape]
    play: Callable[[Stage], Awaitable[list[Check]]]


SCENARIOS: Mapping[str, Scenario] = {
    "restarts": Scenario(restarts.shape, restarts.play),
    "worker": Scenario(failover.shape, failover.play),
    "burst": Scenario(queueing.burst_shape, queueing.burst),
    "orphan": Scenario(orphan.shape, orphan.play),
    "churn": Scenario(queueing.churn_shape, queueing.churn),
    "stopped": Scenario(stopped.shape, stopped.play),
    "drain": Scenario(drain.shape, drain.play),
    "random": Scenario(anything.shape, anything.play),
}


def run(
    names: Sequence[str], amount: Amount, *, start: Start, token: str, say: Say, logs: Path | None = None
) -> Findings:
    """Play scenarios one after the other.

    Args:
        names: Of SCENARIOS; none is all.
        amount: How much of each.
        start: Starts a fleet.
        token: The cluster token of those fleets.
        say: Told what happens, line by line.
        logs: Folder for what the programs of a fleet logged, when a target was missed.

    Raises:
        RequestInvalid: There is no such scenario.
    """
    for name in names:
        if name not in SCENARIOS:
            raise RequestInvalid(f"there is no scenario {name}: there are {', '.join(SCENARIOS)}")
    outcomes = []
    for name in names or SCENARIOS:
        outcomes.append(_run(name, amount, start, token, say, logs))
        say(f"{name}: {'met' if outcomes[-1].ok else 'MISSED'}")
    return Findings(seed=amount.seed, outcomes=outcomes)


def _run(name: str, amount: Amount, start: Start, token: str, say: Say, logs: Path | None) -> Outcome:
    scenario, began = SCENARIOS[name], time.monotonic()
    shape = scenario.shape(amount)

    def tell(line: str) -> None:
        say(f"{name} {time.monotonic() - began:6.1f} s: {line}")

    tell("starting a fleet")
    with start(shape) as cluster:
        stage, checks = asyncio.run(_play(scenario, cluster, shape, token, amount, tell))
        if logs is not None and not all(check.ok for check in checks):
            logs.mkdir(parents=True, exist_ok=True)
            (logs / f"{name}.log").write_text(cluster.log_text())
    stage.ledger.processes_leaked = _left_behind(cluster)
    checks.append(equal("processes left behind", stage.ledger.processes_leaked, 0))
    told = stage.books.sentences
    notes = [*stage.notes, *(f"a client was told: {sentence}" for sentence in told[:SHOWN_SENTENCES])]
    if len(told) > SHOWN_SENTENCES:
        notes.append(f"and {len(told) - SHOWN_SENTENCES} errors more")
    return Outcome(
        scenario=name, seconds=time.monotonic() - began, checks=checks, ledger=stage.ledger, notes=notes
    )


async def _play(
    scenario: Scenario, cluster: Cluster, shape: Shape, token: str, amount: Amount, say: Say
) -> tuple[Stage, list[Check]]:
    survey = Survey(cluster.url, token)
    stage = Stage(cluster, shape, token, amount, say, survey)
    if shape.networks and not cluster.can_cut:
        stage.notes.append("no network was cut: that takes root, and network namespaces that work")
    try:
        async with asyncio.timeout(LONGEST_S + amount.seconds):
            return stage, list(await scenario.play(stage))
    except (GymQueueError, TimeoutError) as error:
        stage.notes.append(f"ended early: {type(error).__name__}: {error}")
        return stage, [equal("played to its end", 0, 1)]
    finally:
        survey.close()


def _left_behind(cluster: Cluster) -> int:
    """Return how many of a fleet's processes are there still, after a while."""
    deadline = time.monotonic() + GONE_S
    while (left := len(cluster.processes())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
