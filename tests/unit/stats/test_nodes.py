from __future__ import annotations

from typing import Any

from gym_queue.stats.nodes import FORGET_AFTER_S, SILENT_S
from gym_queue.stats.tasks import TaskStats
from tests.unit.stats.test_tasks import beat, event, node_of, stats_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def timed() -> tuple[TaskStats, Clock]:
    clock = Clock()
    return TaskStats(clock=clock, wall=clock), clock


def shown(node: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(node[name] for name in names)


def test_a_heartbeat_tells_what_a_node_is_and_does() -> None:
    software: dict[str, Any] = {"sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux"}
    stats, _ = timed()
    stats.take(beat(active=2, processed=9, loadavg=[1, 0.5, 0.25], **software))
    assert stats.nodes.of("gym@w1") == {
        "online": True, "active": 2, "processed": 9, "succeeded": 0, "failed": 0, "retried": 0, "revoked": 0,
        "rejected": 0, "load": [1.0, 0.5, 0.25], "last_event_at": 1000.0, "pid": 7,
        "software": "py-celery 5.7.0 Linux",
    }  # fmt: skip


def test_an_unknown_node_is_offline_and_has_done_nothing() -> None:
    node = TaskStats().nodes.of("gym@nobody")
    assert shown(node, "online", "active", "processed", "load", "last_event_at", "pid") == (
        *(False, 0, 0),
        *(None, None, None),
    )


def test_what_is_started_after_a_heartbeat_counts_at_once() -> None:
    said = beat(active=1, processed=5, at=2.0)
    assert shown(node_of(event("started", "a", timestamp=1.0), said), "active", "processed") == (1, 5)
    both = (event("started", "a", timestamp=1.0), said, event("started", "b", timestamp=3.0))
    assert shown(node_of(*both), "active", "processed") == (2, 6)
    assert shown(node_of(*both, event("succeeded", "a")), "active", "processed") == (1, 6)


def test_tasks_whose_start_was_not_heard_of_are_counted_by_the_nodes_word() -> None:
    assert node_of(beat(active=3))["active"] == 3
    assert node_of(beat(active=3), event("succeeded", "x"))["active"] == 2
    assert node_of(event("succeeded"))["active"] == 0


def test_one_heartbeat_that_overtakes_the_end_of_a_task_does_not_lose_it() -> None:
    stats = stats_of(event("started"), beat(active=0))
    assert stats.all()[0].state == "STARTED"
    stats.take(beat(active=0, at=102.0))
    assert stats.all()[0].state == "LOST"
    assert stats.nodes.of("gym@w1")["active"] == 0


def test_a_node_that_says_goodbye_is_offline_and_its_tasks_lost() -> None:
    stats = stats_of(event("received"), {"type": "worker-offline", "hostname": "gym@w1"})
    assert stats.nodes.of("gym@w1")["online"] is False
    assert stats.all()[0].state == "LOST"
    stats.take({"type": "worker-online", "hostname": "gym@w1"})
    assert stats.nodes.of("gym@w1")["online"] is True


def test_another_process_under_the_same_name_begins_anew() -> None:
    stats = stats_of(beat(active=1, processed=5), event("started", timestamp=101.0), event("failed", "b"))
    stats.take(beat(active=0, processed=0, at=103.0, pid=8))
    assert shown(stats.nodes.of("gym@w1"), "active", "processed", "failed", "pid") == (0, 0, 1, 8)
    assert stats.find("t1").state == "LOST"  # type: ignore[union-attr]


def test_a_silent_node_is_offline_then_forgotten() -> None:
    stats, clock = timed()
    stats.take(beat(active=1))
    stats.take(event("started"))
    clock.now += SILENT_S
    stats.tick()
    assert stats.nodes.of("gym@w1")["online"] is True
    clock.now += 1
    stats.tick()
    assert shown(stats.nodes.of("gym@w1"), "online", "active") == (False, 0)
    assert stats.all()[0].state == "LOST"
    clock.now += FORGET_AFTER_S
    before = stats.nodes.version
    stats.tick()
    assert stats.nodes.all() == {}
    assert stats.nodes.version > before


def test_a_node_that_speaks_seldom_is_waited_for_longer() -> None:
    stats, clock = timed()
    stats.take(beat(freq=30.0))
    clock.now += 60
    stats.tick()
    assert stats.nodes.of("gym@w1")["online"] is True


def test_the_version_grows_when_a_node_does_something_else_not_with_each_heartbeat() -> None:
    stats = stats_of(beat())
    before = stats.nodes.version
    stats.take(beat(at=102.0))
    assert stats.nodes.version == before
    stats.take(beat(at=104.0, active=1))
    assert stats.nodes.version > before


def test_a_node_that_nobody_hears_again_after_a_restart_is_forgotten_with_its_tasks() -> None:
    stats, clock = timed()
    stats.take(event("started"))
    restored = TaskStats(clock=clock, wall=clock)
    restored.restore(stats.facts())
    clock.now += FORGET_AFTER_S + 1
    restored.tick()
    assert restored.nodes.all() == {}
    assert restored.all()[0].state == "LOST"
