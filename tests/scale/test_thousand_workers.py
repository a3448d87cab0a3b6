"""A thousand workers with ten environments each at one master, while somebody steps through it.

What that costs a step is measured by ``python -m bench --only crowd-step``.
"""

from __future__ import annotations

import resource
import secrets
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from gym_queue import RemoteGymEnv
from gym_queue.stress.usage import UsageMeter
from gym_queue.testing import Fleet, FleetSetup
from tests.scale.load import ENVS, WORKERS
from tests.scale.simulated import simulated_workers

SPEC = {
    "id": "null",
    "runner": "fake",
    "observation": [{"type": "cli_stdout"}],
    "action": [{"type": "keyboard"}],
}
KEY = [{"keyboard": {"keys": "a"}}]
LOADED_S = 12.0
MOST_MB, MOST_CPU_PERCENT = 300, 300


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allow the connections of a thousand workers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.scale
@pytest.mark.skipif(sys.platform != "linux", reason="each worker has a loopback address of its own")
def test_a_thousand_workers_fit_one_master(many_files):
    token = secrets.token_urlsafe(24)
    setup = FleetSetup(
        workers=1, worker_arguments=("--runners", "fake"), variables={"GYM_ANYTHING_TOKEN": token}
    )
    steps = 0
    with Fleet(setup) as fleet:
        assert fleet.master is not None
        with (
            RemoteGymEnv(fleet.url, env_spec=SPEC, token=token) as env,
            simulated_workers(fleet.url, token) as simulated,
        ):
            env.reset()
            meter, start = UsageMeter({"master": fleet.master.process.pid}), time.monotonic()
            while time.monotonic() < start + LOADED_S:
                env.step(KEY, wait_between_actions=0, settle_after_actions=False)
                steps += 1
            (usage,) = meter.read(time.monotonic() - start)
            beats = simulated.stop()
            headers = {"Authorization": f"Bearer {token}"}
            found = httpx.get(f"{fleet.url}/health", headers=headers, timeout=30, trust_env=False).json()
    assert (beats["failed"], beats["why"]) == (0, [])
    assert beats["sent"] > 2 * WORKERS
    assert found["total_envs"] == WORKERS * ENVS + 1
    assert found["healthy_workers"] == WORKERS + 1
    assert steps > 0
    assert usage.rss_mb <= MOST_MB
    assert usage.cpu_percent <= MOST_CPU_PERCENT
