from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gym_queue.errors import BrokerUnavailable
from gym_queue.master.brokercalls import Broker
from gym_queue.master.brokerview import KEPT_S, BrokerView, kind_of
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.protocol.fleet import Registration


def fleet_of(*worker_ids: str) -> Fleet:
    fleet = Fleet(Routes(), FleetTimes())
    for port, worker_id in enumerate(worker_ids, 1):
        queues = [f"env.fake.{worker_id}", "shared"]
        fleet.register(Registration(worker_id=worker_id, url=f"http://127.0.0.1:{port}", queues=queues))
    return fleet


def view_of(ask: Callable[[Sequence[str]], dict[str, int | None]], **options: Any) -> BrokerView:
    options = {"url": "redis://h:6379/0", "kind": "redis", "others": ("replies",), **options}
    return BrokerView(ask, fleet_of("w1", "w2"), **options)


def look(view: BrokerView) -> dict[str, Any]:
    try:
        shown = asyncio.run(view.look())
    finally:
        view.close()
    Broker.model_validate(shown)
    return shown


def test_queues_are_shown_with_lengths_and_consumers() -> None:
    shown = look(view_of(lambda names: {name: len(name) for name in names}))
    assert (shown["ok"], shown["error"], shown["kind"]) == (True, None, "redis")
    assert shown["queues"] == [
        {"name": "env.fake.w1", "length": 11, "consumers": ["w1"], "runner": "fake"},
        {"name": "env.fake.w2", "length": 11, "consumers": ["w2"], "runner": "fake"},
        {"name": "shared", "length": 6, "consumers": ["w1", "w2"], "runner": None},
    ]
    assert shown["others"] == [{"name": "replies", "length": 7}]


def test_a_broker_that_is_away_is_shown_as_such() -> None:
    def ask(_names: Sequence[str]) -> dict[str, int | None]:
        raise BrokerUnavailable("the broker redis://h:6379/0 does not answer")

    shown = look(view_of(ask))
    assert (shown["ok"], shown["error"]) == (False, "the broker redis://h:6379/0 does not answer")
    assert [queue["length"] for queue in shown["queues"]] == [None] * 3


def test_a_bug_is_no_ones_error_but_ours(caplog: pytest.LogCaptureFixture) -> None:
    shown = look(view_of(lambda names: {names[0]: int("x")}))
    assert shown["ok"] is False
    assert "which is a bug" in caplog.text


def test_the_broker_is_asked_once_for_all_who_look_and_not_again_for_a_while() -> None:
    asked: list[Sequence[str]] = []
    now = [10.0]

    def ask(names: Sequence[str]) -> dict[str, int | None]:
        asked.append(names)
        return {}

    async def run() -> None:
        await asyncio.gather(*(view.look() for _ in range(5)))
        await view.look()
        assert len(asked) == 1
        now[0] += KEPT_S
        await view.look()
        assert len(asked) == 2

    view = view_of(ask, clock=lambda: now[0])
    asyncio.run(run())
    view.close()


def test_a_broker_that_hangs_keeps_nobody_waiting_and_is_asked_nothing_more_meanwhile() -> None:
    go_on, asked = threading.Event(), []
    now = [10.0]

    def ask(names: Sequence[str]) -> dict[str, int | None]:
        asked.append(names)
        go_on.wait(30)
        return {"shared": 5}

    async def run() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        shown = []
        for _ in range(2):
            shown.append(await view.look())
            now[0] += KEPT_S
        assert len(asked) == 1
        go_on.set()
        return shown[0], shown[1], await view.look()

    view = view_of(ask, deadline_s=0.05, clock=lambda: now[0])
    try:
        first, second, third = asyncio.run(run())
    finally:
        go_on.set()
        view.close()
    assert first["ok"] is second["ok"] is False
    assert "has not answered for 0.05 s" in first["error"]
    assert third["queues"][2]["length"] == 5


@pytest.mark.parametrize(
    ("url", "is_embedded", "kind"),
    [
        ("redis://h/0", False, "redis"),
        ("rediss://h/0", False, "redis"),
        ("amqp://h//", False, "amqp"),
        ("amqps://h//", False, "amqp"),
        ("redis+socket:///x", True, "embedded"),
    ],
)
def test_a_broker_is_of_a_kind(url: str, is_embedded: bool, kind: str) -> None:
    assert kind_of(url, is_embedded=is_embedded) == kind
