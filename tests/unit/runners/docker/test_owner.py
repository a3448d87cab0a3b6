from __future__ import annotations

import os

import pytest

from gym_queue.runners.owner import Place, is_orphan, labels_of, start_of

HERE = Place("host", "boot", "namespace")
MINE = labels_of("env", HERE, os.getpid())


def test_what_a_living_process_made_is_no_orphan():
    assert not is_orphan(MINE, HERE, start_of)


def test_what_a_dead_process_made_is_one():
    assert is_orphan(MINE, HERE, lambda _: None)


def test_a_pid_that_another_process_has_by_now_does_not_count():
    assert is_orphan(MINE, HERE, lambda _: "another start")


@pytest.mark.parametrize(
    "place", [Place("other", "boot", "namespace"), Place("host", "boot", "another container")]
)
def test_what_cannot_be_judged_from_here_is_left_alone(place: Place):
    assert not is_orphan(MINE, place, lambda _: None)


def test_nothing_outlives_a_restart_of_its_machine():
    assert is_orphan(MINE, Place("host", "next boot", "any"), start_of)


@pytest.mark.parametrize("labels", [{}, {"gym-queue.host": "host"}, {**MINE, "gym-queue.pid": "x"}])
def test_labels_that_say_too_little_are_nobodys_orphans(labels: dict[str, str]):
    assert not is_orphan(labels, HERE, lambda _: None)


def test_a_process_begins_once():
    assert start_of(os.getpid()) == start_of(os.getpid()) is not None
    assert start_of(2**22 + 1) is None
