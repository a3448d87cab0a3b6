"""Finished episodes of many workers, merged into pages."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import pytest

from gym_queue.master.episodes import AT_ONCE, Episodes
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.protocol.episodes import EpisodeList, EpisodeQuery, EpisodeRow, sort_key
from gym_queue.protocol.fleet import Registration

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]
Said = TypeVar("Said")


def row(worker_id: str, ended: float) -> EpisodeRow:
    return EpisodeRow(
        worker_id=worker_id,
        env_id=f"{worker_id}-{ended}",
        episode="episode_001",
        started=0,
        ended=ended,
        steps=1,
        outcome="passed" if ended % 2 else "failed",
    )


class Fleetful:
    """A fleet of workers with episodes, whose answers are made up here in the place of their servers."""

    def __init__(self, episodes: dict[str, list[EpisodeRow]]) -> None:
        self.episodes = episodes
        self.fleet = Fleet(Routes(), FleetTimes())
        for worker_id in episodes:
            self.fleet.register(Registration(worker_id=worker_id, url=f"http://{worker_id}:1", max_envs=1))
        self.asked = self.at_once = self.most_at_once = 0
        self.hung: set[str] = set()
        self.statuses: dict[str, int] = {}

    async def answer(self, request: httpx.Request) -> httpx.Response:
        worker_id = request.url.host
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(3600 if worker_id in self.hung else 0)
        finally:
            self.at_once -= 1
        if worker_id in self.statuses:
            return httpx.Response(self.statuses[worker_id], json={})
        query = EpisodeQuery.of(request.url.params.multi_items())
        rows = sorted(filter(query.takes, self.episodes[worker_id]), key=sort_key, reverse=True)
        shown, before = query.page(rows)
        said = EpisodeList(as_of=time.time(), rows=shown, next_before=before)
        return httpx.Response(200, content=said.model_dump_json())

    def ask(self, work: Callable[[Episodes], Awaitable[Said]]) -> Said:
        async def run() -> Said:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as client:
                return await work(Episodes(self.fleet, client))

        return asyncio.run(run())

    def page(self, **query: object) -> EpisodeList:
        return self.ask(lambda episodes: episodes.latest(EpisodeQuery.model_validate(query)))

    def all(self) -> list[EpisodeRow]:
        rows = [row for rows in self.episodes.values() for row in rows]
        return sorted(rows, key=sort_key, reverse=True)


@pytest.mark.parametrize("workers", [1, 3, 60])
@pytest.mark.parametrize("seed", range(4))
def test_pages_hold_every_episode_once_and_in_order(workers: int, seed: int) -> None:
    chance = random.Random(seed)
    ends = chance.sample(range(10_000), 400)
    cluster = Fleetful(
        {
            f"w{at}": [row(f"w{at}", ended) for ended in ends if ended * 7 % workers == at]
            for at in range(workers)
        }
    )
    found, before = list[EpisodeRow](), None
    while page := cluster.page(limit=50, before=before):
        found += page.rows
        before = page.next_before
        if before is None:
            break
    assert found == cluster.all()


def test_a_page_is_full_although_one_worker_has_all_the_latest() -> None:
    episodes = {f"w{at}": [row(f"w{at}", at)] for at in range(100)}
    episodes["busy"] = [row("busy", 1000 + at) for at in range(300)]
    cluster = Fleetful(episodes)
    assert cluster.page(limit=100).rows == cluster.all()[:100]


def test_many_workers_are_asked_a_few_at_once() -> None:
    cluster = Fleetful({f"w{at}": [row(f"w{at}", at)] for at in range(200)})
    page = cluster.page(limit=100)
    assert (len(page.rows), cluster.asked) == (100, 200)
    assert cluster.most_at_once <= AT_ONCE


def test_who_does_not_answer_is_named_and_who_does_not_know_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gym_queue.master.episodes.ALL_S", 0.2)
    cluster = Fleetful({name: [row(name, 1)] for name in ("good", "hung", "old", "sick")})
    cluster.hung.add("hung")
    cluster.statuses = {"old": 404, "sick": 500}
    page = cluster.page()
    assert [each.worker_id for each in page.rows] == ["good"]
    assert page.unreachable == ["hung", "sick"]


def test_a_filter_by_worker_asks_no_other() -> None:
    cluster = Fleetful({name: [row(name, 1), row(name, 2)] for name in ("a", "b")})
    assert {each.worker_id for each in cluster.page(worker="a").rows} == {"a"}
    assert cluster.asked == 1
    assert [each.ended for each in cluster.page(worker="a", outcome="passed").rows] == [1]
    assert cluster.page(worker="c").rows == []


def test_a_worker_cannot_speak_for_another() -> None:
    cluster = Fleetful({"a": [row("b", 1)], "b": []})
    assert [each.worker_id for each in cluster.page().rows] == ["a"]


def test_those_who_ask_the_same_share_an_answer() -> None:
    cluster = Fleetful({"a": [row("a", 1)]})
    asked = EpisodeQuery()
    pages = cluster.ask(lambda episodes: asyncio.gather(*(episodes.latest(asked) for _ in range(20))))
    assert len(pages) == 20
    assert cluster.asked == 1
