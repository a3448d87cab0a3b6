"""The lists of a real master, by the page."""

from __future__ import annotations

import pytest

from tests.waiting import wait_until

LISTS = ("workers", "envs", "queue")


def rows(master, path, **query):
    reply = master.http.get(f"/api/{path}", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def busy(master, start_worker):
    """A master with two workers, of which one is full, and two environments."""
    for number, worker_id in enumerate(("w1", "w2")):
        start_worker(worker_id).register(master.http, max_envs=number + 1, hostname=f"node{number}")
    for env_id in ("e1", "e2"):
        created = master.create(env_id, env_dir=f"/srv/{env_id}_env", metadata={"run": f"of {env_id}"})
        assert created.status_code == 201
    return master


def test_an_empty_list_is_one(master):
    for path in LISTS:
        found = rows(master, path)
        assert (found["total"], found["matched"], found["offset"], found["rows"]) == (0, 0, 0, [])


def test_workers_are_sorted_filtered_and_cut(busy):
    assert [row["worker_id"] for row in rows(busy, "workers", sort="-slots")["rows"]] == ["w2", "w1"]
    found = rows(busy, "workers", sort="worker_id", limit=1, offset=1)
    assert ([row["worker_id"] for row in found["rows"]], found["total"]) == (["w2"], 2)
    assert rows(busy, "workers", status="draining")["rows"] == []
    busy.http.post("/workers/drain", json={"worker_id": "w1"})
    (draining,) = rows(busy, "workers", status="draining")["rows"]
    assert (draining["worker_id"], draining["draining"]) == ("w1", True)
    assert draining["why"].startswith("it drains")
    assert rows(busy, "workers", runner="local")["matched"] == 2
    assert rows(busy, "workers", runner="docker")["matched"] == 0
    assert [row["worker_id"] for row in rows(busy, "workers", q="NODE1")["rows"]] == ["w2"]


def test_environments_are_shown_with_what_their_creates_said(busy):
    found = {row["env_id"]: row for row in rows(busy, "envs")["rows"]}
    assert (found["e1"]["env"], found["e1"]["metadata"], found["e1"]["state"]) == (
        "e1_env",
        {"run": "of e1"},
        "ready",
    )
    assert [row["env_id"] for row in rows(busy, "envs", q="of e2")["rows"]] == ["e2"]
    on = found["e2"]["worker_id"]
    assert "e2" in [row["env_id"] for row in rows(busy, "envs", worker=on)["rows"]]
    assert rows(busy, "envs", state="queued")["rows"] == []
    busy.http.post("/envs/e1/close")
    assert [row["env_id"] for row in rows(busy, "envs")["rows"]] == ["e2"]


def test_creates_that_wait_say_for_what_and_why(busy):
    busy.create("e3")
    waiting = busy.creating("e4", priority=3, metadata={"who": "<b>me</b>"})
    wait_until(lambda: rows(busy, "queue")["total"])
    (row,) = rows(busy, "queue")["rows"]
    assert (row["env_id"], row["position"], row["priority"], row["owner"]) == ("e4", 0, 3, None)
    assert row["waiting_for"] == "a free slot for any"
    assert set(row["why_not"]) == {"w1", "w2"}
    assert row["metadata"] == {"who": "<b>me</b>"}
    assert [each["state"] for each in rows(busy, "envs", q="e4")["rows"]] == ["queued"]
    busy.http.post("/envs/e4/close")
    assert waiting.result().status_code == 409
    assert rows(busy, "queue")["total"] == 0


def test_versions_grow_with_what_changes(busy):
    before = {path: rows(busy, path)["version"] for path in LISTS}
    busy.http.post("/workers/drain", json={"worker_id": "w1"})
    assert rows(busy, "workers")["version"] > before["workers"]
    assert rows(busy, "envs")["version"] == before["envs"]
    busy.http.post("/envs/e1/close")
    assert rows(busy, "envs")["version"] > before["envs"]


def test_a_query_that_is_none_is_refused(master):
    for query in (
        *("sort=nothing", "sort=-", "sort=__class__", "sort=record"),
        *("limit=0", "limit=501", "limit=1e9", "limit=%C2%B2", "limit=1&limit=2"),
        *("offset=-1", "offset=x", "offset=99999999999999999999", f"q={'x' * 201}"),
    ):
        for path in LISTS:
            reply = master.http.get(f"/api/{path}?{query}")
            assert (reply.status_code, reply.json()["code"]) == (422, "request_invalid"), query


def test_a_filter_that_nothing_can_match_is_refused(master):
    for query in ("workers?status=well", "workers?runner=none", "envs?state=lost"):
        assert master.http.get(f"/api/{query}").status_code == 422
