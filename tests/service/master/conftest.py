"""A real master, and workers that speak HTTP alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gym_queue.master.run import Master
from gym_queue.settings import MasterSettings
from gym_queue.web.server import LoopThread, bind
from tests.service.master.oldworkers import OldWorker

ABSENT_BROKER = "redis://127.0.0.1:1/0"


@dataclass
class RunningMaster:
    """A master, and calls to it."""

    loop: LoopThread
    master: Master
    http: httpx.Client
    threads: ThreadPoolExecutor

    def create(self, env_id: str, **fields: Any) -> httpx.Response:
        """Ask for an environment and wait for the answer."""
        return self.http.post("/envs/create", json={"env_id": env_id, "env_dir": "e", **fields})

    def creating(self, env_id: str, **fields: Any) -> Future[httpx.Response]:
        """Ask for an environment on a thread of its own."""
        return self.threads.submit(self.create, env_id, **fields)

    def ask_and_leave(self, env_id: str, until: Callable[[], None]) -> None:
        """Ask for an environment, and hang up once ``until`` returns."""
        url = self.http.base_url
        body = json.dumps({"env_id": env_id, "env_dir": "e"}).encode()
        head = f"POST /envs/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
            connection.sendall(head.encode() + body)
            until()

    def stop(self) -> None:
        """End the master as SIGTERM does."""
        self.loop.run(self.master.stop(), 30)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread("test")
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def start_master(loop: LoopThread) -> Iterator[Callable[..., RunningMaster]]:
    started: list[RunningMaster] = []

    def start(**settings: Any) -> RunningMaster:
        options = {
            "port": 0,
            "no_auth": True,
            "broker_url": ABSENT_BROKER,
            "heartbeat_s": 5,
            "fresh": True,
            **settings,
        }
        bound = bind("127.0.0.1", 0)
        master = Master(
            MasterSettings(**options), "token", bound, add_pages=lambda _app: None, open_paths=frozenset()
        )
        loop.run(master.start(), 30)
        http = httpx.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=30)
        started.append(RunningMaster(loop, master, http, ThreadPoolExecutor(4)))
        return started[-1]

    yield start
    for running in started:
        running.stop()
        running.threads.shutdown()
        running.http.close()


@pytest.fixture
def master(start_master: Callable[..., RunningMaster]) -> RunningMaster:
    return start_master()


@pytest.fixture
def start_worker(loop: LoopThread) -> Iterator[Callable[..., OldWorker]]:
    workers: list[OldWorker] = []

    def start(worker_id: str = "w1") -> OldWorker:
        workers.append(OldWorker(loop, worker_id))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


@pytest.fixture
def worker(start_worker: Callable[..., OldWorker]) -> OldWorker:
    return start_worker()
