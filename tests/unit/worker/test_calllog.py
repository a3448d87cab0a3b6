from __future__ import annotations

import time

from gym_queue.worker.calllog import KEPT_CALLS, CallLog


def test_calls_are_told_after_a_number_oldest_first() -> None:
    log = CallLog()
    assert (log.after(0), log.last) == ([], 0)
    began = time.perf_counter()
    log.add("reset", began, request_id="r")
    log.add("step", began, request_id=None, step=0)
    log.add("step", began, request_id="s", error_code="env_lost")
    assert [(each.n, each.call, each.step, each.error_code) for each in log.after(1)] == [
        (2, "step", 0, None),
        (3, "step", None, "env_lost"),
    ]
    assert log.after(3) == log.after(10**15) == []
    first = log.after(0)[0]
    assert first.duration_ms >= 0
    assert abs(time.time() - first.at) < 60


def test_only_the_latest_are_kept() -> None:
    log = CallLog()
    for _ in range(KEPT_CALLS + 7):
        log.add("step", 0.0, request_id="r")
    assert [each.n for each in log.after(0)] == list(range(8, KEPT_CALLS + 8))
    assert [each.n for each in log.after(KEPT_CALLS + 5)] == [KEPT_CALLS + 6, KEPT_CALLS + 7]
