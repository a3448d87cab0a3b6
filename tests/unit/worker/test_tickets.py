from __future__ import annotations

import pytest

from gym_queue.worker.tickets import PER_ENV, TICKET_S, Tickets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tickets(clock: Clock) -> Tickets:
    return Tickets(clock)


def test_a_ticket_opens_its_environment_once(tickets: Tickets) -> None:
    ticket = tickets.issue("a")
    assert tickets.redeem("a", ticket)
    assert not tickets.redeem("a", ticket)


def test_a_ticket_that_was_tried_on_another_environment_is_spent(tickets: Tickets) -> None:
    ticket = tickets.issue("a")
    assert not tickets.redeem("b", ticket)
    assert not tickets.redeem("a", ticket)


@pytest.mark.parametrize("ticket", ["", "made-up", "\udcff"])
def test_what_was_never_given_opens_nothing(tickets: Tickets, ticket: str) -> None:
    tickets.issue("a")
    assert not tickets.redeem("a", ticket)


def test_a_ticket_grows_old(tickets: Tickets, clock: Clock) -> None:
    ticket = tickets.issue("a")
    clock.now = TICKET_S
    assert not tickets.redeem("a", ticket)


def test_unused_tickets_of_one_environment_push_out_its_own_alone(tickets: Tickets) -> None:
    other, first, *rest = tickets.issue("b"), *(tickets.issue("a") for _ in range(PER_ENV + 1))
    assert not tickets.redeem("a", first)
    assert all(tickets.redeem("a", ticket) for ticket in rest)
    assert tickets.redeem("b", other)
