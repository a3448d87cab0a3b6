"""Both agents where their APIs fail, and whole tasks that are solved through each."""

from __future__ import annotations

import io
import json
import logging
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
    error = {"type": "some_error", "message": words, "code": None}
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
    assert f"({status}: some_error: {words.replace(KEY, '***')})" in str(raised.value)


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
    with pytest.raises(
        RequestInvalid, match=rf"the agent {name}: option model \(text, required\): Field required"
    ):
        find_agent(name, {})
    factory = find_agent(name, {"model": "m", "api_key": KEY})
    assert KEY not in str(factory.options.model_dump(mode="json"))


@BOTH
def test_a_missing_package_is_said_before_a_run(monkeypatch, name):
    monkeypatch.setattr("gym_queue.benchmark.agents.vendor.find_spec", lambda package: None)
    with pytest.raises(RequestInvalid, match=r"not installed: pip install 'gym-queue\[agents\]'"):
        find_agent(name, {"model": "m", "api_key": KEY})


@BOTH
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model": ""}, r"option model \(text, required\): .*at least 1 character"),
        ({"base_url": "nonsense"}, "option base_url .*it must be a URL such as"),
        ({"base_url": "ftp://here/v1"}, "it must be a URL such as"),
        ({"base_url": "http://[::1"}, "option base_url .*Invalid IPv6 URL"),
        ({"base_url": f"http://me:{KEY}@here"}, "it must hold no user or password: give api_key"),
        ({"api_key": " "}, "there is no key for the model's API"),
        ({"api_key": f"{KEY}\nX-Evil: 1"}, "has characters that no key has"),
        ({"api_key": f"{KEY}ü"}, "has characters that no key has"),
        ({"max_tokens": "0"}, r"option max_tokens \(number, default 8192\): .*greater than or equal to 1"),
        ({"temperature": "hot"}, "option temperature .*valid number"),
        ({"timeout_s": "inf"}, "option timeout_s .*finite"),
        ({"stream": "perhaps"}, r"option stream \(yes/no, default none\)"),
        ({"input_price": "-1", "output_price": "1"}, "option input_price .*greater than or equal to 0"),
        ({"input_price": "1"}, "do not go together: input_price and output_price go together"),
        ({"cache_read_price": "1"}, "cache prices go with input_price and output_price"),
        ({"modle": "m"}, "has no option 'modle'; its options are model, base_url"),
    ],
)
def test_a_wrong_option_is_one_sentence_before_a_run_and_shows_no_key(name, options, why):
    with pytest.raises(RequestInvalid, match=why) as raised:
        find_agent(name, {"model": "m", "api_key": KEY, **options})
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "mode", "answers"),
    [
        ("ClaudeAgent", {}, [message(member("t", "fly")), message(text("Hm"), reason="max_tokens")]),
        ("OpenAIAgent", {}, [response(computer_call("c", {"type": "fly"})), response(status="incomplete")]),
        (
            "OpenAIAgent",
            {"mode": "chat"},
            [completion('{"fly": 1}'), completion(""), completion(None, ("a", "fly", {}))],
        ),
    ],
)
def test_nonsense_is_corrected_so_often_and_then_the_agent_has_failed(server, stage, name, mode, answers):
    server.play(*answers, *answers)
    agent = stage.agent(name, max_corrections=3, **mode)
    for step in range(4):
        assert not agent.act(stage.look(), step=step).done
    with pytest.raises(
        AgentFailed, match=r"gave 4 answers in a row .*\(the last: .*max_corrections allows for 3"
    ):
        agent.act(stage.look(), step=4)
    assert len(server.received) == 4


def test_answers_between_which_something_is_done_are_not_in_a_row(server, stage):
    good, bad = message(member("t", "wait", duration=0)), message(member("t", "fly"))
    server.play(bad, good, bad, good, bad, good, DONE["ClaudeAgent"])
    agent = stage.agent(max_corrections=1)
    assert [agent.act(stage.look(), step=step).done for step in range(7)] == [False] * 6 + [True]


@BOTH
def test_the_key_goes_to_the_api_and_into_no_log(server, stage, caplog, name):
    server.play(failed(429, f"slow down, {KEY}"), failed(401, f"Incorrect API key provided: {KEY}"))
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelDenied):
        stage.agent(name).act(stage.look(), step=0)
    assert all(any(KEY in value for value in received.headers.values()) for received in server.received)
    assert KEY not in caplog.text


def holding(word: str, folder: Path) -> list[Path]:
    """Return the files that hold a word."""
    return [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


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
def test_a_whole_task_is_solved_through_the_api(server, stage, nursery, kind, name, done, tmp_path: Path):
    lines = solution("archive")
    server.play(*played(kind, lines), done)
    prices = {"input_price": 3, "output_price": 15}
    options = stage.options(name, **prices) | ({"mode": kind} if name == "OpenAIAgent" else {})
    config = BenchmarkConfig(
        env="terminal_env", task="archive", agent=name, agent_args=options, output=tmp_path / "out"
    )
    console = Console(file=io.StringIO())
    results = run_benchmark(config, console, progress_console=console, nursery=nursery)
    (attempt,) = results.attempts
    assert (attempt.outcome.value, attempt.error) == ("passed", None)
    assert attempt.steps == len(lines) + 2
    assert attempt.usage["requests"] == len(lines) + 2
    assert attempt.usage["output_tokens"] > 0
    assert "not a key of a terminal" in str(server.bodies[1])
    assert "photos" in str(server.bodies[-1]), "the terminal's text goes along with its picture"
    assert attempt.usage["cost_usd"] > 0
    assert holding(KEY, tmp_path) == []


def test_a_try_that_an_overloaded_model_lost_is_run_again(server, stage, nursery):
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
    (attempt,) = run_benchmark(config, console, progress_console=console, nursery=nursery).attempts
    assert attempt.outcome.value == "passed"
    assert [error.code for error in attempt.lost] == ["model_unreachable"]


def test_a_run_that_a_denied_key_stopped_keeps_what_it_has_and_goes_on_when_resumed(
    server, stage, nursery, tmp_path: Path
):
    def config(**more: object) -> BenchmarkConfig:
        agent = {"agent": "ClaudeAgent", "agent_args": stage.options("ClaudeAgent")}
        return BenchmarkConfig(env="terminal_env", output=tmp_path / "out", max_tasks=3, **agent, **more)

    console = Console(file=io.StringIO())
    spent = failed(429, f"insufficient_quota of {KEY}")
    server.play(DONE["ClaudeAgent"], message(member("t", "wait", duration=0)), spent)
    with pytest.raises(ModelDenied, match="ANTHROPIC_API_KEY"):
        run_benchmark(config(), console, progress_console=console, nursery=nursery)
    assert len(server.received) == 2 + 3, "a limit is asked again, twice here, before it is taken for good"
    server.play(DONE["ClaudeAgent"])
    results = run_benchmark(config(resume=True), console, progress_console=console, nursery=nursery)
    assert [attempt.outcome.value for attempt in results.attempts] == ["failed"] * 3
    assert len(server.received) == 5 + 2
    assert holding(KEY, tmp_path) == []
