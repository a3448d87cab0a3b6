"""One fleet for all of the table; each module leaves it as it found it, and working."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.hostile.cluster import (
    CLUSTER,
    WORKER,
    Cluster,
    Env,
    count_sockets,
    running_cluster,
    wait_nothing_left,
)
from tests.waiting import wait_until

SOCKETS = 24
"""Connections that pools may keep for their next call."""


@pytest.fixture(scope="session")
def shared() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="gqh-"))  # short: unix sockets live below it
    with pytest.MonkeyPatch.context() as patch, running_cluster(folder, patch) as cluster:
        cluster.round_trip()
        yield cluster
    left = sorted(str(path) for path in folder.glob("tmp/*"))
    shutil.rmtree(folder)
    assert left == []


@pytest.fixture(scope="module")
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """The fleet; after each module's rows it holds nothing of them, logged no bug and no secret, and works."""
    before, sockets = shared.remains(), count_sockets(shared)
    log_size = len(shared.fleet.log_text())
    yield shared
    wait_nothing_left(shared, before)
    shared.hang_up()
    wait_until(lambda: count_sockets(shared) <= sockets + SOCKETS)
    log = shared.fleet.log_text()
    assert len(log) >= log_size
    for word in ("Traceback", "bug of ours", CLUSTER, WORKER):
        assert word not in log, log[max(0, log.index(word) - 500) : log.index(word) + 2000]
    shared.round_trip()


@pytest.fixture(scope="module")
def env(cluster: Cluster) -> Iterator[Env]:
    """An environment whose episode runs."""
    made = cluster.create()
    assert made.post("reset").status_code == 200
    yield made
    assert made.post("close").status_code == 200
