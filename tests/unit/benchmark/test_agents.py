"""The agents alone, and how they are found."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import Field, SecretStr

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn
from gym_queue.benchmark.agents.optiontypes import default_of, schema_of, type_of
from gym_queue.benchmark.agents.registry import find_agent, list_agents
from gym_queue.errors import NotSupported, RequestInvalid, SpecInvalid, SpecNotFound
from gym_queue.protocol.actions import parse_actions
from gym_queue.specs.loader import load_env, load_task

from .conftest import Folder, type_line


def task_of(folder: Folder, *, seed: int = 0) -> AgentTask:
    task = load_task(folder.path, "a")
    return AgentTask("a", load_env(folder.path), task, folder.path, task.description, seed)


def turns(folder: Folder, name: str, *, seed: int = 0, **arguments: object) -> list[AgentTurn]:
    agent = find_agent(name, arguments)()
    agent.start(task_of(folder, seed=seed))
    played = [agent.act({}, step=0)]
    while not played[-1].done:
        played.append(agent.act({}, step=len(played)))
    agent.close()
    return played


def test_a_script_is_played_step_by_step_and_done_with_its_last(folder):
    script = [type_line("one"), [*type_line("two"), {"action": "wait", "time": 1}]]
    folder.add_task("a", solution={"steps": script})
    played = turns(folder, "ScriptedAgent")
    assert [list(turn.actions) for turn in played] == script
    assert [turn.done for turn in played] == [False, True]


def test_idle_is_done_at_once_without_any_script(folder):
    folder.add_task("a")
    assert turns(folder, "ScriptedAgent", script="idle") == [AgentTurn(done=True)]


def test_a_script_may_be_any_file(folder):
    folder.add_task("a")
    path = folder.write("mine.json", {"steps": [type_line("mine")]})
    assert turns(folder, "ScriptedAgent", script=str(path))[0].actions == type_line("mine")


@pytest.mark.parametrize(
    ("solution", "kind", "match"),
    [
        (None, SpecNotFound, "the task a has no script: .*solution.json does not exist"),
        ({"wrong": []}, SpecNotFound, "has no script 'steps'; it has wrong"),
        ({"steps": [{}]}, SpecInvalid, r"steps\.0: a script is a list of steps"),
        ({"steps": [[], [{"mous": 1}]]}, SpecInvalid, r"steps\.1: actions\[0\]: mous: unknown key"),
    ],
)
def test_a_script_that_cannot_be_played_says_why(folder, solution, kind, match):
    folder.add_task("a", solution=solution)
    with pytest.raises(kind, match=match):
        turns(folder, "ScriptedAgent")


def test_random_actions_are_valid_within_the_screen_and_the_same_for_a_seed(folder):
    folder.add_task("a")
    played = turns(folder, "RandomAgent", steps=200, actions=2, seed=1)
    assert played == turns(folder, "RandomAgent", steps=200, actions=2, seed=1)
    assert played != turns(folder, "RandomAgent", steps=200, actions=2, seed=2)
    points = []
    for turn in played:
        for action in parse_actions(turn.actions):
            if action.mouse:
                points += [point for point in (action.mouse.left_click, action.mouse.move) if point]
    assert len(points) > 10
    assert all(x < 320 and y < 200 for x, y in points)


def test_a_random_agents_own_seed_wins_over_the_runs(folder):
    folder.add_task("a")
    assert turns(folder, "RandomAgent", seed=1) == turns(folder, "RandomAgent", seed=1)
    agent_seed = {"seed": 5}
    first, second = (find_agent("RandomAgent", agent_seed)() for _ in range(2))
    first.start(task_of(folder, seed=1))
    second.start(task_of(folder, seed=2))
    assert [first.act({}, step=n) for n in range(9)] == [second.act({}, step=n) for n in range(9)]


def test_a_random_agent_uses_only_devices_that_the_environment_has(tmp_path):
    keyboard = Folder(tmp_path / "k", action=[{"type": "keyboard"}])
    keyboard.add_task("a")
    assert all("mouse" not in action for turn in turns(keyboard, "RandomAgent") for action in turn.actions)
    voice = Folder(tmp_path / "v", action=[{"type": "voice"}])
    voice.add_task("a")
    with pytest.raises(NotSupported, match="needs mouse or keyboard, and small@1 takes voice"):
        turns(voice, "RandomAgent")


def test_an_unknown_agent_is_refused_with_those_there_are(plugins):
    with pytest.raises(
        RequestInvalid,
        match=r"no agent 'gpt'; known are ClaudeAgent, .*OpenAIAgent, RandomAgent, ScriptedAgent, .*plain",
    ):
        find_agent("gpt", {})


def test_an_unknown_option_is_refused_with_those_there_are():
    with pytest.raises(RequestInvalid, match="ScriptedAgent has no option 'scrpt'; its options are script"):
        find_agent("ScriptedAgent", {"scrpt": "wrong"})


def test_an_options_value_is_read_as_its_type_or_refused():
    assert find_agent("RandomAgent", {"steps": "7"}).options.model_dump()["steps"] == 7
    with pytest.raises(
        RequestInvalid, match=r"RandomAgent: option steps \(number, default 20\): .*valid integer"
    ):
        find_agent("RandomAgent", {"steps": "many"})


def test_agents_of_other_packages_are_found_by_name(folder, plugins):
    folder.add_task("a")
    agent = find_agent("plain", {"turns": "5"})()
    agent.start(task_of(folder))
    assert agent.act({}, step=0).note == "turn 0"


@pytest.mark.parametrize(
    ("name", "match"), [("absent", "cannot be loaded from"), ("stray", "has no Options")]
)
def test_an_agent_that_cannot_be_loaded_says_why(plugins, name, match):
    with pytest.raises(RequestInvalid, match=match):
        find_agent(name, {})


def test_the_list_of_agents_tells_their_options_and_what_cannot_be_loaded(plugins):
    agents = {agent.name: agent for agent in list_agents()}
    assert {"plain", "ClaudeAgent", "OpenAIAgent", "RandomAgent", "ScriptedAgent"} <= set(agents)
    assert agents["plain"].description == "Never finishes."
    (script,) = agents["ScriptedAgent"].options
    assert (script.name, script.type, script.default) == ("script", "text", "steps")
    assert "solution.json" in script.description
    assert "cannot be loaded" in agents["absent"].description


class Size(StrEnum):
    SMALL, LARGE = "s", "l"


class Mixed(AgentOptions):
    """Options of every sort."""

    name: str
    """Must be given."""
    share: float = 0.5
    is_fast: bool = False
    key: SecretStr = SecretStr("hidden")
    color: Literal["red", "green"] | None = None
    size: Size = Size.SMALL
    either: int | str = ""
    words: tuple[str, ...] = ()
    table: dict[str, int] = Field(default_factory=dict)
    pattern: re.Pattern[str] | None = None
    odd: Callable[[], None] | None = None


def test_types_and_defaults_are_words_for_people():
    schema = schema_of(Mixed)
    fields = Mixed.model_fields.items()
    kinds = {name: (type_of(schema["properties"][name], schema), default_of(field)) for name, field in fields}
    assert kinds == {
        "name": ("text", "required"),
        "share": ("number", "0.5"),
        "is_fast": ("yes/no", "no"),
        "key": ("secret", "set"),
        "color": ("one of red|green", "none"),
        "size": ("one of s|l", "s"),
        "either": ("number or text", '""'),
        "words": ("list", "()"),
        "table": ("mapping", "{}"),
        "pattern": ("text", "none"),
        "odd": ("value", "none"),
    }
    assert "hidden" not in str(schema)


def test_no_list_of_agents_speaks_of_pythons_types():
    for agent in list_agents():
        assert not re.search(r"pydantic|NoneType|<class|\bstr\b|\bbool\b", str(agent.options))
        assert set(agent.options_schema.get("properties", {})) == {option.name for option in agent.options}
