"""A thousand workers with ten environments each at one master, while somebody steps through it."""

from __future__ import annotations

import contextlib
import json
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from gym_queue import RemoteGymEnv
from gym_queue.stress.usage import UsageMeter
from gym_queue.testing import Fleet, FleetSetup
from tests.scale.load import ENVS, WORKERS

SPEC = {
    "id": "null",
    "runner": "fake",
    "observation": [{"type": "cli_stdout"}],
    "action": [{"type": "keyboard"}],
}
KEY = [{"keyboard": {"keys": "a"}}]
UNLOADED_S, LOADED_S = 3.0, 12.0
MOST_MB = 300
GENEROUS = 3
"""Limits of time are asserted with this factor: the machine may be busy with other things."""


@dataclass(frozen=True)
class Steps:
    """How long steps took, one after the other."""

    took_ms: list[float]

    @property
    def p50(self) -> float:
        return self.took_ms[len(self.took_ms) // 2]

    @property
    def p99(self) -> float:
        return self.took_ms[int(len(self.took_ms) * 0.99)]


def step_for(env: RemoteGymEnv, seconds: float) -> Steps:
    took_ms = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        env.step(KEY, wait_between_actions=0, settle_after_actions=False)
        took_ms.append((time.monotonic() - start) * 1000)
    return Steps(sorted(took_ms))


@contextlib.contextmanager
def load(url: str, token: str) -> Iterator[subprocess.Popen[str]]:
    """Run the simulated workers, until the block ends or their standard input does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scale.load", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"GYM_ANYTHING_TOKEN": token, "PYTHONPATH": ":".join(sys.path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allow the connections of a thousand workers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.scale
@pytest.mark.skipif(sys.platform != "linux", reason="each worker has a loopback address of its own")
def test_a_thousand_workers_fit_one_master(many_files, capsys):
    token = secrets.token_urlsafe(24)
    setup = FleetSetup(
        workers=1, worker_arguments=("--runners", "fake"), variables={"GYM_ANYTHING_TOKEN": token}
    )
    with Fleet(setup) as fleet:
        assert fleet.master is not None
        with RemoteGymEnv(fleet.url, env_spec=SPEC, token=token) as env:
            env.reset()
            unloaded = step_for(env, UNLOADED_S)
            with load(fleet.url, token) as simulated:
                meter = UsageMeter({"master": fleet.master.process.pid})
                start = time.monotonic()
                loaded = step_for(env, LOADED_S)
                (usage,) = meter.read(time.monotonic() - start)
                beats = json.loads(simulated.communicate(input="", timeout=30)[0])
                headers = {"Authorization": f"Bearer {token}"}
                found = httpx.get(f"{fleet.url}/health", headers=headers, timeout=30, trust_env=False).json()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{WORKERS} workers x {ENVS} envs   heartbeats {beats['sent']}, failed {beats['failed']}, p99 {beats['p99_ms']:.1f} ms"
            f"\nmaster   {usage.cpu_percent:.0f} % of a core, {usage.rss_mb:.0f} MB"
            f"\nstep     p50 {unloaded.p50:.2f} -> {loaded.p50:.2f} ms, p99 {unloaded.p99:.2f} -> {loaded.p99:.2f} ms\n"
        )
    assert (beats["failed"], beats["why"]) == (0, [])
    assert found["total_envs"] == WORKERS * ENVS + 1
    assert found["healthy_workers"] == WORKERS + 1
    assert usage.rss_mb <= MOST_MB
    assert usage.cpu_percent <= 100 * GENEROUS
    assert loaded.p99 <= 2 * GENEROUS * unloaded.p99
