"""A model's API on this machine, and an agent before a screen that a test holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gym_queue.benchmark.agents.base import Agent, AgentTask
from gym_queue.benchmark.agents.registry import find_agent
from gym_queue.benchmark.nursery import Nursery
from gym_queue.protocol.observations import Screen
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.task import TaskSpec

from .modelapis import KEY, ModelServer

MODELS = {"ClaudeAgent": "claude-opus-5-5", "OpenAIAgent": "gpt-6-sol"}


@pytest.fixture(scope="package")
def nursery() -> Iterator[Nursery]:
    """Return what whole runs take their processes from: both vendors' packages are imported there once."""
    agents = ("claude", "openai_agent")
    made = Nursery(
        [
            "gym_queue.env.local",
            *(f"gym_queue.benchmark.agents.{name}" for name in agents),
            "anthropic",
            "openai",
        ]
    )
    yield made
    made.stop()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """Return an API that has no script yet; both vendors' keys are set."""
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
        monkeypatch.delenv(f"{name}_BASE_URL", raising=False)
    made = ModelServer()
    yield made
    made.close()


@cache
def picture(size: tuple[int, int]) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (10, 20, 30)).save(data, "PNG")
    return data.getvalue()


class Stage:
    """An agent at a task, before a screen of any size."""

    def __init__(self, server: ModelServer) -> None:
        self._url = server.url
        self._agents: list[Agent] = []
        self.resolution = (1280, 720)

    def options(self, name: str, **options: Any) -> dict[str, Any]:
        known = {"base_url": self._url, "model": MODELS[name], "max_retries": 2, "api_key": KEY}
        return {**known, **options}

    def agent(self, name: str = "ClaudeAgent", **options: Any) -> Any:
        agent: Any = find_agent(name, self.options(name, **options))()
        self._agents.append(agent)
        spec = {
            "id": "desk@1",
            "observation": [{"type": "rgb_screen", "resolution": list(self.resolution)}],
            "action": [{"type": "mouse"}, {"type": "keyboard"}],
        }
        task = TaskSpec.model_validate({"id": "a@1", "description": "Do a."})
        agent.start(AgentTask("a", EnvSpec.model_validate(spec), task, Path(), "Do a.", 0))
        return agent

    def look(self, text: str | None = None) -> dict[str, Any]:
        """Return an observation."""
        screen = Screen(
            {"path": "f.png", "resolution": list(self.resolution), "png": picture(self.resolution)}
        )
        return {"screen": screen} | ({"cli_stdout": {"text": text}} if text else {})

    def close(self) -> None:
        for agent in self._agents:
            agent.close()


@pytest.fixture
def stage(server: ModelServer) -> Iterator[Stage]:
    made = Stage(server)
    yield made
    made.close()
