"""The example of docs/agents.md, installed as another package would be, and its tables."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from gym_queue.benchmark.agents.claude import ClaudeAgent
from gym_queue.benchmark.agents.openai_agent import OpenAIAgent
from gym_queue.benchmark.agents.registry import list_agents
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.run import run_benchmark

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the page's agent under the page's entry point."""
    site = tmp_path / "site"
    info = site / "my_agents-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: my-agents\nVersion: 1.0\n")
    points = tomllib.loads(block("toml"))["project"]["entry-points"]["gym_queue.agents"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    info.joinpath("entry_points.txt").write_text("\n".join(["[gym_queue.agents]", *lines]))
    site.joinpath("my_agents.py").write_text(block("python"))
    monkeypatch.syspath_prepend(site)


def test_the_pages_own_agent_runs_and_takes_its_option(example):
    assert [agent.description for agent in list_agents() if agent.name == "EchoAgent"] == [
        "Types one line, and is done when it has seen what became of it."
    ]
    console = Console(file=io.StringIO())
    config = BenchmarkConfig(
        env="terminal_env", task="archive", agent="EchoAgent", agent_args={"text": "echo $((6 * 7))"}
    )
    (attempt,) = run_benchmark(config, console, progress_console=console).attempts
    assert (attempt.outcome.value, attempt.error, attempt.steps) == ("failed", None, 2)


def test_every_option_of_the_models_agents_is_on_the_page():
    for kind in (ClaudeAgent, OpenAIAgent):
        missing = [name for name in kind.Options.model_fields if f"`{name}`" not in PAGE]
        assert not missing
