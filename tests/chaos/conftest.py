"""Real fleets of environments that do nothing, and ways to hurt them."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from gym_queue.settings import find_token
from gym_queue.testing import Fleet, FleetSetup, Program
from tests.acceptance.conftest import Place
from tests.acceptance.conftest import place as place
from tests.waiting import POLL_S, wait_until

HEARTBEAT_S = 0.5
SLOWER = ("--heartbeat", "2")
"""Flags: a busy machine has a create on its way to a worker that hangs before the master holds it for dead."""
SPEC = {
    "id": "null",
    "runner": "fake",
    "observation": [{"type": "cli_stdout"}],
    "action": [{"type": "keyboard"}],
}
RETRIED = (502, 503, 504)


class Chaos:
    """A fleet whose parts can be killed, stopped and started again."""

    def __init__(self, place: Place, *master_arguments: str, workers: int = 1, max_envs: int = 4) -> None:
        self.place = place
        self.port = _free_port()
        self.state_dir = place.folder / "master"
        self.master_arguments = ("--heartbeat", str(HEARTBEAT_S), *master_arguments)
        setup = FleetSetup(
            workers=workers,
            max_envs=max_envs,
            port=self.port,
            state_dir=self.state_dir,
            master_arguments=self.master_arguments,
            worker_arguments=("--runners", "fake"),
            variables=place.variables,
        )
        self.fleet = Fleet(setup)
        self.threads = ThreadPoolExecutor(32)
        self.http = httpx.Client(timeout=30, trust_env=False)

    def start(self) -> None:
        self.fleet.__enter__()
        self.http.headers["Authorization"] = f"Bearer {find_token()}"
        self.http.base_url = httpx.URL(self.fleet.url)

    def stop(self) -> None:
        for process in [self.redis(), *(worker.process for worker in self.fleet.workers)]:
            if process is not None and (isinstance(process, psutil.Process) or process.poll() is None):
                process.send_signal(signal.SIGCONT)
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.fleet.stop()
        self.http.close()

    def settle(self) -> None:
        """Have everything so far written down: an operator's call is answered after that."""
        self.call("POST", "/workers/undrain", json={"worker_id": "worker-1"})

    def kill_master(self) -> None:
        assert self.fleet.master is not None
        self.fleet.master.process.kill()
        self.fleet.master.wait()

    def end_master(self) -> None:
        assert self.fleet.master is not None
        self.fleet.master.terminate()
        assert self.fleet.master.wait() == 0

    def start_master(self, *more: str) -> None:
        flags = ["--host", "127.0.0.1", "--port", str(self.port), "--state-dir", str(self.state_dir)]
        log = self.place.folder / "master-again.log"
        self.fleet.master = Program(
            "gym_queue.cli.master",
            [*flags, *self.master_arguments, *more],
            log=log,
            variables=self.place.variables,
        )
        self.fleet.master.wait_ready()

    def worker(self, worker_id: str) -> Program:
        return self.fleet.workers[int(worker_id.removeprefix("worker-")) - 1]

    def redis(self) -> psutil.Process | None:
        state = self.state_dir / "broker" / "redis.json"
        if not state.exists():
            return None
        pid = int(json.loads(state.read_text())["pid"])
        return psutil.Process(pid) if psutil.pid_exists(pid) else None

    def call(self, method: str, path: str, *, within_s: float = 30.0, **options: Any) -> httpx.Response:
        """Call as clients do: what may be tried again is, with the same key."""
        deadline = time.monotonic() + within_s
        key = {"Idempotency-Key": str(uuid.uuid4())}
        while True:
            try:
                reply = self.http.request(method, path, headers=key, **options)
                if reply.status_code not in RETRIED:
                    return reply
                left = reply.text
            except httpx.TransportError as error:
                left = repr(error)
            assert time.monotonic() < deadline, left
            time.sleep(POLL_S)

    def create(self, env_id: str, **fields: Any) -> httpx.Response:
        body = {"env_id": env_id, "env_spec": SPEC, "runner": "fake", **fields}
        return self.call("POST", "/envs/create", json=body)

    def creating(self, env_id: str, **fields: Any) -> Future[httpx.Response]:
        return self.threads.submit(self.create, env_id, **fields)

    def stop_worker(self, worker_id: str) -> None:
        """Hang a worker until ``resume_worker``."""
        os.kill(self.worker(worker_id).process.pid, signal.SIGSTOP)

    def resume_worker(self, worker_id: str) -> None:
        os.kill(self.worker(worker_id).process.pid, signal.SIGCONT)

    def creating_on_hung(self, worker_id: str, env_id: str) -> Future[httpx.Response]:
        """Have a create on its way to a worker that hangs; the others can take it afterwards."""
        others = [f"worker-{n + 1}" for n in range(len(self.fleet.workers)) if f"worker-{n + 1}" != worker_id]
        for other in others:
            self.call("POST", "/workers/drain", json={"worker_id": other})
        self.stop_worker(worker_id)
        asked = self.creating(env_id)
        wait_until(lambda: self.show(env_id).get("state") == "creating")
        for other in others:
            self.call("POST", "/workers/undrain", json={"worker_id": other})
        return asked

    def show(self, env_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/envs/{env_id}").json()
        return found

    def queued(self) -> list[str]:
        return [entry["env_id"] for entry in self.call("GET", "/queue").json()["waiting"]]

    def log_text(self) -> str:
        return self.fleet.log_text()

    def status(self, worker_id: str) -> str | None:
        workers = self.call("GET", "/workers/list").json()["workers"]
        return next((entry["status"] for entry in workers if entry["worker_id"] == worker_id), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def chaos(place: Place) -> Iterator[Callable[..., Chaos]]:
    started: list[Chaos] = []

    def start(*arguments: str, **setup: Any) -> Chaos:
        started.append(Chaos(place, *arguments, **setup))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()
