"""docs/agents.md: its example, installed as another package would be, and its tables."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from gym_queue.benchmark.agents.modeloptions import ModelOptions
from gym_queue.benchmark.agents.registry import AgentInfo, OptionInfo, list_agents
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.run import run_benchmark

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
SHIPPED = ("ClaudeAgent", "HumanAgent", "OpenAIAgent", "RandomAgent", "ScriptedAgent")


def block(language: str) -> str:
    (found,) = re.findall(rf"run by [\w/]+\.py -->\n```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the page's agent under the page's entry point, as an installer lays it out."""
    site = tmp_path / "site"
    info = site / "my_agents-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: my-agents\nVersion: 1.0\n")
    points = tomllib.loads(block("toml"))["project"]["entry-points"]["gym_queue.agents"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    info.joinpath("entry_points.txt").write_text("\n".join(["[gym_queue.agents]", *lines]))
    site.joinpath("my_agents.py").write_text(block("python"))
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("example")
def test_the_pages_own_agent_is_listed_runs_and_takes_its_option():
    (echo,) = (agent for agent in list_agents() if agent.name == "EchoAgent")
    assert echo.description == "Types one line, and is done when it has seen what became of it."
    assert [(option.name, option.type, option.default) for option in echo.options] == [
        ("text", "text", "echo hello")
    ]
    console = Console(file=io.StringIO())
    config = BenchmarkConfig(
        env="terminal_env", task="archive", agent="EchoAgent", agent_args={"text": "echo $((6 * 7))"}
    )
    (attempt,) = run_benchmark(config, console, progress_console=console).attempts
    assert (attempt.outcome.value, attempt.error, attempt.steps) == ("failed", None, 2)


def row(option: OptionInfo) -> str:
    """Return an option's row as the page has it."""
    words = option.description.replace("``", "`")
    kind = option.type.replace("|", "\\|")
    return f"| `{option.name}` | {kind} | {option.default} | {words} |"


def section(title: str) -> list[str]:
    """Return the rows of options below a heading, up to the next."""
    text = re.split(rf"^##+ {title}\n", PAGE, flags=re.MULTILINE)[1]
    rows = re.split(r"^##+ ", text, flags=re.MULTILINE)[0].splitlines()
    head = rows.index("| option | type | default | |")
    return [line for line in rows[head + 2 :] if line.startswith("| `")]


@pytest.mark.parametrize(
    "agent", [agent for agent in list_agents() if agent.name in SHIPPED], ids=lambda each: each.name
)
def test_every_agent_has_its_options_on_the_page(agent: AgentInfo):
    shared = [option for option in agent.options if "model" in agent.options_schema["properties"]]
    shared = [option for option in shared if option.name in ModelOptions.model_fields]
    own = [option for option in agent.options if option not in shared]
    assert section(agent.name) == [*map(row, own)]
    if shared:
        assert section("Models") == [*map(row, shared)]
