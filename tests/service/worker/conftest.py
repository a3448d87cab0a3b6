from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.worker.live import HostLimits
from tests.service.worker.rig import Mark, Rig

StartRig = Callable[..., Rig]


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets, which tmp_path's is not everywhere."""
    path = Path(tempfile.mkdtemp(prefix="gq-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start_rig(short_dir: Path) -> Iterator[StartRig]:
    """Starts Hosts of a test's own; each must leave nothing."""
    rigs: list[Rig] = []

    def start(
        max_envs: int = 8,
        idle_timeout_s: float = 3600,
        call_timeout_s: float = 20,
        clock: Callable[[], float] = time.time,
        runners: tuple[str, ...] = ("fake", "local"),
        vm_memory_bytes: int | None = None,
    ) -> Rig:
        limits = HostLimits(max_envs, idle_timeout_s, call_timeout_s, vm_memory_bytes=vm_memory_bytes)
        rigs.append(Rig(short_dir / f"w{len(rigs)}", limits, clock, runners))
        rigs[-1].start()
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.stop()
        assert not rig.work_dir.exists()


@pytest.fixture(scope="session")
def shared_rig() -> Iterator[Rig]:
    folder = Path(tempfile.mkdtemp(prefix="gq-"))
    shared = Rig(folder / "w", HostLimits(20, 3600, 20))
    shared.start()
    yield shared
    shared.stop()
    assert not list(folder.iterdir())
    folder.rmdir()


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    """A Host that tests share: each must leave no environment in it."""
    yield shared_rig
    left = shared_rig.live
    for env_id in left:
        shared_rig.run(shared_rig.host.close(env_id))
    assert not left


@pytest.fixture
def mark() -> Iterator[Mark]:
    mark = Mark()
    yield mark
    left = mark.found()
    for process in left:
        process.kill()
    assert not left
