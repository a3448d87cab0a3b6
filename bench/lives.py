"""Creates, and whole sessions, of null environments through Celery and real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.effort import Effort
from bench.fleets import Started, started
from bench.goals import Bound, Goal, Outcome, Row
from gym_queue.stress.figures import Line
from gym_queue.stress.plan import Mode, Plan, Target, null_spec
from gym_queue.stress.report import Report
from gym_queue.stress.run import run

WORKERS, SESSIONS, CREATES = 2, 512, 128
STEP_S = 1.0


@contextmanager
def living() -> Iterator[Started]:
    """Start one master and two workers with room for all sessions."""
    with started(WORKERS, SESSIONS) as fleet:
        yield fleet


def rows() -> list[Row[Started]]:
    """Return the rows measured here."""
    least, most = Bound.AT_LEAST, Bound.AT_MOST
    overhead = "what dispatch adds to a create, 1 at a time, p50"
    sessions = f"{SESSIONS} sessions at once (create, reset, 1 s step, close)"
    return [
        Row(
            [Goal("create-rate", "creates of null envs, 64 at once", "/s", least, 60, binding=False)],
            _create_rate,
        ),
        Row([Goal("create-overhead", overhead, "ms", most, 10, binding=False)], _overhead),
        Row(
            [
                Goal("sessions-done", f"{sessions}: completed", "%", least, 100),
                Goal("sessions-p99", f"{sessions}: p99", "s", most, 5, binding=False),
            ],
            _sessions,
        ),
    ]


def _create_rate(fleet: Started, effort: Effort) -> list[Outcome]:
    plan = Plan(mode=Mode.CREATES, rounds=effort.rounds, concurrency=(64,), creates=CREATES)
    line = _line(_run(fleet, effort, plan), "create")
    return [Outcome([figures.rate for figures in line.rounds], errors=line.errors.total())]


def _overhead(fleet: Started, effort: Effort) -> list[Outcome]:
    plan = Plan(mode=Mode.CREATES, rounds=effort.rounds, concurrency=(1,), creates=CREATES // 4)
    line = _line(_run(fleet, effort, plan), "dispatch overhead")
    return [Outcome([figures.p50_ms for figures in line.rounds], errors=line.errors.total())]


def _sessions(fleet: Started, effort: Effort) -> list[Outcome]:
    plan = Plan(mode=Mode.SESSIONS, rounds=effort.rounds, sessions=SESSIONS)
    rounds = _line(_run(fleet, effort, plan, step_s=STEP_S), "session").rounds
    return [
        Outcome([100 * figures.count / SESSIONS for figures in rounds]),
        Outcome([figures.p99_ms / 1000 for figures in rounds]),
    ]


def _run(fleet: Started, effort: Effort, plan: Plan, step_s: float = 0.0) -> Report:
    target = Target(fleet.url, fleet.token, null_spec(step_delay_s=step_s))
    return run(plan, target, progress=lambda what, done, total: effort.tell(f"{what}: {done} of {total}"))


def _line(report: Report, what: str) -> Line:
    return next(line for line in report.lines if line.what == what)
