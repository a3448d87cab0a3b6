"""What ``status`` and ``top`` show, and what becomes of them while the master is away."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from gym_queue.cli.status import picture
from gym_queue.cli.top import Measured, in_order
from gym_queue.cli.top import picture as picture_of_envs
from gym_queue.cli.watching import lasted, number, watch
from gym_queue.errors import ConnectionFailed, RequestInvalid, Unauthorized

LATENCY = {"count": 1234, "p50_ms": 1.234, "p95_ms": 20.0, "p99_ms": 1500.0}
OVERVIEW: dict[str, Any] = {
    "as_of": 10_000.0,
    "started_at": 2_800.0,
    "version": "1.2.3",
    "broker": {"ok": True, "error": None, "kind": "redis"},
    "workers": {"total": 3, "healthy": 2, "unhealthy": 1, "draining": 0, "dead": 0},
    "slots": {"total": 40, "used": 12},
    "envs": {"queued": 3, "creating": 1, "ready": 11, "closing": 0},
    "queue": {"length": 3, "oldest_s": 75.0},
    "rates": {"creates_per_s": 0.5, "steps_per_s": 340.0, "resets_per_s": 0.0, "errors_per_s": 0.0},
    "totals": {"created": 1_000, "closed": 989, "lost": 0, "failed": 2, "steps": 123_456, "errors": 0},
    "window_s": 600.0,
    "latency": {"create": LATENCY, "reset": {**LATENCY, "p50_ms": None}, "step": LATENCY},
    "attention": [{"kind": "worker", "text": "worker w2 is silent", "link": ""}] * 7,
}


def worker(name: str, **over: Any) -> dict[str, Any]:
    row = {
        "worker_id": name,
        "status": "healthy",
        "runners": ["docker", "local"],
        "slots": 20,
        "used": 6,
        "cpu_percent": 37.5,
        "memory_percent": None,
        "heartbeat_age_s": 2.0,
        "celery": {"active": 1, "succeeded": 500, "failed": 2},
    }
    return {**row, **over}


def shown(renderable: Any, width: int = 80) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False).print(renderable)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def workers(count: int) -> dict[str, Any]:
    return {"rows": [worker(f"worker-{at}") for at in range(min(count, 100))], "matched": count}


def test_a_fleet_is_shown_in_80_columns():
    lines = shown(picture(OVERVIEW, workers(2), (80, None)))
    text = "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    for said in (
        "Gym Queue 1.2.3  up 2.0 h  broker redis ok",
        "2 healthy, 1 unhealthy",
        "12 of 40 taken",
        "3 waiting, the oldest for 1.2 min",
        "340 steps/s",
        "and 2 more notices",
    ):
        assert said in text
    row = next(line for line in lines if line.startswith("worker-0"))
    assert row.split()[1:3] == ["healthy", "6/20"]
    assert row.split()[-3:] == ["1", "500", "2"]


@pytest.mark.parametrize("height", [24, 30, 50])
def test_what_does_not_fit_is_counted(height):
    lines = shown(picture(OVERVIEW, workers(1_000), (80, height)))
    rows = [line for line in lines if line.startswith("worker-")]
    assert len(lines) <= height
    assert lines[-1] == f"… and {1000 - len(rows):,} more workers"


def test_long_names_are_cut_and_numbers_are_not():
    rows = {"rows": [worker("w" * 100, runners=["docker"] * 9)], "matched": 1}
    lines = shown(picture(OVERVIEW, rows, (80, None)))
    assert len(lines[-1]) <= 80
    assert lines[-1].split()[-3:] == ["1", "500", "2"]


def test_a_broker_that_is_down_and_a_fleet_without_workers_are_said():
    none = {
        **OVERVIEW,
        "workers": dict.fromkeys(OVERVIEW["workers"], 0),
        "broker": {"ok": False, "error": "refused", "kind": "redis"},
    }
    text = "\n".join(shown(picture(none, workers(0), (120, None)), width=120))
    assert "DOWN: refused" in text
    assert "none yet: gym-anything-worker" in text


def test_markup_in_names_is_text():
    lines = shown(picture(OVERVIEW, {"rows": [worker("[red]w[/]")], "matched": 1}, (80, None)))
    assert lines[-1].startswith("[red]w[/]")


def env(name: str, **over: Any) -> dict[str, Any]:
    row = {
        "env_id": name,
        "state": "ready",
        "worker_id": "w1",
        "age_s": 60.0,
        "env": "terminal_env",
        "task_id": "largest_file",
    }
    return {**row, **over}


def call(n: int, name: str, at: float, duration_ms: float, step: int | None = None) -> dict[str, Any]:
    return {"n": n, "call": name, "at": at, "duration_ms": duration_ms, "step": step}


def test_calls_tell_steps_their_rate_their_median_and_the_last_one():
    measured = Measured()
    calls = [call(1, "reset", 50.0, 900.0), *(call(2 + k, "step", 95.0 + k, float(k), k) for k in range(4))]
    measured.take({"calls": calls, "next": 5, "as_of": 100.0})
    assert (measured.steps, measured.rate, measured.p50, measured.last) == (4, 0.4, 1.5, 2.0)
    measured.take({"calls": [], "next": 5, "as_of": 200.0})
    assert (measured.steps, measured.rate, measured.last) == (4, 0, 102.0)
    assert (Measured().steps, Measured().rate, Measured().p50, Measured().last) == (None,) * 4


@pytest.mark.parametrize("width", [80, 200])
def test_environments_are_shown_with_short_ids_where_there_is_no_room(width):
    measured = Measured()
    measured.take({"calls": [call(1, "step", 99.0, 2.5, 41)], "next": 1, "as_of": 100.0})
    name = "0123456789abcdef" * 2
    rows = [
        (env(name), measured),
        (env("q", state="queued", worker_id=None, env=None, task_id=None), Measured()),
    ]
    lines = shown(picture_of_envs(rows, 12, "a note", (width, None)), width)
    assert all(len(line) <= width for line in lines)
    assert lines[1].split()[0] == (name if width == 200 else name[:8])
    assert "terminal_env/largest_file" in lines[1] or width == 80
    assert lines[1].split()[-5:] == ["42", "0.1", "2.5", "1", "s"]
    assert lines[-2:] == ["… and 10 more environments", "a note"]


def test_the_busiest_come_first_and_those_without_numbers_last():
    def measured(*ats: float) -> Measured:
        found = Measured()
        calls = [call(n, "step", at, 1.0, n) for n, at in enumerate(ats)]
        found.take({"calls": calls, "next": len(ats), "as_of": 100.0})
        return found

    rows = [(env("quiet"), measured(99.0)), (env("idle"), measured()), (env("busy"), measured(99.0, 99.5))]
    for sort, order in (
        ("-rate", "busy quiet idle"),
        ("steps", "quiet busy idle"),
        ("age", "quiet idle busy"),
    ):
        assert [row["env_id"] for row, _ in in_order(rows, sort)] == order.split()


def plain(looks: list[Any], *, rounds: int) -> list[str]:
    """Return what is printed where there is no terminal, by looks that answer or raise."""
    file = io.StringIO()
    left = iter(looks)
    pauses: list[float] = []

    def look() -> Callable[[int, int | None], str]:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return lambda _width, _height: str(answer)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == rounds:
            raise KeyboardInterrupt

    watch(Console(file=file, width=100, force_terminal=False), look, interval_s=2.5, sleep=sleep)
    assert pauses == [2.5] * rounds
    return file.getvalue().splitlines()


def test_a_master_that_goes_away_and_returns_is_told_with_since_when():
    lines = plain(["one", ConnectionFailed("refused"), "three"], rounds=3)
    assert lines[0] == "one"
    assert lines[1].startswith("No answer from the master since ")
    assert lines[2:] == ["refused", "one", "three"]


@pytest.mark.parametrize(
    "looks",
    [[ConnectionFailed("refused")], ["one", Unauthorized("a wrong token")], ["one", RequestInvalid("no")]],
)
def test_what_waiting_does_not_mend_ends_the_view(looks):
    with pytest.raises(type(looks[-1])):
        plain(looks, rounds=5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (90, "1.5 min"),
        (5400, "1.5 h"),
        (36_000, "10 h"),
        (200_000, "2 d"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert lasted(seconds) == text


def test_numbers_are_for_people():
    assert [number(value) for value in (None, 0.0, 0.25, 12.0, 1234.5)] == ["", "0", "0.2", "12", "1,234"]
