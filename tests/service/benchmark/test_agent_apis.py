"""Both agents where their APIs fail, and whole tasks that are solved through each."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from gym_queue.benchmark.agents.registry import find_agent
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.run import run_benchmark
from gym_queue.errors import AgentFailed, BadReply, ModelDenied, ModelUnreachable, RequestInvalid
from gym_queue.specs.loader import resolve_env_dir

from .modelapis import KEY, Played, completion, computer_call, member, message, response, said, text

BOTH = pytest.mark.parametrize("name", ["ClaudeAgent", "OpenAIAgent"])
AT_ONCE = {"retry-after-ms": "1"}
DONE = {"ClaudeAgent": message(text("Done.")), "OpenAIAgent": response(said("Done."))}


def failed(status: int, words: str, **headers: str) -> Played:
    error = {"type": "some_error", "message": words, "code": "some_code"}
    return Played({"type": "error", "error": error}, status, {**AT_ONCE, **headers})


@BOTH
def test_a_rate_limit_is_waited_for(server, stage, name):
    server.play(failed(429, "slow down"), failed(529, "Overloaded"), DONE[name])
    assert stage.agent(name).act(stage.look(), step=0).done
    assert len(server.received) == 3


@BOTH
@pytest.mark.parametrize(
    ("status", "words", "kind", "tries"),
    [
        (401, f"invalid key {KEY}", ModelDenied, 1),
        (402, "no money", ModelDenied, 1),
        (403, "not yours", ModelDenied, 1),
        (404, "no such model", ModelDenied, 1),
        (400, "Your credit balance is too low", ModelDenied, 1),
        (429, "You exceeded your current quota: insufficient_quota", ModelDenied, 3),
        (429, "slow down", ModelUnreachable, 3),
        (529, "Overloaded", ModelUnreachable, 3),
        (500, "oops", ModelUnreachable, 3),
        (400, "image too large", AgentFailed, 1),
        (413, "too much", AgentFailed, 1),
    ],
)
def test_a_failure_says_whether_a_later_try_may_help(server, stage, name, status, words, kind, tries):
    server.play(failed(status, words))
    with pytest.raises(AgentFailed if kind is not ModelUnreachable else kind) as raised:
        stage.agent(name).act(stage.look(), step=0)
    assert type(raised.value) is kind
    assert len(server.received) == tries
    assert KEY not in str(raised.value)
    assert str(status) in str(raised.value)


@BOTH
def test_nobody_there_and_nobody_answering_are_lost_tries(server, stage, name):
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelUnreachable, match="cannot be reached"):
            stage.agent(name, base_url=refusing, max_retries=0).act(stage.look(), step=0)
        taken.listen()
        with pytest.raises(ModelUnreachable, match=r"did not answer within 0\.2 s"):
            stage.agent(name, base_url=refusing, max_retries=0, timeout_s=0.2).act(stage.look(), step=0)


@BOTH
@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"words"'])
def test_what_is_not_of_the_api_is_a_bad_reply(server, stage, name, body):
    server.play(Played(body))
    with pytest.raises(BadReply):
        stage.agent(name).act(stage.look(), step=0)


@BOTH
def test_a_missing_key_or_model_is_said_before_a_run(monkeypatch, name):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RequestInvalid, match=r"set (ANTHROPIC|OPENAI)_API_KEY, or give the option api_key"):
        find_agent(name, {"model": "m"})
    with pytest.raises(RequestInvalid, match=f"the agent {name}: option model: Field required"):
        find_agent(name, {})
    factory = find_agent(name, {"model": "m", "api_key": KEY})
    assert KEY not in str(factory.options.model_dump(mode="json"))


@BOTH
def test_a_missing_package_is_said_before_a_run(monkeypatch, name):
    monkeypatch.setattr("gym_queue.benchmark.agents.modelapi.find_spec", lambda package: None)
    with pytest.raises(RequestInvalid, match=r"not installed: pip install 'gym-queue\[agents\]'"):
        find_agent(name, {"model": "m", "api_key": KEY})


def solution(task: str) -> list[str]:
    path = resolve_env_dir("terminal_env") / "tasks" / task / "solution.json"
    steps = json.loads(path.read_text())["steps"]
    return [action["keyboard"]["text"] for step in steps for action in step]


def played(kind: str, lines: list[str]) -> list[dict]:
    """Return an API's answers that type a task's solution, after a key that no terminal has."""
    if kind == "claude":
        wrong = message(member("t", "key", text="hyper+x"))
        return [wrong, *(message(member(f"t{n}", "type", text=line)) for n, line in enumerate(lines))]
    if kind == "responses":
        wrong = response(computer_call("c", {"type": "keypress", "keys": ["HYPER", "x"]}))
        calls = [computer_call(f"c{n}", {"type": "type", "text": line}) for n, line in enumerate(lines)]
        return [wrong, *map(response, calls)]
    wrong = completion(None, ("c", "keypress", {"keys": ["hyper", "x"]}))
    return [wrong, *(completion(None, (f"c{n}", "type", {"text": line})) for n, line in enumerate(lines))]


@pytest.mark.parametrize(
    ("kind", "name", "done"),
    [
        ("claude", "ClaudeAgent", DONE["ClaudeAgent"]),
        ("responses", "OpenAIAgent", DONE["OpenAIAgent"]),
        ("chat", "OpenAIAgent", completion("Done.")),
    ],
)
def test_a_whole_task_is_solved_through_the_api(server, stage, kind, name, done, tmp_path: Path):
    lines = solution("archive")
    server.play(*played(kind, lines), done)
    options = stage.options(name, api_key=KEY) | ({"mode": kind} if name == "OpenAIAgent" else {})
    config = BenchmarkConfig(
        env="terminal_env", task="archive", agent=name, agent_args=options, output=tmp_path / "out"
    )
    console = Console(file=io.StringIO())
    results = run_benchmark(config, console, progress_console=console)
    (attempt,) = results.attempts
    assert (attempt.outcome.value, attempt.error) == ("passed", None)
    assert attempt.steps == len(lines) + 2
    assert attempt.usage["requests"] == len(lines) + 2
    assert attempt.usage["output_tokens"] > 0
    assert "not a key of a terminal" in str(server.bodies[1])
    assert "photos" in str(server.bodies[-1]), "the terminal's text goes along with its picture"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_try_that_an_overloaded_model_lost_is_run_again(server, stage):
    lines = solution("archive")
    config = BenchmarkConfig(
        env="terminal_env",
        task="archive",
        agent="ClaudeAgent",
        agent_args=stage.options("ClaudeAgent", max_retries=0),
        lost_retries=1,
    )
    console = Console(file=io.StringIO())
    server.play(failed(529, "Overloaded"), *played("claude", lines), DONE["ClaudeAgent"])
    (attempt,) = run_benchmark(config, console, progress_console=console).attempts
    assert attempt.outcome.value == "passed"
    assert [error.code for error in attempt.lost] == ["model_unreachable"]


def test_a_run_that_a_denied_key_stopped_keeps_what_it_has_and_goes_on_when_resumed(
    server, stage, tmp_path: Path
):
    def config(**more: object) -> BenchmarkConfig:
        agent = {"agent": "ClaudeAgent", "agent_args": stage.options("ClaudeAgent", api_key=KEY)}
        return BenchmarkConfig(env="terminal_env", output=tmp_path / "out", max_tasks=3, **agent, **more)

    console = Console(file=io.StringIO())
    server.play(DONE["ClaudeAgent"], failed(401, "invalid x-api-key"))
    with pytest.raises(ModelDenied, match="ANTHROPIC_API_KEY"):
        run_benchmark(config(), console, progress_console=console)
    assert len(server.received) == 2
    server.play(DONE["ClaudeAgent"])
    results = run_benchmark(config(resume=True), console, progress_console=console)
    assert [attempt.outcome.value for attempt in results.attempts] == ["failed"] * 3
    assert len(server.received) == 4
