"""Whatever goes wrong in a benchmark: one sentence, the right exit status, and no result lost."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gym_queue.testing import Fleet
from tests.acceptance import brokenagents
from tests.acceptance.conftest import Place, fleet_at
from tests.nullenv import make_null_env
from tests.service.benchmark.modelapis import KEY, ModelServer, Played, message, response, said, text
from tests.waiting import wait_until

ALL_PASSED, NOT_ALL_PASSED, REFUSED, NOT_JUDGED = 0, 1, 2, 3
ROOT = Path(__file__).parents[2]
OUTAGE_S = 1.0
DENIED = Played(
    {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}, 401
)
SPENT = Played(
    {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "no quota left"}}, 429
)


class Bench:
    """Benchmarks of one small environment, by the real program."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.env = place.folder / "null_env"
        self.output = place.folder / "run"

    def make(self, *tasks: str, typed: int = 0, step_delay_s: float = 0.0) -> None:
        texts = [str(number) for number in range(typed)]
        make_null_env(self.env, dict.fromkeys(tasks, texts), step_delay_s=step_delay_s)

    def flags(self, *flags: str) -> tuple[str, ...]:
        return ("gym-anything", "benchmark", str(self.env), "--output", str(self.output), *flags)

    def run(self, *flags: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        ran = self.place.run(*self.flags(*flags), **variables)
        assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
        return ran

    def lines(self) -> list[dict[str, Any]]:
        path = self.output / "attempts.jsonl"
        whole = path.read_text().split("\n")[:-1] if path.exists() else []  # a torn last line is none
        return [json.loads(line) for line in whole]

    def codes(self) -> dict[str, str | None]:
        """Return each attempt's error by its task; None of one that was judged."""
        return {line["task_id"]: line["error"] and line["error"]["code"] for line in self.lines()}

    def check_judged_once(self, *tasks: str) -> None:
        judged = [line["task_id"] for line in self.lines() if line["outcome"] == "passed"]
        assert Counter(judged) == Counter(tasks)
        report = json.loads((self.output / "report.json").read_text())
        assert (report["total"]["passed"], report["missing"]) == (len(tasks), 0)


@pytest.fixture
def bench(place: Place) -> Bench:
    return Bench(place)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()


def check_sentence(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    """Fail unless the program said one error that holds all the words."""
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ran.stdout + ran.stderr
    assert all(word in errors[0] for word in words), errors


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        ("--task a --split all", REFUSED, ("task a", "split all")),
        ("--model m", REFUSED, ("ScriptedAgent", "model")),
        ("--temperature 0.5", REFUSED, ("ScriptedAgent", "temperature")),
        ("--agent RandomAgent --agent-arg steps=many", REFUSED, ("steps",)),
        ("--agent ClaudeAgent --model m", REFUSED, ("ANTHROPIC_API_KEY",)),
        ("--agent OpenAIAgent --model m", REFUSED, ("OPENAI_API_KEY",)),
        ("--corpus no_such_folder", REFUSED, ("no_such_folder",)),
        ("--agent-timeout -1", REFUSED, ("agent-timeout",)),
        ("--remote-gone-timeout 0", REFUSED, ("remote-gone-timeout",)),
        ("--cache-level nonsense", REFUSED, ("cache-level", "pre_start")),
        ("--verifier-mode nonsense", REFUSED, ("verifier-mode", "program")),
        ("--vlm-checklist-backend nonsense", REFUSED, ("backend", "anthropic")),
        ("--exp-name ../else", REFUSED, ("exp-name",)),
        ("--remote-url http://127.0.0.1:9", NOT_JUDGED, ("http://127.0.0.1:9",)),
    ],
)
def test_a_flag_that_cannot_be_followed_is_refused_before_anything_is_made(bench, flags, status, words):
    bench.make("a")
    keys = {"ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": ""}
    ran = bench.place.run("gym-anything", "benchmark", str(bench.env), *flags.split(), **keys)
    plain = " ".join((ran.stdout + ran.stderr).replace("│", " ").split())
    assert (ran.returncode, "Traceback" in plain) == (status, False), plain
    assert all(word in plain.replace("_", "-") or word in plain for word in words), plain
    bench.place.wait_empty()


@pytest.mark.parametrize(
    ("agent", "code"),
    [
        ("Raising", "agent_failed"),
        ("Hanging", "agent_timeout"),
        ("Exiting", "agent_failed"),
        ("Crashing", "agent_failed"),
        ("Misspelling", "action_invalid"),
        ("Blank", "agent_failed"),
    ],
)
def test_an_agent_that_breaks_loses_its_attempt_and_no_other(bench, agent, code):
    brokenagents.install(bench.place.folder / "site")
    bench.make("a", "b", "c")
    found = {"PYTHONPATH": f"{bench.place.folder / 'site'}:{ROOT}"}
    ran = bench.run("--agent", agent, "--parallel", "2", "--agent-timeout", "1", **found)
    assert ran.returncode == NOT_ALL_PASSED, ran.stdout + ran.stderr
    assert bench.codes() == {"a": code, "b": None, "c": None}
    bench.place.wait_empty()


@pytest.mark.parametrize(
    ("agent", "good", "bad"),
    [
        ("ClaudeAgent", message(text("Done.")), DENIED),
        ("OpenAIAgent", response(said("Done.")), DENIED),
        ("OpenAIAgent", response(said("Done.")), SPENT),
    ],
    ids=["claude-key", "openai-key", "openai-quota"],
)
def test_a_key_that_is_refused_in_the_middle_ends_the_run_which_resumes(bench, server, agent, good, bad):
    bench.make("a", "b", "c")
    keys = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    flags = ("--agent", agent, "--model", "m", "--agent-arg", f"base_url={server.url}")
    server.play(good, bad)
    ran = bench.run(*flags, **keys)
    assert ran.returncode == NOT_JUDGED, ran.stdout + ran.stderr
    check_sentence(ran)
    assert KEY not in ran.stdout + ran.stderr
    assert bench.codes() == {"a": None}
    server.play(good)
    assert bench.run(*flags, "--resume", **keys).returncode == ALL_PASSED
    bench.check_judged_once("a", "b", "c")


def test_a_disk_that_fills_up_ends_the_run_which_resumes(bench):
    tasks = [f"task_{number:02d}" for number in range(16)]
    bench.make(*tasks)
    program = bench.place.command(*bench.flags("--resume"))
    ran = subprocess.run(
        ["bash", "-c", 'ulimit -f 6; exec "$@"', "bash", *program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **bench.place.variables},
        check=False,
    )
    assert ran.returncode == NOT_JUDGED, ran.stdout + ran.stderr
    check_sentence(ran, str(bench.output), "--resume")
    kept = len(bench.lines())
    assert 0 < kept < len(tasks)
    assert bench.run("--resume").returncode == ALL_PASSED
    bench.check_judged_once(*tasks)


def test_the_folder_of_another_run_is_left_as_it_is(bench):
    bench.make("a", "b")
    assert bench.run("--max-tasks", "1").returncode == ALL_PASSED
    before = {path: path.read_bytes() for path in bench.output.rglob("*") if path.is_file()}
    again = bench.run("--max-tasks", "1")
    check_sentence(again, "--resume", "--output")
    other = bench.run("--seed", "3", "--resume")
    check_sentence(other, "seed", "another run")
    assert (again.returncode, other.returncode) == (REFUSED, REFUSED)
    assert {path: path.read_bytes() for path in bench.output.rglob("*") if path.is_file()} == before


@pytest.mark.needs("redis-server")
def test_a_master_that_vanishes_is_waited_for_and_one_that_is_gone_stops_a_run_which_resumes(bench):
    tasks = [f"task_{number}" for number in range(8)]
    bench.make(*tasks, typed=3, step_delay_s=0.1)
    arguments = ("--runners", "fake", "--env-root", str(bench.place.folder))
    with fleet_at(bench.place, workers=1, max_envs=6, worker_arguments=arguments) as fleet:
        with started(bench, fleet, "--remote-gone-timeout", "1") as process:
            fleet.kill_master()
            output = process.communicate(timeout=60)[0]
        assert process.returncode == NOT_JUDGED, output
        assert "--resume" in output
        assert "Traceback" not in output
        fleet.restart_master()
        with started(bench, fleet, "--remote-gone-timeout", "60") as process:
            fleet.kill_master()
            time.sleep(OUTAGE_S)  # it is away for so long; nothing waits for that
            fleet.restart_master()
            output = process.communicate(timeout=60)[0]
        assert process.returncode == ALL_PASSED, output
    bench.check_judged_once(*tasks)


@contextmanager
def started(bench: Bench, fleet: Fleet, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run, or go on with it; the block begins when two more attempts are written."""
    before = len(bench.lines())
    command = bench.flags("--remote-url", fleet.url, "--parallel", "2", "--resume", *flags)
    with bench.place.started(*command) as process:
        wait_until(lambda: len(bench.lines()) >= before + 2, 30)
        yield process
