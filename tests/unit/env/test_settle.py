"""How long a step waits before it observes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.fake import FakeRunner
from tests.unit.env.conftest import Lab, reset, step

CLICK: dict[str, Any] = {"mouse": {"left_click": [1, 2]}}
CYCLE_S = 0.05


class Screen(FakeRunner):
    """Keeps how long it was to settle at most."""

    settled: list[float]

    def __init__(self, setup: RunnerSetup) -> None:
        super().__init__(setup)
        self.setup, self.settled = setup, []

    def settle(self, *, max_s: float) -> None:
        self.settled.append(max_s)


@pytest.fixture
def screens() -> list[Screen]:
    return []


@pytest.fixture
def open_screen(screens: list[Screen]):
    def start(name: str, setup: RunnerSetup) -> Screen:
        screens.append(Screen(setup))
        return screens[-1]

    return start


def test_the_operators_times_hold_for_resets_and_steps(lab: Lab, open_screen, screens: list[Screen]) -> None:
    bounds = EpisodeBounds(settle_s=0.3, settle_max_s=1.5)
    episode = lab.open(open_runner=open_screen, bounds=bounds)
    reset(episode)
    step(episode, CLICK)
    assert screens[0].settled == [1.5, 1.5]
    assert screens[0].setup.settle_s == 0.3


def test_a_step_that_asks_for_no_settling_waits_for_nothing(lab: Lab, open_screen, screens) -> None:
    episode = lab.open(open_runner=open_screen, env={"step_cycle_ms": 3_600_000})
    reset(episode)
    step(episode, CLICK, settle_after_actions=False)
    step(episode)
    assert len(screens[0].settled) == 1  # the reset's


def test_the_pause_that_a_spec_names_is_kept(lab: Lab) -> None:
    episode = lab.open(env={"step_cycle_ms": CYCLE_S * 1000})
    reset(episode)
    began = time.monotonic()
    step(episode, CLICK)
    assert time.monotonic() - began >= CYCLE_S


def test_a_spec_that_is_not_synchronous_has_no_pause(lab: Lab) -> None:
    episode = lab.open(env={"step_cycle_ms": 3_600_000, "synchronous": False})
    reset(episode)
    step(episode, CLICK)
