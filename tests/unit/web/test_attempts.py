"""Wrong tokens wait longer and longer, and nobody else does."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from gym_queue.dashboard.pages import add_pages
from gym_queue.web.attempts import (
    ADDRESSES,
    FORGET_S,
    FREE,
    LONGEST_DELAY_S,
    WAITING,
    Attempts,
    AttemptsMiddleware,
)
from gym_queue.web.auth import TokenMiddleware, same_token
from gym_queue.web.requestid import RequestIdMiddleware
from tests.unit.web.test_http import TOKEN, make_app


class Waits:
    """A clock and a pause that tests see."""

    def __init__(self) -> None:
        self.now, self.waited = 1000.0, list[float]()
        self.attempts = Attempts(clock=lambda: self.now, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.waited.append(seconds)


def fail(waits: Waits, address: str, times: int) -> None:
    async def again() -> None:
        for _ in range(times):
            assert await waits.attempts.failed(address)

    asyncio.run(again())


def test_the_first_failures_cost_nothing_then_each_twice_the_last_up_to_a_limit():
    waits = Waits()
    fail(waits, "10.0.0.1", FREE + 9)
    assert waits.waited[:4] == [0.05, 0.1, 0.2, 0.4]
    assert waits.waited[-1] == LONGEST_DELAY_S


def test_addresses_are_counted_apart_and_one_host_of_ipv6_is_one():
    waits = Waits()
    fail(waits, "10.0.0.1", 9)
    fail(waits, "2001:db8::1", 1)
    fail(waits, "2001:db8::2", 1)
    fail(waits, "::ffff:10.0.0.1", 1)
    assert waits.attempts.count("10.0.0.1") == 10
    assert waits.attempts.count("2001:db8::ffff") == 2
    assert waits.attempts.count("127.0.0.1") == 0


def test_a_quiet_minute_makes_good():
    waits = Waits()
    fail(waits, "10.0.0.1", 9)
    waits.now += FORGET_S + 1
    fail(waits, "10.0.0.1", 1)
    assert waits.attempts.count("10.0.0.1") == 1


def test_addresses_without_end_take_no_memory_without_end():
    waits = Waits()
    for number in range(ADDRESSES + 5):
        fail(waits, f"10.1.{number // 256}.{number % 256}", 1) if number < 9 else waits.attempts._count(
            str(number)
        )
    assert len(waits.attempts._failed) == ADDRESSES


def test_one_address_can_hold_but_a_few_answers_back():
    async def flood() -> list[bool]:
        gate = asyncio.Event()
        attempts = Attempts(pause=lambda _s: gate.wait())
        for _ in range(FREE):
            await attempts.failed("10.0.0.1")
        waiting = [asyncio.ensure_future(attempts.failed("10.0.0.1")) for _ in range(WAITING)]
        await asyncio.sleep(0)
        more = [await attempts.failed("10.0.0.1"), await attempts.failed("10.0.0.2")]
        gate.set()
        assert all(await asyncio.gather(*waiting))
        return more

    assert asyncio.run(flood()) == [False, True]


def test_wrong_tokens_wait_while_right_ones_of_the_same_address_and_absent_ones_do_not():
    async def calls() -> list[int]:
        waits = Waits()
        inner = TokenMiddleware(make_app(), check=lambda _path, given: same_token(given, TOKEN))
        app = RequestIdMiddleware(AttemptsMiddleware(inner, waits.attempts))
        async with AsyncClient(transport=ASGITransport(app), base_url="http://m") as client:
            for _ in range(5):
                reply = await client.post("/act", headers={"Authorization": "Bearer wrong"})
                assert (reply.status_code, "www-authenticate" in reply.headers) == (401, True)
            wrong = len(waits.waited)
            assert (await client.post("/act")).status_code == 401
            assert (
                await client.post("/act", headers={"Authorization": f"Bearer {TOKEN}"})
            ).status_code == 200
        return [wrong, len(waits.waited)]

    assert asyncio.run(calls()) == [2, 2]


def test_a_wrong_token_in_the_address_of_the_dashboard_costs_as_much_as_any():
    async def calls() -> list[int]:
        waits = Waits()
        pages = FastAPI()
        add_pages(pages, check_token=lambda given: same_token(given, TOKEN))
        app = AttemptsMiddleware(pages, waits.attempts)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://m") as client:
            for path in ("/", "/dashboard", "/dashboard", "/", "/dashboard"):
                assert (await client.get(path, params={"token": "wrong"})).status_code == 303
            wrong = len(waits.waited)
            assert (await client.get("/dashboard", params={"token": TOKEN})).status_code == 303
            assert (await client.get("/dashboard")).status_code == 200
        return [wrong, len(waits.waited)]

    assert asyncio.run(calls()) == [2, 2]
