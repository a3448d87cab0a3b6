"""report.json and report.html."""

from __future__ import annotations

import json
import re

import pytest

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.benchmark.recorder import Frames
from gym_queue.benchmark.report.build import build_report
from gym_queue.benchmark.report.page import SCRIPTS, STATIC
from gym_queue.benchmark.report.statistics import wilson
from gym_queue.benchmark.report.write import write_report
from gym_queue.errors import PathNotFound

from .runs import CLICK, CRASH, HOSTILE, LOST, attempt, info, play, write


@pytest.fixture
def four(tmp_path):
    """A run of two tasks, three times each, of which one attempt is missing."""
    attempts = [
        attempt("a", usage={"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25}),
        attempt("a", "failed", 1, feedback="found 3 lines in /tmp/x1", reason="done"),
        attempt("a", "failed", 2, feedback="found 14 lines in /tmp/y2", reason="done"),
        attempt("b", "error", 0, error=CRASH),
        attempt("b", "error", 1, error=LOST, lost=(LOST, LOST)),
    ]
    return write(tmp_path / "r", attempts, info(repeats=3)).path


def test_rates_leave_out_what_the_infrastructure_broke(four):
    report = build_report(four)
    total = report.total
    assert (total.passed, total.scored, total.not_scored, report.missing) == (1, 4, 1, 1)
    assert (total.rate, total.interval) == (0.25, wilson(1, 4))
    assert {rate.name: (rate.passed, rate.scored) for rate in report.by_tag} == {"x": (1, 3), "y": (1, 4)}
    assert [rate.name for rate in report.by_difficulty] == ["easy", "hard"]
    assert report.by_env[0].name == "small"
    hard = report.by_difficulty[1]
    assert (hard.passed, hard.scored, hard.not_scored) == (0, 1, 1)


def test_pass_at_k_is_over_the_tasks_that_have_k_scored_attempts(four):
    found = [(each.k, each.tasks, round(each.estimate, 4)) for each in build_report(four).pass_at_k]
    assert found == [(1, 2, 0.1667), (2, 1, 0.6667), (3, 1, 1.0)]


def test_means_and_sums_are_given_where_they_are_known(four):
    report = build_report(four)
    assert (report.sums.tokens, report.sums.cost_usd, report.sums.lost_tries) == (15, 0.25, 2)
    assert (report.means.tokens, report.means.steps, report.means.score) == (None, 2, 50)


def test_failures_of_one_reason_are_one_group_and_the_infrastructure_stands_last(four):
    groups = [(each.kind, len(each.keys)) for each in build_report(four).failures]
    assert groups == [("task", 2), ("agent", 1), ("infrastructure", 1)]
    assert build_report(four).failures[0].reason == "done: found # lines in #"


def test_a_report_of_a_run_without_any_attempt_is_made(tmp_path):
    report = write_report(write(tmp_path / "r", []).path)
    assert (report.total.rate, report.missing, report.pass_at_k) == (None, 2, ())


def test_report_json_is_read_back_as_the_report(four):
    report = write_report(four)
    assert type(report).model_validate_json((four / "report.json").read_text()) == report


def test_the_page_holds_no_markup_of_the_data_and_no_foreign_address(tmp_path):
    folder = write(tmp_path / "r", [attempt("a", "failed", feedback=HOSTILE)], info(tasks=("a", HOSTILE)))
    play(folder, "a", [AgentTurn([CLICK, {"keyboard": {"text": HOSTILE}}], note=HOSTILE)])
    write_report(folder.path)
    page = (folder.path / "report.html").read_text()
    assert "<img" not in page
    assert page.count("</script>") == 3  # report, steps, code
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}
    (data,) = re.findall(r'id="report">(.*)</script>', page)
    assert json.loads(data)["attempts"][0]["feedback"] == HOSTILE


def test_no_script_makes_markup_of_text():
    code = "".join((STATIC / name).read_text() for name in SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|</script", code)


def test_the_page_has_the_steps_with_the_frame_seen_before_each(tmp_path):
    folder = write(tmp_path / "r", [attempt("a")])
    own = play(folder, "a", [AgentTurn([CLICK]), AgentTurn([{"keyboard": {"text": "x" * 5000}}])])
    with (own / "trajectory.jsonl").open("a") as file:
        file.write('{"event": "st')  # killed while it wrote
    write_report(folder.path)
    page = (folder.path / "report.html").read_text()
    (text,) = re.findall(r'id="steps-0">(.*)</script>', page)
    first, second, end = json.loads(text)
    assert first == {"frame": "frames/frame_00000.png", "actions": [CLICK], "note": ""}
    assert second["actions"][0]["keyboard"]["text"].endswith("(5000 characters)")
    assert (end["frame"], end["actions"]) == ("frames/frame_00002.png", [])
    assert "base64," not in page


def test_a_long_run_stays_under_20_mb(tmp_path, monkeypatch):
    monkeypatch.setattr("gym_queue.benchmark.report.page.STEPS_BYTES", 20_000)
    tasks = tuple(f"t{index}" for index in range(20))
    folder = write(tmp_path / "r", [attempt(task) for task in tasks], info(tasks=tasks))
    for task in tasks:
        play(folder, task, [AgentTurn([CLICK], note="n" * 300)] * 30, frames=Frames.NONE)
    write_report(folder.path)
    assert (
        sum(len(each) for each in re.findall(r'id="steps-.*', (folder.path / "report.html").read_text()))
        < 25_000
    )


def test_a_folder_that_holds_no_run_has_no_report(tmp_path):
    with pytest.raises(PathNotFound, match="holds no run"):
        write_report(tmp_path)
