from __future__ import annotations

import asyncio
import logging
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.master.state import Place
from gym_queue.master.statistics import MOST_BYTES, StatisticsFile, kept, take_events
from gym_queue.protocol.fleet import Heartbeat, Registration
from gym_queue.stats.events import NodeEvent, TaskEvent, parse_event
from gym_queue.stats.tasks import TaskStats
from tests.waiting import wait_until


def received(task_id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"type": "task-received", "uuid": task_id, "hostname": "gym@w1", "timestamp": 1.0, **fields}


def parsed(**fields: Any) -> TaskEvent | NodeEvent:
    found = parse_event(fields)
    assert found is not None
    return found


def write(path: Path, tasks: TaskStats) -> None:
    asyncio.run(StatisticsFile(path, tasks).write())


def read(path: Path) -> TaskStats:
    tasks = TaskStats()
    StatisticsFile(path, tasks).restore()
    return tasks


def test_the_next_master_goes_on_where_this_one_was(tmp_path: Path) -> None:
    async def run(*, fresh: bool) -> dict[str, int]:
        tasks = TaskStats()
        async with kept(tasks, Place(tmp_path / "new", "own"), fresh=fresh):
            before = tasks.counts()
            tasks.take(received(f"t{before['RECEIVED']}"))
        return before

    assert [asyncio.run(run(fresh=fresh))["RECEIVED"] for fresh in (False, False, True, False)] == [
        0,
        1,
        0,
        1,
    ]


def test_the_file_is_its_users_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "statistics-own.json"
    tasks = TaskStats()
    tasks.take(received())
    write(path, tasks)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_when_nothing_has_changed(tmp_path: Path) -> None:
    async def run() -> None:
        file = StatisticsFile(tmp_path / "s.json", TaskStats())
        await file.write()
        (tmp_path / "s.json").unlink()
        await file.write()

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 0}',
        b'{"format": 1}',
        b'{"format": NaN}',
        b'{"format": 1, "counts": {"SUCCESS": 1e999}, "nodes": {}, "fields": [], "tasks": []}',
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (MOST_BYTES + 2),
    ],
)
def test_a_broken_file_costs_one_line_of_the_log(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "s.json").write_bytes(content)
    tasks = read(tmp_path / "s.json")
    assert (tasks.all(), len(caplog.records)) == ([], 1)
    assert "starting without the task statistics" in caplog.text


def test_no_file_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read(tmp_path / "s.json").all() == []
    assert caplog.records == []


def test_a_master_that_ends_while_it_writes_leaves_one_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = threading.Lock()
    writes: list[object] = []

    def write_slowly(path: Path, facts: dict[str, object]) -> None:
        assert writing.acquire(blocking=False), "two write at once"
        ending.wait(5)
        writes.append(facts["counts"])
        writing.release()

    async def run() -> None:
        async with kept(tasks, Place(tmp_path, "own"), fresh=True):
            tasks.take(received())
            await asyncio.to_thread(wait_until, writing.locked)
            tasks.take(received("t2"))
            asyncio.get_running_loop().call_later(0.05, ending.set)

    tasks, ending = TaskStats(), threading.Event()
    monkeypatch.setattr("gym_queue.master.statistics.PAUSE_S", 0.01)
    monkeypatch.setattr("gym_queue.master.statistics._write", write_slowly)
    asyncio.run(run())
    assert writes == [{"RECEIVED": 1}, {"RECEIVED": 2}]


def test_a_folder_that_cannot_be_written_costs_one_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("")
    tasks = TaskStats()

    async def run() -> None:
        file = StatisticsFile(tmp_path / "taken" / "s.json", tasks)
        for _ in range(2):
            tasks.take(received())
            await file.write()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert len(caplog.records) == 1


def test_a_file_that_would_be_too_long_keeps_the_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gym_queue.master.statistics.MOST_BYTES", 10_000)
    tasks = TaskStats()
    for index in range(10):
        tasks.take({**received(f"t{index}", traceback="x" * 2000), "type": "task-failed"})
    write(tmp_path / "s.json", tasks)
    restored = read(tmp_path / "s.json")
    assert (restored.counts()["FAILURE"], restored.nodes.of("gym@w1")["failed"]) == (10, 10)
    assert (tmp_path / "s.json").stat().st_size <= 10_000
    assert restored.all() == []


def test_events_are_signs_of_life_and_a_goodbye_makes_suspicious() -> None:
    suspected: list[str] = []
    fleet = Fleet(Routes(), FleetTimes(), on_suspect=suspected.append, clock=lambda: now)
    now = 1.0
    for worker_id in ("w1", "w2"):
        fleet.register(Registration(worker_id=worker_id, url=f"http://127.0.0.1:{worker_id[1]}"))
        fleet.heartbeat(Heartbeat(worker_id=worker_id))
    tasks = TaskStats()
    events = [
        parsed(**received()),
        parsed(type="worker-offline", hostname="gym@w2"),
        parsed(type="worker-heartbeat", hostname="gym@nobody"),
    ]
    take_events(tasks, fleet, events)
    assert suspected == ["w2"]
    assert tasks.counts()["RECEIVED"] == 1
    assert tasks.nodes.of("gym@w2")["online"] is False
