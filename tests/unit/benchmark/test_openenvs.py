"""Environments that a loop has open, or is opening, when its run ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gym_queue.benchmark.attempt import Key
from gym_queue.benchmark.messages import Job
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.errors import Cancelled

JOB = Job(Key("small", "a", 0), Path("small"), "small", "env-1")


def test_a_cancel_closes_an_environment_that_is_being_opened_by_its_id():
    asked, closed = threading.Event(), threading.Event()
    abandoned: list[str] = []

    def create(job: Job):
        asked.set()
        assert closed.wait(10)
        raise Cancelled("the create was cancelled")

    def abandon(env_id: str) -> None:
        abandoned.append(env_id)
        closed.set()

    envs = OpenEnvs(create, abandon)
    caught: list[BaseException] = []

    def play() -> None:
        with pytest.raises(Cancelled) as raised:
            envs.open(JOB)
        caught.append(raised.value)

    playing = threading.Thread(target=play)
    playing.start()
    assert asked.wait(10)
    for closer in envs.cancel():
        closer.join(10)
    playing.join(10)
    assert (abandoned, [str(each) for each in caught]) == (["env-1"], ["the create was cancelled"])
    assert envs.cancel() == []
