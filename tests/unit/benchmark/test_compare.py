"""Two runs, paired."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gym_queue.benchmark.compare import compare_runs
from gym_queue.benchmark.report.statistics import Pairs
from gym_queue.cli.main import app
from gym_queue.errors import PathNotFound, RequestInvalid

from .runs import LOST, attempt, info, write

TASKS = ("a", "b", "c", "d", "e")


def run(path, outcomes, **fields):
    """A run whose attempts come as a text for each task: p, f, or l for one that was lost."""
    words = {"p": ("passed", {}), "f": ("failed", {}), "l": ("error", {"error": LOST})}
    attempts = [
        attempt(task, words[letter][0], repeat, **words[letter][1])
        for task, letters in outcomes.items()
        for repeat, letter in enumerate(letters)
    ]
    return write(path, attempts, info(tasks=TASKS, repeats=2, **fields)).path


@pytest.fixture
def two(tmp_path):
    a = run(tmp_path / "a", {"a": "pp", "b": "ff", "c": "fp", "d": "fl"})
    b = run(tmp_path / "b", {"a": "pp", "b": "pp", "c": "ff", "d": "ff", "e": "p"}, config={"agent": "Other"})
    return a, b


def test_attempts_are_paired_by_task_and_repeat(two):
    found = compare_runs(*two)
    assert found.pairs == Pairs(both=2, only_a=1, only_b=2, neither=2)
    assert (found.wins, found.losses, found.ties) == (2, 1, 4)
    assert (found.not_scored, found.only_in_a, found.only_in_b) == (1, 0, 1)
    assert (found.rate_a, found.rate_b) == (3 / 7, 4 / 7)
    assert found.difference == pytest.approx(1 / 7)
    assert found.p_value == 1
    assert found.interval.low < 0 < found.interval.high


def test_the_tasks_that_changed_are_listed_gains_first(two):
    found = compare_runs(*two)
    assert [(each.task_id, each.passed_a, each.passed_b) for each in found.changed] == [
        ("b", 0, 2),
        ("c", 1, 0),
    ]
    assert found.differs == {"agent": ("Plain", "Other")}


def test_runs_that_do_not_fit_are_refused_in_one_sentence(two, tmp_path):
    a, _ = two
    other = run(tmp_path / "other", {"a": "p"}, env_id="big@1")
    with pytest.raises(
        RequestInvalid, match=r"is of small@1 and .* of big@1: compare runs of one environment"
    ):
        compare_runs(a, other)
    with pytest.raises(RequestInvalid, match="no scored attempt in common"):
        compare_runs(a, run(tmp_path / "none", {"e": "p"}))
    with pytest.raises(PathNotFound, match="holds no run"):
        compare_runs(a, tmp_path)


def test_the_command_says_the_difference_and_its_methods(two):
    said = CliRunner().invoke(app, ["compare", *map(str, two)]).output
    assert "B wins 2, loses 1, ties 4" in said
    assert "B - A: +14.3 points (95 %: " in said
    assert "McNemar" in said
    assert "Newcombe" in said
    assert "left out: 1 pairs not scored, 1 attempts in B alone" in said


def test_the_commands_give_json(two):
    for arguments, key in ((["compare", *map(str, two)], "p_value"), (["report", str(two[0])], "pass_at_k")):
        assert key in json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)


def test_the_report_command_makes_the_page_anew(two):
    said = CliRunner().invoke(app, ["report", str(two[0])]).output
    assert "3 of 7 passed: 42.9% (95 %: " in said
    assert "1 not scored; 2 attempts have not ended" in said
    assert (two[0] / "report.html").is_file()
