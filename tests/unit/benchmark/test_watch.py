"""A master that is asked whether it is there, and interrupts that wait for a good moment."""

from __future__ import annotations

import os
import signal

import pytest

from gym_queue.benchmark.interrupts import held_interrupts
from gym_queue.benchmark.watch import MasterWatch
from gym_queue.errors import (
    ConnectionFailed,
    GatewayTimeout,
    GymQueueError,
    MasterRecovering,
    Unauthorized,
)

from .test_show import Hands


class Master:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.error: GymQueueError | None = None

    def __call__(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def master() -> Master:
    return Master()


@pytest.fixture
def clock() -> Hands:
    return Hands()


def test_silence_counts_from_the_first_question_without_an_answer(master, clock):
    watch = MasterWatch(master, clock)
    watch.look()
    assert watch.seen() == (1, 0.0)
    master.error = ConnectionFailed("refused")
    for _ in range(3):
        clock.now += 10
        watch.look()
    assert watch.seen() == (4, 20.0)
    master.error = None
    watch.look()
    assert watch.seen() == (5, 0.0)


@pytest.mark.parametrize(
    ("error", "is_there"),
    [
        (MasterRecovering("wait"), True),
        (Unauthorized("another token"), True),
        (GatewayTimeout("too late"), False),
        (ConnectionFailed("refused"), False),
    ],
)
def test_a_master_is_there_when_it_answers_anything_of_its_own(master, clock, error, is_there):
    watch = MasterWatch(master, clock)
    master.error = error
    watch.look()
    assert (watch.seen().silent_s == 0) is is_there


def test_what_is_asked_in_a_hurry_is_the_next_question(master, clock):
    watch = MasterWatch(master, clock)
    watch.look()
    assert watch.hurry() == 2
    watch.look()
    assert watch.seen().asked == 2


def test_an_interrupt_waits_for_a_good_moment_and_a_second_one_does_not():
    with held_interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_interrupts_before_a_good_moment_are_raised_at_once():
    with held_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
