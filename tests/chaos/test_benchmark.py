"""A benchmark that is killed again and again, with its cluster, and resumed: every attempt counts exactly once."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from gym_queue.settings import find_token
from gym_queue.testing import Fleet
from tests.acceptance.conftest import Place, fleet_at
from tests.nullenv import make_null_env
from tests.waiting import POLL_S, wait_until

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300), pytest.mark.needs("redis-server")]

SEED = "GYM_QUEUE_CHAOS_SEED"
TASKS, REPEATS, LOOPS = 12, 5, 4
ATTEMPTS = TASKS * REPEATS
WORKERS, SLOTS = 2, 6
LONGEST_OUTAGE_S = 1.0
BOTH = 0.3
"""How often the benchmark is killed while its master is away."""
RESUMABLE = (1, 3)
"""Exit statuses: it was started while the master was away; attempts were lost, or the master was gone for too long."""
WAIT_S = 120
"""The whole takes some 30 s on two idle cores."""
STEP_DELAY_S = 0.1
TYPED = {f"task_{number}": [str(step) for step in range(3 + number % 3)] for number in range(TASKS)}
KEYS = {("null_env", task, repeat) for task in TYPED for repeat in range(REPEATS)}


class Ordeal:
    """A benchmark on a fleet, and what befalls them."""

    def __init__(self, place: Place, fleet: Fleet, luck: random.Random) -> None:
        self.place, self.fleet, self.luck = place, fleet, luck
        self.output = place.folder / "run"
        self.log = place.folder / "benchmark.log"
        self.statuses: list[int] = []
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the benchmark, or go on with it: the command is the same."""
        flags = (
            *("--remote-url", self.fleet.url, "--parallel", str(LOOPS), "--repeat", str(REPEATS)),
            *("--output", str(self.output), "--resume", "--frames", "none"),
        )
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.place.command("gym-anything", "benchmark", str(self.place.folder / "null_env"), *flags),
                env={**os.environ, **self.place.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def lines(self) -> list[dict[str, Any]]:
        path = self.output / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def written(self) -> int:
        path = self.output / "attempts.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def suffer(self, count: int, blow: Callable[[], None]) -> None:
        """Have a blow fall once so many attempts are written, and a moment more has passed."""
        wait_until(lambda: self.written() >= count or self.process.poll() is not None, WAIT_S)
        time.sleep(self.luck.uniform(0, 0.5))  # a moment of chance: nothing waits for it
        blow()
        if self.process.poll() is not None:
            self.statuses.append(self.process.wait())
            self.process = self.start()

    def kill_benchmark(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_worker(self) -> None:
        number = self.luck.randrange(WORKERS)
        self.fleet.kill_worker(number)
        self.fleet.restart_worker(number)

    def kill_master(self) -> None:
        self.fleet.kill_master()
        time.sleep(self.luck.uniform(0, LONGEST_OUTAGE_S))
        if self.luck.random() < BOTH:
            self.kill_benchmark()
        self.fleet.restart_master()

    def finish(self) -> None:
        """Resume until every attempt is judged."""
        while (status := self.process.wait(WAIT_S)) in RESUMABLE and len(self.statuses) < 12:
            self.statuses.append(status)
            self.process = self.start()
        self.statuses.append(status)

    def open_envs(self) -> dict[str, Any]:
        """Return what is open on any worker, by its URL."""
        headers = {"Authorization": f"Bearer {find_token()}"}
        replies = {url: httpx.get(f"{url}/envs/list", headers=headers) for url in self.fleet.worker_urls}
        return {url: found for url, reply in replies.items() if (found := reply.json()["environments"])}

    def wait_closed(self, timeout_s: float) -> None:
        """Fail, with what was logged of it, when an environment stays open."""
        deadline = time.monotonic() + timeout_s
        while (left := self.open_envs()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        lines = (self.fleet.log_text() + self.log.read_text()).splitlines()
        ids = [env_id for found in left.values() for env_id in found]
        assert not left, "\n".join(
            [str(left), *(line for line in lines if any(each in line for each in ids))]
        )


def test_every_attempt_is_judged_once_whatever_is_killed(place: Place) -> None:
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10_000))
    luck = random.Random(seed)
    logger.warning("%s=%s plays the same again", SEED, seed)
    make_null_env(place.folder / "null_env", TYPED, step_delay_s=STEP_DELAY_S)
    with ExitStack() as stack:
        arguments = ("--runners", "fake", "--env-root", str(place.folder))
        fleet = stack.enter_context(
            fleet_at(place, workers=WORKERS, max_envs=SLOTS, worker_arguments=arguments)
        )
        ordeal = Ordeal(place, fleet, luck)
        stack.callback(lambda: ordeal.process.kill())
        blows = [ordeal.kill_benchmark, ordeal.kill_worker, ordeal.kill_master] * 2
        luck.shuffle(blows)
        for count, blow in zip(sorted(luck.sample(range(2, ATTEMPTS - 6), len(blows))), blows, strict=True):
            ordeal.suffer(count, blow)
        ordeal.finish()
        assert ordeal.statuses[-1] == 0, ordeal.log.read_text()
        assert set(ordeal.statuses) <= {0, *RESUMABLE, -signal.SIGKILL}, ordeal.log.read_text()
        assert "Traceback" not in ordeal.log.read_text(), ordeal.log.read_text()
        check(ordeal)
        ordeal.wait_closed(30)
    wait_until(lambda: not place.processes(), 30)


def check(ordeal: Ordeal) -> None:
    """Every attempt is in the files, and was judged exactly once."""
    lines = ordeal.lines()
    judged = Counter(key_of(line) for line in lines if line["error"] is None)
    assert judged == Counter(KEYS), [line for line in lines if judged[key_of(line)] != 1]
    results = json.loads((ordeal.output / "results.json").read_text())["attempts"]
    assert Counter(map(key_of, results)) == Counter(KEYS)
    assert {(each["outcome"], each["error"]) for each in results} == {("passed", None)}
    report = json.loads((ordeal.output / "report.json").read_text())
    assert (report["total"]["passed"], report["total"]["scored"], report["missing"]) == (
        ATTEMPTS,
        ATTEMPTS,
        0,
    )
    assert Counter(key_of(row["attempt"]) for row in report["attempts"]) == Counter(KEYS)


def key_of(attempt: dict[str, Any]) -> tuple[str, str, int]:
    return attempt["env"], attempt["task_id"], attempt["repeat"]
