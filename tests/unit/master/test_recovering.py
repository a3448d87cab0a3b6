"""What a master that has just started says of environments that it does not know."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from gym_queue.master.fleet import RECOVERY_BEATS, Fleet, FleetTimes
from tests.unit.dashboard.masters import make_parts, master_with_pages
from tests.unit.master.conftest import Clock

TIMES = FleetTimes(heartbeat_s=5)


async def answers(method: str, path: str, *waits_s: float) -> list[tuple[int, str]]:
    """Return a call's status and code after each wait, at a master whose workers are yet to report."""
    clock, found = Clock(), []
    async with httpx.AsyncClient() as unused:
        parts = make_parts(unused, token=None)
        fleet = Fleet(parts.routes, TIMES, clock=clock)
        fleet.await_reports()
        app = master_with_pages(replace(parts, fleet=fleet))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://m") as http:
            for wait_s in waits_s:
                clock.now += wait_s
                reply = await http.request(method, path)
                found.append((reply.status_code, reply.json()["code"]))
    return found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/envs/e1"),
        ("POST", "/envs/e1/step"),
        ("GET", "/envs/e1/session_info"),
        ("POST", "/envs/e1/close"),
    ],
)
def test_an_unknown_environment_may_be_reported_until_the_master_has_heard_its_workers(
    method: str, path: str
) -> None:
    recovery_s = RECOVERY_BEATS * TIMES.heartbeat_s
    assert asyncio.run(answers(method, path, 0, recovery_s - 0.1, 0.2)) == [
        (503, "master_recovering"),
        (503, "master_recovering"),
        (404, "env_not_found"),
    ]


def test_an_id_that_no_environment_can_have_is_not_waited_for() -> None:
    assert asyncio.run(answers("GET", f"/envs/{'x' * 129}", 0)) == [(404, "env_not_found")]
