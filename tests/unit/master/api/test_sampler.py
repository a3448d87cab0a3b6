"""Samples: rates of the last ten seconds, latencies of a window, the last hour over restarts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.master.api.board import Board, Owners
from gym_queue.master.api.sampler import COLUMNS, Sampler
from gym_queue.protocol.fleet import Heartbeat
from tests.unit.dashboard.masters import make_parts


class Stage:
    """A master's objects without a loop of their own, under a clock that the test turns."""

    def __init__(self, client: httpx.AsyncClient, file: Path | None = None) -> None:
        self.parts, self.now = make_parts(client, token=None), 1000.0
        parts = self.parts
        self.owners = Owners(parts.fleet, parts.routes, parts.creates, parts.gateway, parts.tasks)
        self.board = Board(self.owners, started_at=0)
        self.sampler = Sampler(
            self.board.overview._census,
            self.board.counters,
            file=file,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def beat(self, *steps_ms: float, before: list[int] | None = None) -> None:
        """Let worker w tell of steps that it has answered."""
        row = before or [0, 0, 0, 0]
        for ms in steps_ms:
            row[0] += int(ms * 1000)
            row[3] += 1
        metrics: dict[str, Any] = {"calls": {"step": row}}
        self.board.counters.take(Heartbeat(worker_id="w", metrics=metrics), 1)

    def after(self, seconds: float) -> None:
        self.now += seconds
        self.sampler.tick()


def staged(file: Path | None = None) -> Stage:
    return Stage(httpx.AsyncClient(), file)


def test_a_sample_is_taken_every_ten_seconds() -> None:
    stage = staged()
    for _ in range(45):
        stage.after(1)
    assert stage.sampler.history.columns()["at"] == [1010, 1020, 1030, 1040]


def test_the_rates_are_those_of_the_last_sample() -> None:
    stage = staged()
    stage.beat()
    stage.beat(*[0.05] * 30)
    stage.after(10)
    assert stage.sampler.rates["steps_per_s"] == 3
    stage.after(10)
    assert stage.sampler.rates["steps_per_s"] == 0


def test_calls_that_the_gateway_alone_has_seen_count_too_and_others_once() -> None:
    stage = staged()
    stage.beat()
    stats = stage.owners.gateway.stats
    for worker_id in ("w", "old"):
        stats.add(worker_id, "step", 0.001, failed=worker_id == "old")
    stage.beat(0.05, 0.05)
    totals = stage.sampler.totals()
    assert (totals.steps, totals.errors) == (3, 1)


def test_a_worker_that_left_is_forgotten_and_what_it_did_is_not() -> None:
    stage = staged()
    stage.beat()
    stage.beat(0.05)
    stage.owners.gateway.stats.add("w", "step", 0.001, failed=False)
    stage.after(10)
    assert stage.owners.gateway.stats.workers() == frozenset()
    assert stage.sampler.totals().steps == 1


def test_latencies_are_those_of_the_last_ten_minutes() -> None:
    stage = staged()
    stage.beat()
    stage.beat(*[0.05] * 100)
    for _ in range(70):
        stage.after(10)
    window_s, found = stage.sampler.window(stage.sampler.totals())
    assert (window_s, found["step"].count) == (600, 0)
    assert stage.sampler.history.columns()["step_p50_ms"][:2] == [0.1, None]


def test_the_last_hour_outlives_its_master(tmp_path: Path) -> None:
    async def run() -> None:
        stage = staged(tmp_path / "new" / "history.json")
        stage.after(10)
        await stage.sampler.stop()

    asyncio.run(run())
    after = staged(tmp_path / "new" / "history.json")
    after.now = 1035
    after.sampler.load()
    after.sampler.sample()
    columns = after.sampler.history.columns()
    assert columns["at"] == [1010, 1020, 1035]
    assert columns["queued"] == [0, None, 0]


@pytest.mark.parametrize("text", ["", "no JSON", '{"step_s": 10, "series": []}'])
def test_an_hour_that_cannot_be_read_is_left_out(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "h").write_text(text)
    stage = staged(tmp_path / "h")
    stage.sampler.load()
    assert "cannot be read" in caplog.text
    assert stage.sampler.history.columns()["at"] == []


def test_a_master_that_cannot_write_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")

    async def run() -> None:
        stage = staged(tmp_path / "file" / "history.json")
        stage.after(10)
        await stage.sampler.stop()

    asyncio.run(run())
    assert "cannot be written" in caplog.text


def test_every_column_is_there_from_the_start() -> None:
    stage = staged()
    assert set(stage.sampler.history.columns()) == {"at", *COLUMNS}
    assert json.loads(stage.sampler.history.dump())["series"]["at"] == []
