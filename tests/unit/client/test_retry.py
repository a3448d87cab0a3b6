from __future__ import annotations

import pytest

from gym_queue.client.retry import KEYED, MAX_PAUSE_S, SAFE, Patience, Retries, failure_kind, jitter_s
from gym_queue.errors import (
    BadReply,
    ConnectionFailed,
    EnvTimeout,
    GatewayTimeout,
    NoCapacity,
    RunnerFailed,
    RunnerUnavailable,
    WorkerUnreachable,
)

UNSENT = ConnectionFailed("", {"sent": False})
DROPPED = ConnectionFailed("", {"sent": True})
FULL = NoCapacity("", {"http_status": 503})
UNREACHABLE = WorkerUnreachable("", {"http_status": 502})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UNSENT, "connect"),
        (DROPPED, "reply"),
        (UNREACHABLE, "reply"),
        (FULL, "capacity"),
        (NoCapacity("", {"http_status": 503, "hopeless": True}), None),
        (RunnerUnavailable("", {"http_status": 503}), None),
        (RunnerFailed("", {"http_status": 502}), "runner"),
        (WorkerUnreachable("", {"http_status": 502, "sent": False}), "connect"),
        (WorkerUnreachable("", {"http_status": 502, "replayed": True}), None),
        (GatewayTimeout(""), None),
        (EnvTimeout("", {"http_status": 504}), None),
        (BadReply("", {"http_status": 404}), None),
    ],
)
def test_failures_fall_under_the_right_limit(error, kind):
    assert failure_kind(error) == kind


def test_the_pauses_are_random_and_their_limit_doubles():
    assert all(0 <= jitter_s(1) <= 0.05 for _ in range(50))
    assert len({jitter_s(3) for _ in range(5)}) > 1
    assert all(jitter_s(1000) <= MAX_PAUSE_S for _ in range(50))


def test_patience_ends_so_long_after_the_first_failure():
    patience = Patience(Retries(reply_s=30.0), started=100.0, timeout_s=1000.0)
    assert patience.pause_s(DROPPED, 500.0) is not None
    assert patience.pause_s(DROPPED, 520.0) is not None
    assert patience.pause_s(DROPPED, 530.0) is None


def test_a_server_that_answers_again_is_asked_again_soon_however_long_it_was_out_of_reach():
    patience = Patience(KEYED, started=0.0, timeout_s=1000.0)
    unreachable = [patience.pause_s(UNSENT, float(second)) or 0 for second in range(100)]
    assert max(unreachable) <= 0.5
    assert (patience.pause_s(UNREACHABLE, 100.0) or 1) <= 0.05


def test_patience_never_outlasts_the_deadline():
    patience = Patience(SAFE, started=0.0, timeout_s=5.0)
    assert patience.pause_s(DROPPED, 5.0) is None


def test_waiting_for_a_slot_counts_from_the_start_of_the_call():
    patience = Patience(Retries(capacity_s=60.0), started=0.0, timeout_s=360.0)
    assert patience.pause_s(FULL, 10.0) is not None
    assert patience.pause_s(FULL, 60.0) is None


def test_a_server_that_restarts_after_a_drop_is_waited_for():
    patience = Patience(Retries(connect_s=2.0, reply_s=30.0), started=0.0, timeout_s=600.0)
    assert patience.pause_s(DROPPED, 300.0) is not None
    assert patience.pause_s(UNSENT, 320.0) is not None
    assert patience.pause_s(UNSENT, 330.0) is None
