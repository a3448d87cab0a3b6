"""The scenario orphan: a client's process is killed, and its environment must not hold its slot for long."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import IO, cast

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import null_spec
from gym_queue.chaos.stage import Amount, Stage, close_all, tried
from gym_queue.chaos.verdict import Check, at_most, equal
from gym_queue.client import RemoteGymEnv

LEASE_S = 10.0
QUICK_LEASE_S = 3.0
LEASES = 2.0
"""In which the slot must be back."""


def shape(amount: Amount) -> Shape:
    """Return the fleet it needs: a single slot."""
    return Shape(workers=1, slots=1, heartbeat_s=amount.pick(5.0, 1.0))


async def play(stage: Stage) -> list[Check]:
    """Let a client live longer than its lease, then kill it and ask for its slot."""
    lease_s = stage.amount.pick(LEASE_S, QUICK_LEASE_S)
    heir = stage.driver()
    with await stage.do(_start_client, stage, lease_s) as client:
        try:
            kept = await _is_kept(stage, lease_s)
        finally:
            client.kill()
    killed_at = time.monotonic()
    stage.say("the client is killed")
    opened = await tried(heir.open(queue_timeout_s=10 * lease_s))
    back_s = time.monotonic() - killed_at if opened is not None else None
    await close_all([heir])
    return [
        equal("kept while its client lived, silent, for longer than its lease", int(kept), 1),
        at_most(f"slot is back (lease {lease_s:g} s)", back_s, LEASES * lease_s, "s"),
        await stage.count_leaks(),
    ]


def _start_client(stage: Stage, lease_s: float) -> subprocess.Popen[bytes]:
    """Return a client's process that has an environment."""
    client = subprocess.Popen(
        [sys.executable, "-m", "gym_queue.chaos.orphan", stage.cluster.url, str(lease_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "GYM_ANYTHING_TOKEN": stage.token},
    )
    cast(IO[bytes], client.stdout).readline()
    return client


async def _is_kept(stage: Stage, lease_s: float) -> bool:
    """Return whether the environment is still there after longer than its lease."""
    before = await stage.survey.envs_on_workers()
    await asyncio.sleep(1.3 * lease_s)
    return bool(before) and await stage.survey.envs_on_workers() == before


def main() -> None:
    """Be the client: open an environment, begin an episode, and wait for the end of input."""
    url, lease_s = sys.argv[1:]
    with RemoteGymEnv(url, env_spec=null_spec(), verifier_env={}, lease_s=float(lease_s)) as env:
        env.reset(seed=1)
        sys.stdout.write(json.dumps({"env_id": env.env_id}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
