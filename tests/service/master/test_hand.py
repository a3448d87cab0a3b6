"""An agent that a person is, at a real master: what it is given, what it tells, and what becomes of its wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from gym_queue.benchmark.agents.base import AgentTask, AgentTurn, EnvPlace
from gym_queue.benchmark.agents.human import HumanAgent, HumanOptions, page_address
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.run import run_benchmark
from gym_queue.errors import ActionInvalid, AgentFailed, EnvNotFound, RequestInvalid
from gym_queue.master import hands
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.task import TaskSpec
from tests.service.master.conftest import RunningMaster
from tests.service.master.oldworkers import OldWorker
from tests.waiting import wait_until

ENV = "e1"
HAND = f"/api/envs/{ENV}/hand"
CLICK = {"mouse": {"left_click": [640, 360]}}


@pytest.fixture
def cluster(master: RunningMaster, worker: OldWorker) -> RunningMaster:
    """A master with one environment."""
    worker.register(master.http)
    assert master.create(ENV).status_code == 201
    return master


Hire = Callable[..., HumanAgent]


@pytest.fixture
def hire() -> Iterator[Hire]:
    """Return agents that have their task and know where their environment is."""
    hired: list[HumanAgent] = []
    spec = EnvSpec.model_validate(
        {"id": "e", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}
    )
    task = TaskSpec.model_validate({"id": "t", "description": "Click it."})

    def at(url: object, **options: Any) -> HumanAgent:
        agent = HumanAgent(HumanOptions(**options))
        hired.append(agent)
        agent.start(AgentTask("click_it", spec, task, Path("e"), "Click it.", 0))
        agent.located(EnvPlace(ENV, str(url)))
        return agent

    yield at
    for agent in hired:
        agent.close()


def acting(cluster: RunningMaster, agent: HumanAgent, step: int = 0) -> Future[AgentTurn]:
    """Let an agent wait for its person, on a thread of its own; it waits when this returns."""
    turn: Future[AgentTurn] = cluster.threads.submit(agent.act, {}, step=step)
    wait_until(lambda: turn.done() or told(cluster)["step"] == step)
    return turn


def told(cluster: RunningMaster) -> dict[str, Any]:
    shown: dict[str, Any] = cluster.http.get(HAND).json()
    return shown["told"] or {"step": None}


def test_what_a_person_did_is_the_agents_turn_and_what_was_refused_is_told(
    cluster: RunningMaster, hire: Hire
) -> None:
    agent = hire(cluster.http.base_url)
    turn = acting(cluster, agent)
    assert told(cluster)["task"] == "Click it."
    placed = cluster.http.post(HAND, json={"id": "a", "actions": [CLICK], "note": "the red one"})
    assert (placed.status_code, placed.json()["position"]) == (200, 0)
    assert turn.result(10) == AgentTurn([CLICK], note="the red one")
    assert cluster.http.get(HAND).json()["listens"] == "busy"

    agent.refused(ActionInvalid("off the screen"))
    turn = acting(cluster, agent, step=1)
    assert told(cluster)["refused"] == "off the screen"
    cluster.http.post(HAND, json={"id": "b", "done": True})
    assert turn.result(10) == AgentTurn([], done=True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "request_invalid"),
        ({"id": "a b"}, "request_invalid"),
        ({"id": "a", "done": "yes"}, "request_invalid"),
        ({"id": "a", "actions": [CLICK] * 101}, "request_invalid"),
        ({"id": "a", "actions": [{"mouse": {"left_clik": [1, 2]}}]}, "action_invalid"),
        ({"id": "a", "actions": [{"mouse": {"left_click": [1, -2]}}]}, "action_invalid"),
        ({"id": "a", "note": "n" * 1001}, "request_invalid"),
    ],
)
def test_what_is_no_input_is_refused(cluster: RunningMaster, body: dict[str, Any], code: str) -> None:
    cluster.http.post(f"{HAND}/next", json={})
    reply = cluster.http.post(HAND, json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert cluster.http.get(HAND).json()["waiting"] == []


def test_an_input_without_an_agent_or_an_environment_is_refused_with_a_remedy(cluster: RunningMaster) -> None:
    alone = cluster.http.post(HAND, json={"id": "a"})
    assert (alone.status_code, alone.json()["code"]) == (409, "env_state")
    assert "--agent HumanAgent" in alone.json()["error"]
    for call in ("hand", "hand/next"):
        gone = cluster.http.post(f"/api/envs/none/{call}", json={"id": "a"})
        assert (gone.status_code, gone.json()["code"]) == (404, "env_not_found")


def test_an_agent_that_waits_hears_that_its_environment_was_closed(
    cluster: RunningMaster, hire: Hire
) -> None:
    turn = acting(cluster, hire(cluster.http.base_url))
    cluster.http.post(f"/envs/{ENV}/close")
    with pytest.raises(EnvNotFound, match="was closed"):
        turn.result(10)


def test_an_agent_that_hangs_up_waits_no_more(
    cluster: RunningMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "GRACE_S", 0.0)
    with pytest.raises(httpx.ReadTimeout):
        cluster.http.post(f"{HAND}/next", json={"wait_s": 30}, timeout=0.1)
    wait_until(lambda: cluster.http.get(HAND).json()["listens"] == "nobody")


def test_a_master_stops_at_once_though_agents_wait(cluster: RunningMaster) -> None:
    asked = cluster.threads.submit(cluster.http.post, f"{HAND}/next", json={"wait_s": 30})
    wait_until(lambda: cluster.http.get(HAND).json()["listens"] == "waits")
    cluster.stop()
    assert asked.result(10).status_code == 204


def test_a_person_who_does_nothing_is_waited_for_no_longer_than_was_said(
    cluster: RunningMaster, hire: Hire
) -> None:
    with pytest.raises(AgentFailed, match=r"for 0\.2 s: give more by --agent-arg timeout_s"):
        hire(cluster.http.base_url, timeout_s=0.2).act({}, step=0)


def test_an_agent_in_this_process_says_that_it_needs_a_cluster() -> None:
    with pytest.raises(RequestInvalid, match="give --remote-url"):
        HumanAgent(HumanOptions()).located(EnvPlace(ENV, None))


def test_a_run_without_a_cluster_is_refused_before_it_begins() -> None:
    with pytest.raises(RequestInvalid, match="HumanAgent works on a cluster alone: give --remote-url"):
        run_benchmark(BenchmarkConfig(env="terminal_env", agent="HumanAgent"), Console())


def test_an_agent_says_where_its_environment_can_be_driven(hire: Hire) -> None:
    said = hire("http://lab:5800").located(EnvPlace(ENV, "http://lab:5800/gym/"))
    page = "http://lab:5800/gym/dashboard?view=environment&env=e1&drive=1"
    assert said == f"click_it waits for you at {page}"


@pytest.mark.parametrize(
    ("dashboard", "page"),
    [
        (
            "http://d:5801/dashboard?master=1&view=x",
            "http://d:5801/dashboard?view=environment&env=e1&drive=1&master=1",
        ),
        ("https://d", "https://d/dashboard?view=environment&env=e1&drive=1"),
    ],
)
def test_a_dashboard_elsewhere_is_named_with_its_master(dashboard: str, page: str) -> None:
    assert page_address(dashboard, ENV) == page


@pytest.mark.parametrize("url", ["lab", "ftp://lab/", "http://me:secret@lab/", "http://[::1"])
def test_an_address_that_is_none_is_refused_before_the_run(url: str) -> None:
    with pytest.raises(RequestInvalid, match="is not valid"):
        HumanAgent.check(HumanOptions(url=url))
