from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from gym_queue.stats.events import TASK_STATES, TEXT_CHARS
from gym_queue.stats.nodes import KEPT_NODES
from gym_queue.stats.tasks import KEPT_TASKS, RESTORED_CHARS, RESTORED_TASKS, TaskStats, shorten

LIFE = ("sent", "received", "started", "succeeded")


def event(kind: str, task_id: str = "t1", **fields: Any) -> dict[str, Any]:
    node = {} if kind == "sent" else {"hostname": "gym@w1"}
    at = float(LIFE.index(kind) + 1) if kind in LIFE else 4.0
    return {"type": f"task-{kind}", "uuid": task_id, "hostname": "gen@m", "timestamp": at, **node, **fields}


def beat(active: int = 0, processed: int = 0, at: float = 100.0, **fields: Any) -> dict[str, Any]:
    said = {"active": active, "processed": processed, "timestamp": at, "pid": 7, "freq": 2.0}
    return {"type": "worker-heartbeat", "hostname": "gym@w1", **said, **fields}


def stats_of(*events: dict[str, Any]) -> TaskStats:
    stats = TaskStats()
    for each in events:
        stats.take(each)
    return stats


def state_of(*events: dict[str, Any]) -> str:
    return str(stats_of(*events).all()[0].state)


def node_of(*events: dict[str, Any]) -> dict[str, Any]:
    return stats_of(*events).nodes.of("gym@w1")


def test_a_task_is_followed_to_its_end() -> None:
    stats = stats_of(
        event("sent", name="create", queue="env.fake.w1", kwargs="{'a': 1}", args="()"),
        event("received", name="create"),
        event("started"),
        event("succeeded", runtime=1.5, result="done"),
    )
    assert stats.all()[0].row() == {
        "task_id": "t1", "env_id": "t1", "name": "create", "state": "SUCCESS", "worker": "w1",
        "queue": "env.fake.w1", "runner": "fake", "sent": 1.0, "received": 2.0, "started": 3.0, "finished": 4.0,
        "runtime_s": 1.5, "retries": 0, "args": "{'a': 1}", "result": "done", "exception": "",
    }  # fmt: skip
    seen = stats.summary()
    assert seen["latest"][0]["worker"] == "gym@w1"
    assert {
        name: seen["workers"]["gym@w1"][name] for name in ("processed", "active", "succeeded", "failed")
    } == {
        "processed": 1,
        "active": 0,
        "succeeded": 1,
        "failed": 0,
    }


def test_counts_name_every_state() -> None:
    counts = stats_of(event("sent"), event("failed")).counts()
    assert set(counts) == set(TASK_STATES.values())
    assert {state for state, count in counts.items() if count} == {"SENT", "FAILURE"}


@pytest.mark.parametrize("order", list(itertools.permutations(LIFE)))
def test_events_in_any_order_and_twice_tell_the_same(order: tuple[str, ...]) -> None:
    stats = stats_of(*(event(kind) for kind in (*order, *order)))
    assert stats.all()[0].state == "SUCCESS"
    assert sum(stats.counts().values()) == 4
    assert (
        node_of(*(event(kind) for kind in order))["succeeded"],
        stats.nodes.of("gym@w1")["succeeded"],
    ) == (1, 1)
    assert stats.all()[0].node == "gym@w1"


def test_a_late_send_does_not_rename_the_worker() -> None:
    assert stats_of(event("started"), event("sent")).all()[0].worker == "w1"


def test_a_retried_task_can_start_again_and_succeed() -> None:
    retried = (event("started"), event("retried", timestamp=5.0))
    assert state_of(*retried) == "RETRY"
    assert state_of(*retried, event("started", timestamp=6.0)) == "STARTED"
    assert state_of(*retried, event("succeeded", timestamp=7.0)) == "SUCCESS"
    assert node_of(*retried)["retried"] == 1


def test_a_create_that_failed_on_one_worker_and_was_done_by_another_has_succeeded() -> None:
    other = {"hostname": "gym@w2"}
    events = (
        *(event(kind) for kind in ("sent", "received", "started", "failed")),
        event("sent", timestamp=5.0, queue="env.fake.w2"),
        *(event(kind, timestamp=2.5, **other) for kind in ("received", "started", "succeeded")),
    )
    task = stats_of(*events).all()[0]
    assert (task.state, task.worker, task.exception, task.received) == ("SUCCESS", "w2", "", 2.5)
    assert node_of(*events)["failed"] == 1


def test_the_late_word_of_an_earlier_attempt_changes_nothing_but_the_counts() -> None:
    other: dict[str, Any] = {"hostname": "gym@w2", "timestamp": 2.0}
    events = (event("started"), event("received", **other), event("failed", exception="x"), event("started"))
    task = stats_of(*events).all()[0]
    assert (task.state, task.worker, task.exception) == ("RECEIVED", "w2", "")
    assert node_of(*events)["failed"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"type": "worker-heartbeat"},
        {"type": "task-sent"},
        {"type": None},
        {"type": ["x"]},
        {"type": "task-x", "uuid": 1},
    ],
)
def test_other_events_are_passed_over(other: dict[str, Any]) -> None:
    stats = stats_of(other)
    assert (stats.all(), stats.version, stats.nodes.all()) == ([], 0, {})


@pytest.mark.parametrize("wrong", [None, "x", [], {}, float("nan"), float("inf"), -1, True, 10**400])
def test_events_of_any_types_are_taken(wrong: Any) -> None:
    numbers = dict.fromkeys(("timestamp", "runtime", "retries", "pid", "freq", "active", "processed"), wrong)
    texts = dict.fromkeys(("name", "queue", "args", "result", "hostname", "sw_ver", "loadavg"), wrong)
    stats = stats_of(
        *({"type": kind, "uuid": "t1", **numbers, **texts} for kind in (*TASK_STATES, "worker-heartbeat"))
    )
    json.dumps([stats.summary(), stats.all()[0].detail(), stats.facts()], allow_nan=False)
    assert sum(stats.counts().values()) == len(TASK_STATES)


def test_half_a_character_in_an_event_breaks_no_reply() -> None:
    named = ("name", "queue", "args", "exception", "traceback")
    halves = dict.fromkeys(named, "x\ud800")
    stats = stats_of(event("failed", "t\udc80", hostname="gym@\ud800", **halves), beat(sw_ident="\ud800"))
    summary, detail = stats.summary(), stats.all()[0].detail()
    assert "\\ud" not in json.dumps([summary, detail])
    assert detail["traceback"] == "x?"


def test_the_latest_are_those_last_heard_of() -> None:
    stats = stats_of(event("sent", "a"), event("sent", "b"), event("started", "a"))
    assert [task["task_id"] for task in stats.summary()["latest"]] == ["a", "b"]
    assert [task.task_id for task in stats.all()] == ["b", "a"]


def test_the_version_grows_when_something_has_changed() -> None:
    stats = stats_of(event("sent"))
    before = stats.version
    stats.take(event("sent"))
    stats.take(beat())
    assert stats.version == before
    stats.take(event("received"))
    assert stats.version > before


def test_the_number_of_tasks_and_nodes_is_bounded() -> None:
    stats = TaskStats()
    for index in range(KEPT_TASKS + 100):
        stats.take(event("received", f"t{index}", hostname=f"w{index}"))
    assert stats.counts()["RECEIVED"] == KEPT_TASKS + 100
    assert len(stats.all()) == KEPT_TASKS
    assert stats.all()[0].task_id == f"t{KEPT_TASKS + 99}"
    assert stats.find("t0") is None
    assert len(stats.nodes.all()) == KEPT_NODES
    assert len(stats.summary()["latest"]) == 100


def test_long_texts_are_cut_and_all_of_them_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    stats, most = TaskStats(), 20 * TEXT_CHARS
    monkeypatch.setattr("gym_queue.stats.tasks.KEPT_BYTES", most)
    for index in range(50):
        stats.take(event("failed", f"t{index}", exception="short", traceback="x " * TEXT_CHARS))
    newest = stats.all()[0].detail()
    assert (len(newest["traceback"]), newest["cut"], newest["exception"]) == (
        TEXT_CHARS,
        ["traceback"],
        "short",
    )
    assert sum(task.size_bytes for task in stats.all()) <= most
    assert len(stats.all()) == 19
    assert len(stats.all()[0].row()["exception"]) <= 200


def test_no_secret_of_an_event_is_kept() -> None:
    told = "{'env_id': 'e', 'env_token': 'tok-123'}"
    stats = stats_of(event("sent", kwargs="{'api_key': 'tok-123'}"), event("succeeded", result=told))
    assert "tok-123" not in json.dumps([stats.facts(), stats.summary(), stats.all()[0].detail()])


def told_again(stats: TaskStats) -> TaskStats:
    """Return statistics that go on from what others wrote down."""
    restored = TaskStats()
    restored.restore(json.loads(json.dumps(shorten(stats.facts()))))
    return restored


def test_counts_nodes_and_tasks_outlive_the_process() -> None:
    stats = stats_of(
        *(event(kind) for kind in LIFE), event("failed", "t2", exception="x", traceback="y" * 10_000)
    )
    restored = told_again(stats)
    assert restored.counts() == stats.counts()
    assert [task.task_id for task in restored.all()] == ["t2", "t1"]
    assert restored.all()[1].row() == stats.all()[1].row()
    assert (len(restored.all()[0].traceback), restored.all()[0].cut) == (RESTORED_CHARS, ("traceback",))
    node = restored.nodes.of("gym@w1")
    assert (node["succeeded"], node["failed"], node["online"]) == (1, 1, False)
    assert restored.version > 0


def test_what_is_written_down_is_bounded() -> None:
    stats = TaskStats()
    for index in range(RESTORED_TASKS + 10):
        stats.take(event("sent", f"t{index}"))
    restored = told_again(stats)
    assert len(restored.all()) == RESTORED_TASKS
    assert restored.all()[0].task_id == stats.all()[0].task_id


def test_a_task_that_ended_while_nobody_listened_is_lost_once_its_node_denies_it() -> None:
    restored = told_again(stats_of(event("started"), event("started", "t2")))
    restored.take(beat(active=1))
    restored.take(beat(active=1, at=102.0))
    assert sorted(task.state for task in restored.all()) == ["LOST", "STARTED"]
    restored.take(event("succeeded", "t1", timestamp=103.0))
    assert restored.find("t1") is not None
    assert restored.find("t1").state == "SUCCESS"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"counts": None},
        {"counts": {"SENT": "many"}},
        {"nodes": {"n": 1}},
        {"fields": ["task_id"]},
        {"fields": ["x"] * 30},
        {"tasks": [[]]},
        {"tasks": [1]},
        {"nodes": {"n": ["a", {}, None, ""]}},
    ],
)
def test_facts_of_another_version_are_refused_whole(change: dict[str, Any]) -> None:
    facts = json.loads(json.dumps({**shorten(stats_of(event("received")).facts()), **change}))
    stats = TaskStats()
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        stats.restore(facts)
    assert (stats.all(), stats.nodes.all(), sum(stats.counts().values())) == ([], {}, 0)


@pytest.mark.parametrize("name", ["state", "worker", "sent", "cut", "retries", "first_seen", "task_id"])
def test_a_task_of_wrong_types_is_refused(name: str) -> None:
    facts = json.loads(json.dumps(shorten(stats_of(event("received")).facts())))
    facts["tasks"][0][facts["fields"].index(name)] = {"a": 1} if name != "cut" else 5
    with pytest.raises((ValueError, TypeError)):
        TaskStats().restore(facts)
