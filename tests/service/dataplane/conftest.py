from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gym_queue.master.dataplane.limits import Limits
from tests.service.dataplane.rig import ENV, Master, Worker, echo, open_files
from tests.waiting import wait_until

StartMaster = Callable[..., Master]


@pytest.fixture(scope="session")
def shared_worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def shared_master() -> Iterator[Master]:
    master = Master(Limits())
    yield master
    master.stop()


@pytest.fixture
def worker(shared_worker: Worker) -> Iterator[Worker]:
    shared_worker.script = echo
    shared_worker.connections = 0
    yield shared_worker
    shared_worker.settle()


@pytest.fixture
def master(shared_master: Master, worker: Worker, caplog: pytest.LogCaptureFixture) -> Iterator[Master]:
    """A master that tests share, with one environment; each must leave nothing behind."""
    shared_master.route(ENV, worker.url)
    before = open_files()
    yield shared_master
    shared_master.check_nothing_is_left()
    worker.settle()
    wait_until(lambda: open_files() <= before)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@pytest.fixture
def start_master(worker: Worker) -> Iterator[StartMaster]:
    """Starts masters with limits of a test's own."""
    masters: list[Master] = []

    def start(limits: Limits | None = None, **more) -> Master:
        masters.append(Master(limits or Limits(sweep_s=0.02), **more))
        masters[-1].route(ENV, worker.url)
        return masters[-1]

    yield start
    for started in masters:
        started.check_nothing_is_left()
        started.stop()
