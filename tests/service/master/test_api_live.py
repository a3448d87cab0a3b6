"""The live feed of a real master: who may listen, what is heard, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from gym_queue.master.api import live
from tests.service.master.guarded import CLUSTER, guarded_master


class Page:
    """What one browser hears."""

    def __init__(self, reply: httpx.Response) -> None:
        self.reply = reply
        self.last_id = ""
        self._lines = reply.iter_lines()

    def next(self, topic: str) -> dict[str, Any]:
        """Return the data of the next event of a topic."""
        event = ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.last_id = value
            elif name == "data" and event == topic:
                data: dict[str, Any] = json.loads(value)
                return data
        raise AssertionError(f"the feed ended before {topic}")

    def rest(self) -> list[str]:
        """Return every line until the feed ends."""
        return list(self._lines)


@contextmanager
def page(http: httpx.Client, **headers: str) -> Iterator[Page]:
    with http.stream("GET", "/api/live", headers=headers) as reply:
        assert reply.status_code == 200
        yield Page(reply)


def test_a_page_hears_the_overview_at_once_and_then_what_changes(master, worker):
    with page(master.http) as seen:
        assert seen.reply.headers["content-type"].startswith("text/event-stream")
        assert seen.reply.headers["cache-control"] == "no-store"
        assert seen.next("overview")["workers"]["total"] == 0
        before = seen.next("changed")
        worker.register(master.http)
        assert seen.next("overview")["workers"]["total"] == 1
        assert seen.next("changed")["workers"] > before["workers"]
        master.create("e1")
        while seen.next("overview")["envs"]["ready"] != 1:
            pass
        assert seen.next("changed")["envs"] > before["envs"]


def test_a_page_that_comes_again_hears_only_what_it_has_missed(master, worker):
    with page(master.http) as seen:
        seen.next("changed")
        with page(master.http, **{"Last-Event-ID": seen.last_id}) as again:
            worker.register(master.http)
            assert again.next("overview")["workers"]["total"] == 1


def test_a_page_hears_that_the_master_lives(start_master, monkeypatch):
    monkeypatch.setattr(live, "ALIVE_S", 0)
    with page(start_master().http) as seen:
        assert next(line for line in seen.reply.iter_lines() if line.startswith(":")) == ": alive"


def test_a_master_with_listeners_stops_at_once_and_their_replies_are_whole(start_master):
    running = start_master()
    with page(running.http) as seen:
        seen.next("changed")
        running.stop()
        assert "event: error" not in seen.rest()


def test_twenty_pages_of_one_address_may_listen(master, worker):
    with ExitStack() as open_pages:
        pages = []
        for _ in range(20):
            http = open_pages.enter_context(httpx.Client(base_url=master.http.base_url, timeout=30))
            pages.append(open_pages.enter_context(page(http)))
        assert {each.next("overview")["workers"]["total"] for each in pages} == {0}
        worker.register(master.http)
        assert {each.next("overview")["workers"]["total"] for each in pages} == {1}


def test_the_feed_is_for_the_cluster_token_alone(loop, tmp_path):
    with guarded_master(loop, tmp_path) as guarded:
        guarded.name("ann")
        others = ("none", "env token", "worker", "metrics", "ann")
        asked = {who: guarded.by(who).get("/api/live").status_code for who in others}
        assert asked == {"none": 401, "env token": 401, "worker": 403, "metrics": 403, "ann": 403}


def test_a_cookie_opens_the_feed(loop, tmp_path):
    with guarded_master(loop, tmp_path) as guarded:
        with page(guarded.by("none"), Cookie=f"gym_queue_token={CLUSTER}") as seen:
            assert seen.next("overview")["workers"]["total"] == 0
        wrong = guarded.by("none").get("/api/live", headers={"Cookie": "gym_queue_token=wrong"})
        assert wrong.status_code == 401


def test_a_token_that_is_rotated_away_hears_no_more(loop, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "ALIVE_S", 0)
    with guarded_master(loop, tmp_path) as guarded, page(guarded.by("cluster")) as seen:
        seen.next("changed")
        monkeypatch.setattr(guarded.keys.cluster, "opens", lambda _token: False)
        assert not [line for line in seen.rest() if line.startswith("event: changed")]
