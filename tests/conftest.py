"""Shared by all tests: what a machine lacks is skipped with its reason, or fails when it is required."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("GYM_ANYTHING_WORKER_CHECKPOINT_DIR", tempfile.mkdtemp(prefix="gym-queue-checkpoints-"))
os.environ.setdefault("GYM_ANYTHING_WORKER_EPISODES_DIR", tempfile.mkdtemp(prefix="gym-queue-episodes-"))
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")  # a busy machine is slow at times: that is no finding


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command that runs in this process does to the logs of all."""
    root, ours = logging.getLogger(), logging.getLogger("gym_queue")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = set(filter(None, os.environ.get("GYM_QUEUE_REQUIRE", "").split(",")))
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if shutil.which(tool) is None:
                reason = f"{tool} is not on PATH"
                if tool in required:
                    pytest.fail(f"{reason}, and GYM_QUEUE_REQUIRE names it")
                pytest.skip(reason)
