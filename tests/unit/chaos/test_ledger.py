"""The books of chaos: which steps count as doubled or lost, and which losses are excused."""

from __future__ import annotations

import pytest

from gym_queue.chaos.ledger import Excuses, Kill, Ledger, Loss, StepCount, total


def counted(*answers: tuple[int, int]) -> list[tuple[int, int]]:
    count = StepCount()
    count.begin()
    return [count.take(step, acted) for step, acted in answers]


def loss(*, worker_id: str = "w1", since: float = 0.0, at: float = 10.0) -> Loss:
    return Loss("e1", worker_id, since, at, "it is gone")


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([(0, 1), (1, 2), (2, 3)], [(0, 0), (0, 0), (0, 0)]),
        (
            [(0, 1), (2, 3), (3, 4)],
            [(0, 0), (1, 0), (0, 0)],
        ),  # a retry was played again, as a step of its own
        ([(0, 1), (0, 2), (1, 3)], [(0, 0), (1, 1), (0, 0)]),  # the same step was played again
        ([(0, 1), (1, 3), (2, 4)], [(0, 0), (1, 0), (0, 0)]),  # its action came twice to the sandbox
        ([(0, 1), (1, 2), (0, 1)], [(0, 0), (0, 0), (0, 2)]),  # an answered step is forgotten, and its action
        ([(0, 1), (1, 1)], [(0, 0), (0, 1)]),  # answered, and never acted
    ],
)
def test_each_answer_must_be_of_the_step_after_the_last(answers, found):
    assert [(bool(twice), bool(lost)) for twice, lost in counted(*answers)] == [
        (bool(twice), bool(lost)) for twice, lost in found
    ]


def test_a_step_that_got_an_error_may_have_been_played_or_not():
    for answer in ((0, 1), (1, 2)):
        count = StepCount()
        count.begin()
        count.unanswered()
        assert count.take(*answer) == (0, 0)
        assert count.take(answer[0] + 1, answer[1] + 1) == (0, 0)


def test_an_episode_begins_at_step_0():
    count = StepCount()
    count.begin()
    assert count.take(0, 1) == (0, 0)
    count.begin()
    assert count.take(0, 1) == (0, 0)


def test_the_loss_of_a_worker_excuses_all_that_it_had_and_nothing_else():
    excuses = Excuses()
    excuses.worker_killed(Kill("w1", 5.0, 5.1))
    before, later, elsewhere = loss(at=4.0), loss(since=6.0), loss(worker_id="w2")
    assert excuses.unexcused([loss(), loss(since=5.05, at=5.07), before, later, elsewhere]) == [
        before,
        later,
        elsewhere,
    ]


def test_a_killed_process_excuses_one_environment():
    excuses = Excuses()
    excuses.process_killed(Kill("w1", 5.0, 5.1))
    assert len(excuses.unexcused([loss(at=6.0), loss(at=7.0)])) == 1


def test_ledgers_add_up_errors_by_code():
    one, two = Ledger(steps_sent=2, slots_leaked=1), Ledger(steps_sent=3)
    for ledger, code in ((one, "env_lost"), (two, "env_lost"), (two, "no_capacity")):
        ledger.count_error(code)
    summed = total([one, two])
    assert (summed.steps_sent, summed.slots_leaked, summed.failures) == (5, 1, 1)
    assert summed.errors == {"env_lost": 2, "no_capacity": 1}
