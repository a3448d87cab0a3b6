"""A fleet of one worker to measure sandboxes on, and what its tables have in common."""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from bench.fleets import QUIET
from bench.goals import Bound, Goal, Result
from bench.report import check_markdown, show, write_markdown
from gym_queue.client import RemoteGymEnv
from gym_queue.errors import GymQueueError
from gym_queue.log import configure_logging
from gym_queue.testing import Fleet, FleetSetup

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A fleet of one worker."""

    url: str
    token: str
    worker: psutil.Process
    rounds: int
    tell: Callable[[str], None]
    spec: Mapping[str, Any]
    """Of the environments that are opened."""

    def open(self) -> RemoteGymEnv:
        """Return an environment that is not reset yet; the caller closes it."""
        return RemoteGymEnv(self.url, dict(self.spec), token=self.token)

    @contextmanager
    def sandbox(self) -> Iterator[RemoteGymEnv]:
        """Open an environment and reset it."""
        env = self.open()
        try:
            env.reset()
            yield env
        finally:
            env.close()

    def memory_bytes(self) -> int:
        """Return what the worker and its processes hold, shared pages counted in shares (PSS)."""
        total = 0
        for process in (self.worker, *self.worker.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total


@dataclass(frozen=True, slots=True)
class Lab:
    """What is measured, and where."""

    program: str
    summary: str
    page: str
    """The page whose table shows the figures."""
    spec: Mapping[str, Any]
    runner: str
    max_envs: int
    rows: Callable[[Place], Iterator[Result]]
    check: Callable[[], None]
    """Raises StartupFailed when this machine lacks something."""
    worker_arguments: Sequence[str] = ()
    rounds: int = 5
    variables: Mapping[str, str] = field(default_factory=dict)


def at_most(key: str, what: str, unit: str, limit: float) -> Goal:
    """Return a goal that is a time or a size."""
    return Goal(key, what, unit, Bound.AT_MOST, limit)


def together(calls: Sequence[Callable[[], object]]) -> None:
    """Make calls, each in a thread of its own; returns when all have."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_round(place: Place, measure: Callable[[], float]) -> list[float]:
    """Return what a measurement gives, once a round."""
    return [measure() for _ in range(place.rounds)]


def ms(call: Callable[..., object], *arguments: Any, **named: Any) -> float:
    """Return how long a call takes, in ms."""
    began = time.perf_counter()
    call(*arguments, **named)
    return 1000 * (time.perf_counter() - began)


def main(lab: Lab) -> None:
    """Run a benchmark; an error of ours is one line, and status 1."""
    parser = argparse.ArgumentParser(prog=lab.program, description=lab.summary)
    parser.add_argument("--rounds", type=int, default=lab.rounds, help=f"of each row (default {lab.rounds})")
    parser.add_argument("--markdown", type=Path, help=f"refresh the table of this file: {lab.page}")
    options = parser.parse_args()
    configure_logging("WARNING")
    try:
        if options.markdown:
            check_markdown(options.markdown)
        lab.check()
        busy = psutil.getloadavg()[0]
        console = Console(stderr=True)
        with console.status("starting ..") as status, _placed(lab, options.rounds, status.update) as place:
            results = list(lab.rows(place))
        show(results)
        if options.markdown:
            write_markdown(results, options.markdown, busy=busy)
    except GymQueueError as error:
        sys.exit(f"error: {error}")
    sys.exit(any(result.fails(strict=False) for result in results))


@contextmanager
def _placed(lab: Lab, rounds: int, tell: Callable[[str], None]) -> Iterator[Place]:
    """Start a master and a worker."""
    token = secrets.token_urlsafe(24)
    setup = FleetSetup(
        workers=1,
        max_envs=lab.max_envs,
        master_arguments=QUIET,
        worker_arguments=(*QUIET, "--runners", lab.runner, *lab.worker_arguments),
        variables={"GYM_ANYTHING_TOKEN": token, **lab.variables},
    )
    with Fleet(setup) as fleet:
        worker = psutil.Process(fleet.workers[0].process.pid)
        yield Place(fleet.url, token, worker, rounds, tell, lab.spec)
