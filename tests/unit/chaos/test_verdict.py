"""Targets, met or missed, and how they are shown."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from gym_queue.chaos.ledger import Ledger
from gym_queue.chaos.queueing import most_overtaken
from gym_queue.chaos.report import save, show
from gym_queue.chaos.verdict import Check, Findings, Outcome, at_least, at_most, equal


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (at_most("", 1.0, 1.0), True),
        (at_most("", 1.1, 1.0), False),
        (at_most("", None, 1.0), False),
        (at_least("", 1.0, 1.0), True),
        (at_least("", 0.9, 1.0), False),
        (at_least("", None, 1.0), False),
        (equal("", 0, 0), True),
        (equal("", 1, 0), False),
    ],
)
def test_a_target_is_met_or_missed(check, ok):
    assert check.ok is ok


def outcome(*checks: Check) -> Outcome:
    return Outcome(scenario="restarts", seconds=1.0, checks=list(checks), ledger=Ledger(), notes=["[a] note"])


def test_what_checked_nothing_has_met_nothing():
    assert not outcome().ok
    assert not Findings(seed=1, outcomes=[]).ok


def test_one_missed_target_fails_the_run():
    met, missed = outcome(equal("a", 0, 0)), outcome(equal("a", 0, 0), equal("b", 1, 0))
    assert Findings(seed=1, outcomes=[met]).ok
    assert not Findings(seed=1, outcomes=[met, missed]).ok


def test_findings_are_shown_with_their_targets_books_and_notes(tmp_path):
    findings = Findings(seed=7, outcomes=[outcome(at_most("resumes", None, 1.0, "s"), equal("lost", 0, 0))])
    text = io.StringIO()
    show(findings, Console(file=text, width=120))
    for said in ("seed 7", "resumes", "never", "<= 1 s", "MISSED", "met", "steps doubled", "[a] note"):
        assert said in text.getvalue()
    save(findings, tmp_path / "new" / "found.json")
    assert (
        json.loads((tmp_path / "new" / "found.json").read_text())["outcomes"][0]["checks"][0]["ok"] is False
    )


@pytest.mark.parametrize(
    ("queued", "served", "overtaken"),
    [("abc", "abc", 0), ("abc", "bac", 1), ("abcd", "dcba", 3), ("abc", "xaybzc", 0), ("", "ab", 0)],
)
def test_overtaking_is_counted_among_those_that_waited(queued, served, overtaken):
    assert most_overtaken(queued, served) == overtaken
