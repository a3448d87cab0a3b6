"""The machines of a worker have room together, though none of them may have started yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gym_queue.errors import NoCapacity
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.worker.live import LiveEnv, check_memory

GIB = 1 << 30


async def _open(name: str, memory_bytes: int) -> LiveEnv:
    env = LiveEnv(name, CreateRequest(env_dir="x"), "", Path(), 0, 0, 0)
    env.opened = {"memory_bytes": memory_bytes}
    return env


def opened(name: str, memory_gib: float) -> LiveEnv:
    return asyncio.run(_open(name, int(memory_gib * GIB)))


def test_the_last_that_does_not_fit_is_refused() -> None:
    first, second = opened("a", 2), opened("b", 3)
    check_memory(first, [first], 4 * GIB)
    with pytest.raises(NoCapacity, match=r"b needs 3\.0 GiB .* 2\.0 GiB are free") as caught:
        check_memory(second, [first, second], 4 * GIB)
    assert caught.value.details["lacks_memory"] is True


def test_those_that_are_no_machines_always_fit() -> None:
    large, plain = opened("a", 9), opened("b", 0)
    check_memory(plain, [large, plain], 4 * GIB)


def test_one_that_is_being_opened_does_not_count_yet() -> None:
    first, opening = opened("a", 3), opened("b", 0)
    opening.opened = {}
    check_memory(first, [first, opening], 4 * GIB)


def test_without_a_limit_everything_fits() -> None:
    large = opened("a", 9)
    check_memory(large, [large], None)
