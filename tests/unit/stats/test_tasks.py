from __future__ import annotations

from typing import Any

import pytest

from gym_queue.stats.tasks import KEPT_TASKS, KEPT_WORKERS, STATES, TaskStats


def event(kind: str, task_id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": task_id, "hostname": "w1", "timestamp": 1.0, **fields}


def stats_of(*events: dict[str, Any]) -> dict[str, Any]:
    stats = TaskStats()
    for each in events:
        stats.take(each)
    return stats.summary()


def test_a_task_is_followed_to_its_end() -> None:
    seen = stats_of(
        event("sent", hostname="master", name="create", queue="env.fake.w1", timestamp=1.0),
        event("received", name="create", timestamp=2.0),
        event("started", timestamp=3.0),
        event("succeeded", timestamp=5.0, runtime=1.5),
    )
    assert seen["latest"] == [
        {
            "task_id": "t1", "name": "create", "state": "SUCCESS", "worker": "w1", "queue": "env.fake.w1",
            "sent": 1.0, "received": 2.0, "started": 3.0, "finished": 5.0, "runtime_s": 1.5, "exception": "",
        }
    ]  # fmt: skip
    assert seen["workers"] == {"w1": {"processed": 1, "active": 0, "succeeded": 1, "failed": 0}}


def test_counts_name_every_state() -> None:
    counts = stats_of(event("sent"), event("failed"))["counts"]
    assert set(counts) == set(STATES.values())
    assert {state for state, count in counts.items() if count} == {"SENT", "FAILURE"}


def test_a_running_task_counts_as_active() -> None:
    assert stats_of(event("received"), event("started"))["workers"]["w1"]["active"] == 1


@pytest.mark.parametrize("late", ["sent", "received", "started", "retried"])
def test_a_late_event_does_not_undo_the_end(late: str) -> None:
    task = stats_of(event("succeeded"), event(late, timestamp=0.5))["latest"][0]
    assert task["state"] == "SUCCESS"


def test_a_late_send_does_not_rename_the_worker() -> None:
    assert stats_of(event("started"), event("sent", hostname="master"))["latest"][0]["worker"] == "w1"


def test_a_retried_task_can_still_succeed() -> None:
    assert stats_of(event("retried"), event("started"), event("succeeded"))["latest"][0]["state"] == "SUCCESS"


def test_active_is_never_negative() -> None:
    assert stats_of(event("succeeded"))["workers"]["w1"]["active"] == 0


@pytest.mark.parametrize(
    "other",
    [{}, {"type": "worker-heartbeat"}, {"type": "task-sent"}, {"type": None}, {"type": "task-x", "uuid": 1}],
)
def test_other_events_are_passed_over(other: dict[str, Any]) -> None:
    assert stats_of(other)["latest"] == []


def test_the_latest_come_first() -> None:
    seen = stats_of(event("sent", "a"), event("sent", "b"), event("started", "a"))
    assert [task["task_id"] for task in seen["latest"]] == ["a", "b"]


def test_memory_is_bounded() -> None:
    stats = TaskStats()
    for index in range(KEPT_TASKS + KEPT_WORKERS):
        stats.take(event("received", f"t{index}", hostname=f"w{index}", exception="x" * 10_000))
    seen = stats.summary()
    assert seen["counts"]["RECEIVED"] == KEPT_TASKS + KEPT_WORKERS
    assert len(seen["workers"]) == KEPT_WORKERS
    assert len(seen["latest"]) == 100
    assert len(seen["latest"][0]["exception"]) == 500
    assert len(stats._tasks) == KEPT_TASKS
