"""Agents that break at the task "a" and do what any task asks elsewhere; tests install them as entry points."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn

NAMES = ("Raising", "Hanging", "Exiting", "Crashing", "Misspelling", "Blank")


class Broken:
    """Says that it is done; subclasses break first."""

    Options = AgentOptions
    wait_between_actions_s = 0.0

    def __init__(self, options: AgentOptions) -> None:
        self.task_id = ""

    def start(self, task: AgentTask) -> None:
        self.task_id = task.task_id

    def act(self, observation: dict[str, Any], *, step: int) -> Any:
        return self.breaks() if self.task_id == "a" else AgentTurn(done=True)

    def breaks(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


class Raising(Broken):
    def breaks(self) -> Any:
        raise ZeroDivisionError("no luck")


class Hanging(Broken):
    def breaks(self) -> Any:
        while True:
            time.sleep(60)


class Exiting(Broken):
    def breaks(self) -> Any:
        os._exit(0)


class Crashing(Broken):
    def breaks(self) -> Any:
        signal.raise_signal(signal.SIGSEGV)


class Misspelling(Broken):
    def breaks(self) -> Any:
        return AgentTurn([{"mose": {"left_click": [1, 1]}}])


class Blank(Broken):
    def breaks(self) -> Any:
        return "I would rather not."


def install(site: Path) -> None:
    """Write what pip writes for a package with these entry points; ``site`` goes onto PYTHONPATH."""
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    points = [f"{name} = {__name__}:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[gym_queue.agents]", *points]))
