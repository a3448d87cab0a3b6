"""A worker takes up a new cluster token without a restart, and bears what its master gave it."""

from __future__ import annotations

import pytest

from gym_queue.web.rotation import RotatingToken
from gym_queue.web.server import LoopThread
from gym_queue.worker.announce import Announcer, Census, MasterLink, describe_worker
from gym_queue.worker.doctor import Usable
from tests.service.master.guarded import guarded_master, worker_of
from tests.waiting import wait_until


@pytest.fixture
def loop():
    loop = LoopThread()
    loop.start()
    yield loop
    loop.stop()


def following(path):
    return RotatingToken(path.read_text(), path, read=lambda: path.read_text())


def test_its_heartbeats_go_on_under_a_new_token_and_with_its_secret(loop, tmp_path):
    path = tmp_path / "token"
    path.write_text("the-first-token")
    with guarded_master(
        loop, tmp_path, cluster=following(path), worker_token=None, heartbeat_s=0.05
    ) as master:
        registration = describe_worker(
            worker_id="w1",
            url="http://127.0.0.1:1",
            port=1,
            max_envs=2,
            max_starting=1,
            usable=Usable(("fake",)),
            queues=[],
        )
        held = following(path)
        announcer = Announcer(MasterLink(master.url, held), registration, lambda: Census([]))
        announcer.register()
        loop.run(announcer.start())
        path.write_text("the-second-token")
        wait_until(lambda: master.keys.cluster.current == held.current == "the-second-token")
        master.tokens["second"] = "the-second-token"
        http = master.by("second")
        seen = worker_of(http, "w1")["last_heartbeat"]
        wait_until(lambda: worker_of(http, "w1")["last_heartbeat"] > seen)
        forged = http.post("/workers/heartbeat", json={"worker_id": "w1"})
        assert (forged.status_code, announcer.master_status) == (403, "registered")
        loop.run(announcer.stop())
        assert worker_of(http, "w1") == {}
