"""Fleets to measure, each with a token of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from gym_queue.testing import Fleet, FleetSetup

ASK_TIMEOUT_S = 60.0
QUIET = ("--log-level", "WARNING")


@dataclass(frozen=True, slots=True)
class Started:
    """A running fleet."""

    url: str
    token: str
    worker_urls: list[str]
    pids: dict[str, int]

    def adopt(self, worker_url: str, env_ids: list[str], worker_id: str = "bench") -> None:
        """Make the master route environments to a server that is no worker of ours."""
        self._ask("POST", "/workers/register", {"worker_id": worker_id, "url": worker_url, "max_envs": 0})
        self.beat(worker_id, env_ids)

    def beat(self, worker_id: str, env_ids: list[str]) -> None:
        """Report environments as a worker does."""
        message = {"worker_id": worker_id, "env_count": len(env_ids), "env_ids": env_ids}
        self._ask("POST", "/workers/heartbeat", message)

    def health(self) -> dict[str, Any]:
        """Return what the master says of itself."""
        return self._ask("GET", "/health", None)

    def _ask(self, method: str, path: str, message: dict[str, object] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        reply = httpx.request(
            method, self.url + path, json=message, headers=headers, timeout=ASK_TIMEOUT_S, trust_env=False
        )
        found: dict[str, Any] = reply.raise_for_status().json()
        return found


@contextmanager
def started(workers: int, slots: int = 1) -> Iterator[Started]:
    """Start a master and workers with slots each; silence of a worker means nothing to this master."""
    token, forever = secrets.token_urlsafe(24), "86400"
    setup = FleetSetup(
        workers=workers,
        max_envs=slots,
        master_arguments=(*QUIET, "--heartbeat-timeout", forever, "--dead-timeout", forever),
        worker_arguments=(*QUIET, "--runners", "fake"),
        variables={"GYM_ANYTHING_TOKEN": token},
    )
    with Fleet(setup) as fleet:
        programs = {"master": fleet.master, **{f"worker {n + 1}": w for n, w in enumerate(fleet.workers)}}
        pids = {name: program.process.pid for name, program in programs.items() if program}
        yield Started(fleet.url, token, [url.rstrip("/") for url in fleet.worker_urls], pids)
